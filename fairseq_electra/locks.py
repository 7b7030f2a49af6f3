"""Files that processes lock, so that only one of them works at a time."""

import errno
import os
from pathlib import Path

from fairseq_electra.errors import InputError


def open_lock(path: Path) -> int:
    """Open a lock file, which is created if it does not exist; its content is kept.

    Raises:
        InputError: The path is a symbolic link, with which somebody might have another file overwritten.
    """
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise InputError(f"{path} is a link, where a file to lock should be; remove it") from error
