"""The record of a speedrun."""

import fcntl
import json
import os
import signal
import time

import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.speedrun import state as state_module
from fairseq_electra.speedrun.state import State

ARGUMENTS = {"TEXT": {"/a.txt": 9}, "--minutes": 5.0, "--size": None}


def start(folder, **changes):
    return State(folder, ARGUMENTS | changes)


def release(state):
    state.close()


def test_stage_runs_once(tmp_path):
    state = start(tmp_path / "run")
    assert state.stage("one", lambda: {"a": (1, 2)}) == {"a": [1, 2]}
    release(state)
    again = start(tmp_path / "run")
    assert again.stage("one", lambda: pytest.fail("done twice")) == {"a": [1, 2]}
    assert again.result("one") == {"a": [1, 2]} and again.result("two") is None


def test_stage_that_fails_is_not_recorded(tmp_path):
    state = start(tmp_path)
    with pytest.raises(ZeroDivisionError):
        state.stage("one", lambda: 1 / 0)
    release(state)
    assert start(tmp_path).stage("one", lambda: 7) == 7


def test_state_keeps_notes(tmp_path):
    state = start(tmp_path)
    assert state.last_note("pretraining") == {}
    state.note("pretraining", {"updates": 3})
    release(state)
    assert start(tmp_path).last_note("pretraining") == {"updates": 3}


def test_state_refuses_another_command_line(tmp_path):
    release(start(tmp_path))
    before = (tmp_path / "state.json").read_text()
    with pytest.raises(
        InputError,
        match="was started with a different --minutes and --size; repeat that command line to resume",
    ):
        start(tmp_path, **{"--minutes": 6.0, "--size": "tiny"})
    assert (tmp_path / "state.json").read_text() == before


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(InputError, match="holds files that are not from a speedrun"):
        start(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_second_run_at_the_same_time_is_refused(tmp_path):
    first = start(tmp_path)
    with pytest.raises(InputError, match="another speedrun is running"):
        start(tmp_path)
    release(first)
    start(tmp_path)


def test_the_record_is_read_only_after_locking(tmp_path, monkeypatch):
    first, lock = start(tmp_path), fcntl.flock

    def lock_after_the_first_run(*args):
        first.stage("one", lambda: 7)
        first.lock.close()
        lock(*args)

    monkeypatch.setattr(state_module.fcntl, "flock", lock_after_the_first_run)
    assert start(tmp_path).stage("one", lambda: pytest.fail("done twice")) == 7


def test_the_folder_of_another_command_is_not_taken_for_other_options(tmp_path):
    release(start(tmp_path))
    with pytest.raises(
        InputError, match="is from another command than run of adapt, or from another version"
    ):
        State(tmp_path, {"--replay": {}}, "run of adapt")
    release(start(tmp_path))  # what was refused has let the folder go


def test_a_closed_record_is_free_while_a_process_of_its_run_still_lives(tmp_path):
    first = start(tmp_path)
    child = os.fork()  # as one that loads data, which has the lock's descriptor too
    if not child:
        time.sleep(60)
        os._exit(0)
    try:
        with pytest.raises(InputError, match="another speedrun is running"):
            start(tmp_path)
        release(first)
        release(start(tmp_path))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path):
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "victim")
    with pytest.raises(InputError, match=r"run/\.lock is a link, where a file to lock should be; remove it"):
        start(tmp_path / "run")
    assert (tmp_path / "victim").read_text() == "precious"


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", json.dumps({"arguments": [], "done": {}, "notes": {}})]
)
def test_a_damaged_record_is_named(tmp_path, content):
    (tmp_path / "state.json").write_text(content)
    with pytest.raises(InputError, match=r"state.json is damaged"):
        start(tmp_path)
