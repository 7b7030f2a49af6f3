"""Incomplete files: they have a temporary name, and the process that writes them holds a lock.

A lock ends with its process, however that ends. So an incomplete file without a lock was left behind by a
killed process.
"""

import contextlib
import fcntl
import os
import re
import secrets
import shutil
from pathlib import Path

_NAME = re.compile(r"\..+\.[0-9a-f]{8}\.partial")


def create_partial(path: Path, folder: bool = False) -> tuple[Path, int]:
    """Create an empty file or folder next to its final path, and remove what killed processes left there.

    Args:
        path: the final path; its folder must exist.
        folder: create a folder, not a file.

    Returns:
        its temporary path, and a descriptor of it (for a file, to write to). It is locked until the
        descriptor is closed.
    """
    remove_abandoned(path.parent)
    while True:
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
        if folder:
            partial.mkdir()
            descriptor = os.open(partial, os.O_RDONLY)
        else:
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        if _lock(descriptor) is not False and partial.exists():
            return partial, descriptor
        # another process found it before it was locked, took it for abandoned and removes it
        os.close(descriptor)


def remove_abandoned(folder: Path) -> None:
    """Remove the incomplete files and folders that killed processes left in a folder."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in [entry for entry in entries if _NAME.fullmatch(entry.name)]:
            with contextlib.suppress(OSError):
                _remove_if_abandoned(Path(entry.path), entry.is_dir(follow_symlinks=False))


def _remove_if_abandoned(partial: Path, folder: bool) -> None:
    # on a network file system, locking a file takes the right to write to it
    descriptor = os.open(partial, os.O_NOFOLLOW | (os.O_RDONLY if folder else os.O_RDWR))
    try:
        if not _lock(descriptor):
            return
        if folder:
            shutil.rmtree(partial)
        else:
            partial.unlink()
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Lock a file while it is open: True if done, False if another process holds it, None without locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def sync(path: Path) -> None:
    """Wait until a file, or all of a folder, is on the disk: a rename may get there before the content."""
    for each in [*(path.rglob("*") if path.is_dir() else ()), path]:
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_name(path: Path) -> None:
    """Wait until a file's new name is on the disk, if the file system supports that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
