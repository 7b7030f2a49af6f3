"""One run at a time writes into a folder of checkpoints."""

import fcntl
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import fairseq.checkpoint_utils
import fairseq.trainer
import pytest

from fairseq_electra.compat import save_folder
from fairseq_electra.compat.save_folder import LOCK_FILE, FolderLock, lock, release
from fairseq_electra.errors import InputError
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import refusal, train_here

HOLDER = """
import fcntl, json, sys, time
lock = open(sys.argv[1], "a+")
fcntl.lockf(lock, fcntl.LOCK_EX)
lock.write(json.dumps({"process": 4711, "host": "there", "start": "yesterday"}))
lock.flush()
print("holds", flush=True)
time.sleep(100)
"""
IN_USE = (
    r"save is in use by another run \(process 4711 on there, started yesterday\); wait for its end, "
    "or give another --save-dir"
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "save").mkdir()
    return tmp_path / "save"


@pytest.fixture
def other(folder):
    """Another process that trains there."""
    command = [sys.executable, "-c", HOLDER, str(folder / LOCK_FILE)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "holds\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_fairseq_still_lets_two_runs_write_to_one_folder():
    for module in (fairseq.trainer, fairseq.checkpoint_utils):
        assert "lock" not in Path(module.__file__).read_text(encoding="utf-8").replace("block", "")


def test_a_folder_in_use_is_refused_and_that_of_a_killed_run_is_not(folder, other):
    with pytest.raises(InputError, match=IN_USE):
        FolderLock(folder)
    with pytest.raises(InputError, match=IN_USE):
        lock(folder)
    other.kill()
    other.wait()
    (folder / ".checkpoint_last.pt.0123abcd.partial").write_text("half")
    lock(folder)
    about = json.loads((folder / LOCK_FILE).read_text())
    assert about["process"] == os.getpid() and [*folder.iterdir()] == [folder / LOCK_FILE]
    release()
    assert [*folder.iterdir()] == []


def test_a_refused_run_trains_nothing_and_one_that_saves_nothing_is_not_refused(
    tmp_path, data_bin, folder, other
):
    options = [*TINY_NET, "--disable-validation", "--num-workers", "0", "--max-update", "1"]
    assert "is in use by another run (process 4711 on there" in refusal(data_bin, folder, *options)
    assert not list(folder.glob("*.pt"))
    assert train_here(data_bin, folder, *options, "--no-save").updates == 1
    other.kill()
    other.wait()
    assert train_here(data_bin, folder, *options).updates == 1
    assert not (folder / LOCK_FILE).exists() and (folder / "checkpoint_last.pt").exists()


def test_a_process_may_train_in_its_folder_again(folder):
    lock(folder)
    lock(folder / ".." / "save")
    assert (folder / LOCK_FILE).exists()
    release()
    assert not (folder / LOCK_FILE).exists()
    lock(folder)
    release()
    release()
    assert not (folder / LOCK_FILE).exists()


def hold_and_leave_a_child(folder, pipe):
    lock = FolderLock(folder)
    if os.fork() == 0:
        pipe.send(os.getpid())
        time.sleep(100)
    time.sleep(100)
    del lock


def test_the_children_of_a_killed_run_do_not_hold_its_folder(folder):
    """Those that make its batches live on for some seconds."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=hold_and_leave_a_child, args=(folder, theirs))
    process.start()
    child = ours.recv()
    try:
        with pytest.raises(InputError, match=f"another run .process {process.pid} on "):
            FolderLock(folder)
        process.kill()
        process.join()
        os.kill(child, 0)
        FolderLock(folder)
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_copy_of_the_process_takes_no_lock_away(folder):
    lock = FolderLock(folder)
    child = os.fork()
    if child == 0:
        del lock
        os._exit(0)
    os.waitpid(child, 0)
    assert (folder / LOCK_FILE).exists()
    del lock
    assert not (folder / LOCK_FILE).exists()


def test_a_mark_that_the_run_before_took_away_meanwhile_is_made_anew(folder, monkeypatch):
    plain, calls = fcntl.lockf, []

    def lockf(*arguments):
        if not calls:
            (folder / LOCK_FILE).unlink()
        calls.append(arguments)
        plain(*arguments)

    monkeypatch.setattr("fcntl.lockf", lockf)
    lock = FolderLock(folder)
    assert len(calls) == 2 and json.loads((folder / LOCK_FILE).read_text())["process"] == os.getpid()
    del lock


def test_a_file_system_without_locks_is_said_and_trained_on(folder, monkeypatch, caplog):
    monkeypatch.setattr(
        "fcntl.lockf", lambda *_: (_ for _ in ()).throw(OSError(38, "Function not implemented"))
    )
    lock = FolderLock(folder)
    assert "Function not implemented), so a second run in this folder would not be noticed" in caplog.text
    del lock


def test_a_mark_that_says_nothing_yet_is_one_all_the_same(folder):
    (folder / LOCK_FILE).write_text("")
    descriptor = os.open(folder / LOCK_FILE, os.O_RDONLY)
    assert save_folder._owner(descriptor) == ""
    os.close(descriptor)
