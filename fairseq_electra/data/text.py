"""Raw text: one paragraph or sentence a line, a blank line between documents; plain, ``.gz`` or ``.xz``."""

import contextlib
import gzip
import lzma
import os
import shutil
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from fairseq_electra.errors import InputError

_OPENERS = {".gz": gzip.open, ".xz": lzma.open}


def read_lines(path: str | Path) -> Iterator[str]:
    r"""Yield the lines of a text file without their line ends.

    Only ``\n`` ends a line, so that U+0085, U+2028, form feeds and lone carriage returns cannot shift one line against another
    between two readers; a ``\r`` before the ``\n`` belongs to the line end.

    Args:
        path: a file, compressed as its ending says, or ``-`` for standard input (not compressed).

    Raises:
        InputError: the file is missing, is not UTF-8 or is cut short; names file and line.
    """
    number = 0
    try:
        with _open(path) as stream:
            for line in stream:
                number += 1
                yield line.rstrip(b"\n").removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}, line {number}: not UTF-8 (byte {error.object[error.start]:#04x} at column {error.start}); "
            f"convert it first, for example with: iconv -f latin-1 -t utf-8"
        ) from error
    except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: damaged or cut-short compressed file after line {number} ({error}); copy it again") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; check the path") from error


def _open(path: str | Path) -> contextlib.AbstractContextManager[BinaryIO]:
    if str(path) == "-":
        return contextlib.nullcontext(sys.stdin.buffer)
    return _OPENERS.get(Path(path).suffix, open)(path, "rb")  # type: ignore[operator]


@contextlib.contextmanager
def written_whole(path: str | Path, mode: str = "w") -> Iterator:
    r"""Open a file for writing that appears under its name only when all of it is there.

    Args:
        path: where the file shall be; its folder is made.
        mode: ``w`` (UTF-8 text, ``\\n`` as line end) or ``wb``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    try:
        with open(partial, mode, **text) as stream:  # type: ignore[call-overload]
            yield stream
        os.replace(partial, path)  # noqa: PTH105
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def folder_written_whole(path: str | Path) -> Iterator[Path]:
    """Give a folder to fill, which takes its name only when all of it is there.

    Raises:
        InputError: there is something at that place already.
    """
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path} is there already and not empty; name a new folder")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True)
    try:
        yield partial
        if path.is_dir():
            path.rmdir()
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
