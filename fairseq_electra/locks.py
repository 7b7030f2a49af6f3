"""Files that processes lock to keep each other out."""

import errno
import os
from pathlib import Path

from fairseq_electra.errors import InputError


def open_lock(path: Path) -> int:
    """Open the file of a lock, which is made if it is not there; what it holds stays.

    Raises:
        InputError: a link stands there, which somebody may have put there to have another file overwritten.
    """
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise InputError(f"{path} is a link, where a file to lock should be; remove it") from error
