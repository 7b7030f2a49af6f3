"""Partial files: nobody else's are touched, and those of killed writers do not stay."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fairseq_electra.files import partial as partial_files
from fairseq_electra.files.text import atomic_folder, atomic_write
from fairseq_electra.pretraining.encode import encode_to_binary
from fairseq_electra.pretraining.wordpiece import load_wordpiece
from tests.helpers.paths import ROOT

WRITER = """
import sys, time
from fairseq_electra.files.text import atomic_folder, atomic_write
with {what} as it:
    print("writes", flush=True)
    time.sleep(100)
"""


def partials(folder):
    return sorted(folder.glob(".*.partial"))


def start(folder, what):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER.format(what=what)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "writes\n"
    return process


@pytest.mark.parametrize(
    "what", ['atomic_write("train.bin", "wb")', 'atomic_folder("task")'], ids=["file", "folder"]
)
def test_what_a_killed_writer_left_is_removed_by_the_next_and_what_is_being_written_stays(tmp_path, what):
    process = start(tmp_path, what)
    alive = partials(tmp_path)
    assert len(alive) == 1
    with atomic_write(tmp_path / "other"):
        assert set(alive) < set(partials(tmp_path))
    assert partials(tmp_path) == alive
    process.kill()
    process.communicate()
    assert partials(tmp_path) == alive
    with atomic_write(tmp_path / "another"):
        pass
    assert partials(tmp_path) == [] and sorted(path.name for path in tmp_path.iterdir()) == [
        "another",
        "other",
    ]


def test_encode_removes_what_a_killed_encode_left(tmp_path, vocabulary, corpus_lines):
    for name in ("train.idx", "train.bin"):
        (tmp_path / f".{name}.0123abcd.partial").write_bytes(b"half")
    (tmp_path / ".train.bin.partial").write_text("no file of ours")
    encode_to_binary(load_wordpiece(vocabulary), corpus_lines[:20], tmp_path / "valid", vocabulary)
    assert [path.name for path in partials(tmp_path)] == [".train.bin.partial"]


def test_two_writers_of_one_file_do_not_mix(tmp_path):
    with atomic_write(tmp_path / "a") as one, atomic_write(tmp_path / "a") as other:
        one.write("one")
        other.write("other")
    assert (tmp_path / "a").read_text() == "one" and partials(tmp_path) == []


def test_a_file_that_was_removed_before_it_was_locked_is_made_again(tmp_path, monkeypatch):
    plain, locked = partial_files._lock, []

    def lock(descriptor):
        if not locked:
            for partial in partials(tmp_path):
                partial.unlink()
        locked.append(descriptor)
        return plain(descriptor)

    monkeypatch.setattr(partial_files, "_lock", lock)
    with atomic_write(tmp_path / "a") as stream:
        stream.write("whole")
    assert (tmp_path / "a").read_text() == "whole" and len(locked) == 2


@pytest.mark.parametrize("folder", [False, True])
def test_a_file_that_another_writer_locked_first_to_remove_it_is_left_to_it(tmp_path, monkeypatch, folder):
    plain, others = partial_files._lock, []

    def lock(descriptor):
        if not others:
            (found,) = partials(tmp_path)
            others.append(os.open(found, os.O_RDONLY))
            assert plain(others[0])
        return plain(descriptor)

    monkeypatch.setattr(partial_files, "_lock", lock)
    partial, descriptor = partial_files.create_partial(tmp_path / "a", folder)
    monkeypatch.undo()
    os.close(others[0])
    partial_files.remove_abandoned(tmp_path)
    assert partials(tmp_path) == [partial]
    os.close(descriptor)


def test_without_locks_nothing_is_taken_for_abandoned(tmp_path, monkeypatch):
    monkeypatch.setattr("fcntl.flock", lambda *_: (_ for _ in ()).throw(OSError("no locks")))
    (tmp_path / ".a.0123abcd.partial").write_text("of somebody")
    with atomic_write(tmp_path / "a") as stream:
        stream.write("whole")
    assert (tmp_path / "a").read_text() == "whole" and [path.name for path in partials(tmp_path)] == [
        ".a.0123abcd.partial"
    ]


@pytest.mark.parametrize("how", ["file", "folder"])
def test_all_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch, how):
    events, plain = [], os.fsync

    def fsync(descriptor):
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        events.append((name, (tmp_path / "it").exists()))
        plain(descriptor)

    monkeypatch.setattr("os.fsync", fsync)
    if how == "file":
        with atomic_write(tmp_path / "it") as stream:
            stream.write("whole")
        (before, was_there), (after, is_there) = events
        assert before.startswith(".it.")
    else:
        with atomic_folder(tmp_path / "it") as partial:
            (partial / "input0").mkdir()
            (partial / "input0" / "a").write_text("a")
        *before, (after, is_there) = events
        was_there = any(there for _, there in before)
        assert {"a", "input0"} < {name for name, _ in before}
    assert not was_there and is_there and after == tmp_path.name


def test_links_are_not_followed(tmp_path):
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "file").write_text("precious")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / ".a.0123abcd.partial").symlink_to(tmp_path / "victim" / "file")
    (tmp_path / "here" / ".b.0123abcd.partial").symlink_to(tmp_path / "victim")
    with atomic_write(tmp_path / "here" / "a"):
        pass
    assert (tmp_path / "victim" / "file").read_text() == "precious"
