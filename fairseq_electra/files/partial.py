"""Files that are not complete yet: they have a name of their own, and who writes them holds a lock.

A lock ends with its process, however that ends. So a partial file that is not locked was left by a writer that was killed.
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
    """Make an empty file, or folder, beside the place where it will be put; what killed writers left there is removed.

    Args:
        path: the place; its folder is there.
        folder: make a folder.

    Returns:
        where it is, and a descriptor of it (of a file, to write to). It is locked until the descriptor is closed.
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
        os.close(
            descriptor
        )  # another writer took it for abandoned before it was locked, and has removed it, or does so now


def remove_abandoned(folder: Path) -> None:
    """Remove the partial files and folders in a folder whose writers were killed."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in [entry for entry in entries if _NAME.fullmatch(entry.name)]:
            with contextlib.suppress(OSError):
                _remove_if_abandoned(Path(entry.path), entry.is_dir(follow_symlinks=False))


def _remove_if_abandoned(partial: Path, folder: bool) -> None:
    # over a network, only who could write to a file can lock it
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
    """Lock a file for as long as it is open; returns whether that worked, False if another holds it, None if there are no locks there."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def sync(path: Path) -> None:
    """Wait until a file, or all files of a folder and their names, are on the disk: a rename may get there before what it renames."""
    for each in [*(path.rglob("*") if path.is_dir() else ()), path]:
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_name(path: Path) -> None:
    """Wait until a file's new name is on the disk, where the file system can say so."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
