"""Only one run at a time writes into a folder of checkpoints.

trainer.py::Trainer: two runs with the same --save-dir write to the same names, and a checkpoint may become a
mixture of both. Here the first process of a run locks a file in the folder until the run ends
(compat/distributed.py); its other processes need no lock, nor do runs with ``--no-save``.

The lock ends with its process, however that ends, so a killed run does not block the folder. It is a POSIX
lock: the processes that make batches do not inherit it, and network file systems support it as well.
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
    """A folder that is locked by this process, until it releases the folder or ends.

    Args:
        folder: An existing folder that can be written to.

    Raises:
        InputError: Another process has locked it.
    """

    def __init__(self, folder: Path):
        path = folder / LOCK_FILE
        while True:
            descriptor = open_lock(path)
            _lock(descriptor, path)
            if _is_at(descriptor, path):
                break
            os.close(descriptor)  # the run that had locked it has ended, and removed the file
        about = {
            "process": os.getpid(),
            "host": socket.gethostname(),
            "start": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(about).encode() + b"\n", 0)
        # also at the end of the process
        self.release = weakref.finalize(self, _release, descriptor, path, os.getpid())


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:  # depends on the system
        owner = _owner(descriptor)
        os.close(descriptor)
        raise InputError(
            f"{path.parent} is in use by another run{owner}; wait for its end, or give another --save-dir"
        ) from error
    except OSError as error:
        logger.warning(
            f"cannot lock {path} ({error.strerror}), so a second run in this folder would not be noticed:"
            " start none"
        )


def _owner(descriptor: int) -> str:
    """Describe the process that has the lock; empty if it has not written its name yet."""
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
    if os.getpid() != owner:  # this is a copy of the process
        return
    with contextlib.suppress(OSError):
        path.unlink()
    os.close(descriptor)


_locks: dict[Path, FolderLock] = {}


def lock(folder: Path) -> None:
    """Lock a folder, unless this process has locked it already.

    Raises:
        InputError: Another process has locked it.
    """
    folder = folder.resolve()
    if folder not in _locks:
        _locks[folder] = FolderLock(folder)
        remove_abandoned(folder)


def release() -> None:
    """Unlock all folders that this process has locked."""
    while _locks:
        _locks.popitem()[1].release()


def lock_save_folder() -> None:
    """Change trainer.py::Trainer.__init__."""
    from fairseq.distributed import utils
    from fairseq.trainer import Trainer

    plain = Trainer.__init__

    @functools.wraps(plain)
    def initialize(self, cfg, *args, **kwargs):
        folder = Path(cfg.checkpoint.save_dir)
        if not cfg.checkpoint.no_save and utils.is_master(cfg.distributed_training) and folder.is_dir():
            lock(folder)
        plain(self, cfg, *args, **kwargs)

    Trainer.__init__ = initialize
