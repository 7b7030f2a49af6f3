"""The record of a speedrun."""

import fcntl
import json

import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.speedrun import state as state_module
from fairseq_electra.speedrun.state import State

ARGUMENTS = {"TEXT": {"/a.txt": 9}, "--minutes": 5.0, "--size": None}


def begin(folder, **changes):
    return State(folder, ARGUMENTS | changes)


def end(state):
    state.lock.close()


def test_a_stage_is_done_once(tmp_path):
    state = begin(tmp_path / "run")
    assert state.stage("one", lambda: {"a": (1, 2)}) == {"a": [1, 2]}
    end(state)
    again = begin(tmp_path / "run")
    assert again.stage("one", lambda: pytest.fail("done twice")) == {"a": [1, 2]}
    assert again.result("one") == {"a": [1, 2]} and again.result("two") is None


def test_a_stage_that_fails_is_not_done(tmp_path):
    state = begin(tmp_path)
    with pytest.raises(ZeroDivisionError):
        state.stage("one", lambda: 1 / 0)
    end(state)
    assert begin(tmp_path).stage("one", lambda: 7) == 7


def test_notes_are_kept(tmp_path):
    state = begin(tmp_path)
    assert state.noted("pretraining") == {}
    state.note("pretraining", {"updates": 3})
    end(state)
    assert begin(tmp_path).noted("pretraining") == {"updates": 3}


def test_another_command_line_is_refused(tmp_path):
    end(begin(tmp_path))
    before = (tmp_path / "state.json").read_text()
    with pytest.raises(
        InputError, match="was begun with another --minutes and --size; repeat that command line to resume"
    ):
        begin(tmp_path, **{"--minutes": 6.0, "--size": "tiny"})
    assert (tmp_path / "state.json").read_text() == before


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(InputError, match="holds something else than a speedrun"):
        begin(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_two_at_once_are_refused(tmp_path):
    first = begin(tmp_path)
    with pytest.raises(InputError, match="another speedrun is at work"):
        begin(tmp_path)
    end(first)
    begin(tmp_path)


def test_what_another_one_wrote_before_it_let_go_of_the_lock_is_kept(tmp_path, monkeypatch):
    first, lock = begin(tmp_path), fcntl.flock

    def after_the_other(*args):
        first.stage("one", lambda: 7)
        end(first)
        lock(*args)

    monkeypatch.setattr(state_module.fcntl, "flock", after_the_other)
    assert begin(tmp_path).stage("one", lambda: pytest.fail("done twice")) == 7


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path):
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "victim")
    with pytest.raises(InputError, match=r"run/\.lock is a link, where a file to lock should be; remove it"):
        begin(tmp_path / "run")
    assert (tmp_path / "victim").read_text() == "precious"


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", json.dumps({"arguments": [], "done": {}, "notes": {}})]
)
def test_a_damaged_record_is_named(tmp_path, content):
    (tmp_path / "state.json").write_text(content)
    with pytest.raises(InputError, match=r"state.json is damaged"):
        begin(tmp_path)
