"""A change to fairseq's trainer: one run at a time writes into a folder of checkpoints.

The mark of a run is a file that its process has locked. The lock ends with the process, however that ends, so a run that was killed
hinders nobody. It is POSIX's, which the processes that make batches do not inherit, and which network file systems know as well.
"""

import contextlib
import fcntl
import functools
import json
import logging
import os
import socket
import time
import weakref
from pathlib import Path

from fairseq_electra.errors import InputError
from fairseq_electra.files.partial import remove_abandoned
from fairseq_electra.locks import open_lock

logger = logging.getLogger(__name__)
LOCK_FILE = ".train.lock"


class FolderLock:
    """A folder in which this process alone trains, until it gives it back or ends.

    Args:
        folder: it is there, and can be written to.

    Raises:
        InputError: another process trains there.
    """

    def __init__(self, folder: Path):
        path = folder / LOCK_FILE
        while True:
            descriptor = open_lock(path)
            _lock(descriptor, path)
            if _is_at(descriptor, path):
                break
            os.close(descriptor)  # the run before has ended, and taken it away
        about = {"process": os.getpid(), "host": socket.gethostname(), "start": time.strftime("%Y-%m-%d %H:%M:%S")}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(about).encode() + b"\n", 0)
        self.release = weakref.finalize(self, _release, descriptor, path, os.getpid())  # also at the end of the process


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:  # which of them depends on the system
        who = _owner(descriptor)
        os.close(descriptor)
        raise InputError(f"{path.parent} is in use by another run{who}; wait for its end, or give another --save-dir") from error
    except OSError as error:
        logger.warning(f"cannot lock {path} ({error.strerror}), so a second run in this folder would not be noticed: start none")


def _owner(descriptor: int) -> str:
    """Tell which process has the lock; empty if it has not said so yet."""
    try:
        about = json.loads(os.pread(descriptor, 4096, 0))
        return f" (process {about['process']} on {about['host']}, started {about['start']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _release(descriptor: int, path: Path, owner: int) -> None:
    if os.getpid() != owner:  # a copy of the process
        return
    with contextlib.suppress(OSError):
        path.unlink()
    os.close(descriptor)


_held: dict[Path, FolderLock] = {}


def hold(folder: Path) -> None:
    """Lock a folder; a process that has it already keeps it.

    Raises:
        InputError: another process trains there.
    """
    folder = folder.resolve()
    if folder not in _held:
        _held[folder] = FolderLock(folder)
        remove_abandoned(folder)


def release() -> None:
    """Give back all folders that this process has locked."""
    while _held:
        _held.popitem()[1].release()


def keep_other_runs_out() -> None:
    """trainer.py::Trainer: two runs in one --save-dir write to the same names, and a checkpoint may become a mixture of both.

    The first process of a run holds the lock until the run ends (compat/distributed.py); the others belong to it. ``--no-save`` needs none.
    """
    from fairseq.distributed import utils
    from fairseq.trainer import Trainer

    plain = Trainer.__init__

    @functools.wraps(plain)
    def initialize(self, cfg, *args, **kwargs):
        if not cfg.checkpoint.no_save and utils.is_master(cfg.distributed_training) and Path(cfg.checkpoint.save_dir).is_dir():
            hold(Path(cfg.checkpoint.save_dir))
        plain(self, cfg, *args, **kwargs)

    Trainer.__init__ = initialize
