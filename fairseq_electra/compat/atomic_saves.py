"""A checkpoint is written to a file of its own, which is renamed once it is complete.

fairseq copies a checkpoint over checkpoint_last.pt in place (checkpoint_utils.py::save_checkpoint,
``PathManager.copy(checkpoints[0], cp)``): a process killed at that moment, or a full disk, loses the last
good checkpoint. ``_torch_persistent_save`` does write a temporary file, but its name is the same for all runs
in a folder, it is not synchronized to the disk before it is renamed, and after a failure fairseq appends a
second and a third attempt to the first, waits five seconds, leaves them on the full disk and prints PyTorch's
words.
"""

import contextlib
import errno
import functools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from fairseq_electra.errors import InputError
from fairseq_electra.files.partial import create_partial, sync, sync_name


class NotWrittenError(InputError):
    """A file could not be written; the file that it would have replaced is intact."""


def save_atomically() -> None:
    """Change file_io.py::PathManager.copy, and two functions that save in checkpoint_utils.py."""
    from fairseq import checkpoint_utils
    from fairseq.file_io import PathManager

    plain_copy, plain_write = PathManager.copy, checkpoint_utils.torch_persistent_save
    plain_save = checkpoint_utils.save_checkpoint

    def copy(src_path: str, dst_path: str, overwrite: bool = False) -> bool:
        if not Path(src_path).is_file():
            return plain_copy(src_path, dst_path, overwrite)
        with written_atomically(dst_path) as partial:
            shutil.copyfile(src_path, partial)
        return True

    def torch_persistent_save(obj, filename, async_write: bool = False):
        if async_write or not isinstance(filename, str):
            return plain_write(obj, filename, async_write)
        with written_atomically(filename) as partial, open(partial, "wb") as stream:
            torch.save(obj, stream)
        return None

    @functools.wraps(plain_save)
    def save_checkpoint(*args, **kwargs):
        try:
            return plain_save(*args, **kwargs)
        except NotWrittenError as error:
            raise InputError(
                f"{error}; earlier checkpoints are intact, and the same command resumes from the last one"
            ) from error

    PathManager.copy = staticmethod(copy)
    checkpoint_utils.torch_persistent_save, checkpoint_utils.save_checkpoint = (
        torch_persistent_save,
        save_checkpoint,
    )


@contextlib.contextmanager
def written_atomically(path: str) -> Iterator[Path]:
    """Yield the path of a temporary file to write to; it replaces ``path`` once it is complete.

    Raises:
        NotWrittenError: The disk is full, or the path cannot be written to.
    """
    try:
        # a new name: another process may write the same file
        partial, descriptor = create_partial(Path(path))
        try:
            yield partial
            sync(partial)
            partial.replace(path)
            sync_name(Path(path))
        finally:
            partial.unlink(missing_ok=True)
            os.close(descriptor)
    except (OSError, RuntimeError) as error:
        raise NotWrittenError(_why_not_written(path, error)) from error


def _why_not_written(path: str, error: OSError | RuntimeError) -> str:
    reason: BaseException = error
    while reason.__context__ is not None and not isinstance(reason, OSError):
        # PyTorch's error is about zip archives, the system's error is its context
        reason = reason.__context__
    message, remedy = (
        (str(reason) or type(reason).__name__).splitlines()[0],
        "check the path and its permissions",
    )
    if not isinstance(reason, OSError) or reason.errno in (errno.ENOSPC, errno.EDQUOT):
        message += f"; {shutil.disk_usage(Path(path).parent).free / 1e6:,.1f} MB free"
        remedy = "make room"
    return f"cannot write {path} ({message}); {remedy}"
