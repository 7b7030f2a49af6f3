"""Raw text: one paragraph or sentence per line, a blank line between documents; plain, ``.gz`` or ``.xz``."""

import codecs
import contextlib
import errno
import gzip
import lzma
import os
import shutil
import sys
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from fairseq_electra.errors import InputError
from fairseq_electra.files.formats import HEAD_BYTES, other_format
from fairseq_electra.files.partial import create_partial, remove_abandoned, sync, sync_name

OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}
_MARK = codecs.BOM_UTF8  # Windows writes it in front of text, and byte-level BPE would read it
_STARTS = {".gz": (b"\x1f\x8b",), ".xz": (b"\xfd7zXZ\x00", b"]\x00\x00")}  # lzma.open reads both
_INVISIBLE = ("Cc", "Cf", "Co")  # categories of characters that BERT's normalizer leaves out
_BLANKS = (b" ", b"\t", "\u3000".encode())
# largest number of bytes of a line that are read at once: no paragraph is longer, and tokenizers takes 100
# times as much memory
MAX_PART_BYTES = 1 << 20
Reader = Callable[[str | Path, int], Iterator[str]]  # reads running text as read_text does


def read_lines(path: str | Path) -> Iterator[str]:
    r"""Yield the lines of a text file without their line ends, and without a byte order mark.

    Only ``\n`` ends a line, so that U+0085, U+2028, form feeds and lone carriage returns do not give two
    readers different line numbers; a ``\r`` before the ``\n`` belongs to the line end.

    Args:
        path: a file, compressed if its name ends in .gz or .xz, or ``-`` for standard input (not compressed).

    Raises:
        InputError: the file is missing, has another format, is not UTF-8 or is truncated; names file and
            line.
    """
    with _opened(path) as (stream, location):
        for line in stream:
            location.line += 1
            yield _decoded(line.removeprefix(_MARK) if location.line == 1 else line)


def check_reads_twice(path: str | Path) -> None:
    """Refuse standard input and pipes, of which a first look would take lines from the second."""
    if not Path(path).is_file() and (str(path) == "-" or Path(path).exists()):
        raise InputError(f"{path} is not a file that can be read several times; give one, plain, .gz or .xz")


def is_blank(line: str) -> bool:
    """Tell whether a line ends a document: it holds only blanks or invisible characters such as U+200B.

    Source: tokenizers/src/normalizers/bert.rs::do_clean_text.
    """
    return not any(map(_is_visible, line))


def _is_visible(character: str) -> bool:
    return not (character.isspace() or character == "\ufffd" or unicodedata.category(character) in _INVISIBLE)


def read_text(path: str | Path, max_bytes: int = MAX_PART_BYTES) -> Iterator[str]:
    """Yield lines as :func:`read_lines` does, but long ones in parts, to bound the memory.

    A line is cut after a blank, a tab or an ideographic space, or, if there is none, between two characters.
    The parts hold all of the line except blanks.

    Args:
        path: as for :func:`read_lines`.
        max_bytes: largest number of bytes of a part, 8 or more. Shorter lines stay as they are.

    Raises:
        InputError: as for :func:`read_lines`.
    """
    with _opened(path) as (stream, location):
        yield from read_parts(stream, max_bytes, location)


def numbered_parts(path: str | Path, max_bytes: int = MAX_PART_BYTES) -> Iterator[tuple[int, bool, str]]:
    """Yield the parts of lines as :func:`read_text` does, each with its line and its place in it.

    Args:
        path, max_bytes: as for :func:`read_text`.

    Returns:
        for each part the number of its line, from 1, whether it goes on with that line, and the part.
    """
    with _opened(path) as (stream, location):
        before = 0
        for part in read_parts(stream, max_bytes, location):
            yield location.line, location.line == before, part
            before = location.line


def read_parts(stream: BinaryIO, max_bytes: int, location: "_Location | None" = None) -> Iterator[str]:
    """Yield the lines of a stream as :func:`read_text` does.

    Args:
        stream: text in UTF-8.
        max_bytes: largest number of bytes of a part, 8 or more.
        location: is updated as the reader goes on.
    """
    location = location or _Location()
    while line := stream.readline(max_bytes):
        location.line, location.column = location.line + 1, 0
        if location.line == 1 and line.startswith(_MARK):
            line = line.removeprefix(_MARK) + (b"" if line.endswith(b"\n") else stream.readline(len(_MARK)))
        if len(line) < max_bytes or line.endswith(b"\n"):
            yield _decoded(line)
        else:
            yield from _parts(line, stream, max_bytes, location)


def read_texts(paths: Iterable[str | Path], read: Reader = read_text) -> Iterator[str]:
    """Yield the lines of several files of running text; the end of a file ends its document.

    A blank line is put between two files unless the first ends with one or the second starts with one.

    Args:
        paths: the files.
        read: the function that reads one of them.

    Source: google-research/electra build_pretraining_dataset.py::ExampleWriter.write_examples.
    """
    last = ""
    for path in paths:
        lines = read(path, MAX_PART_BYTES)
        first = next(lines, None)
        if first is None:
            continue
        if last.strip() and first.strip():
            yield ""
        yield first
        last = first
        for last in lines:
            yield last


@dataclass
class _Location:
    """Where a reader is: the number of the line, and the number of bytes of it that were read before."""

    line: int = 0
    column: int = 0


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[tuple[BinaryIO, _Location]]:
    """Open a file, and turn errors of reading it into an :class:`InputError`."""
    location, name = _Location(), "standard input" if str(path) == "-" else str(path)
    try:
        with contextlib.ExitStack() as stack:
            raw = sys.stdin.buffer if str(path) == "-" else stack.enter_context(open(path, "rb"))
            suffix = "" if str(path) == "-" else Path(path).suffix
            # a stream that a program has put in place of its input may have no peek
            head = raw.peek(HEAD_BYTES) if hasattr(raw, "peek") else b""
            stream: BinaryIO = raw
            if suffix in OPENERS:
                if head and not head.startswith(_STARTS[suffix]):
                    raise InputError(
                        f"{name} is not compressed as its name says; give it a name that does not end in"
                        f" {suffix}"
                    )
                stream = stack.enter_context(OPENERS[suffix](raw))  # type: ignore[operator]
                head = stream.peek(HEAD_BYTES)  # type: ignore[attr-defined]
            if other := other_format(head):
                raise InputError(f"{name} is {other.name}, not plain text in UTF-8; {other.remedy}")
            yield stream, location
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name}, line {location.line}: not UTF-8 (byte {error.object[error.start]:#04x} at column "
            f"{location.column + error.start}); "
            "convert it from the encoding it was written in: iconv -f ENCODING -t UTF-8 FILE > NEW, where "
            "ENCODING is, for example, "
            "WINDOWS-1252 (Western Europe), GB18030 (Chinese), SHIFT_JIS (Japanese), CP949 (Korean) or "
            "KOI8-R (Russian); "
            "read some of NEW: a wrong one gives nonsense without an error"
        ) from error
    except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{name}: damaged or cut-short compressed file after line {location.line} ({error}); copy it"
            " again"
        ) from error
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror or error}; check the path") from error


def _decoded(line: bytes) -> str:
    return line.rstrip(b"\n").removesuffix(b"\r").decode("utf-8")


def _parts(part: bytes, stream: BinaryIO, max_bytes: int, location: _Location) -> Iterator[str]:
    """Yield the parts of a line whose first ``max_bytes`` bytes are read, without blank ones."""
    filled = False
    while len(part) == max_bytes and not part.endswith(b"\n"):
        end = _last_cut(part)
        text = part[:end].decode("utf-8")
        if text.strip():
            filled = True
            yield text
        location.column += end
        part = part[end:] + stream.readline(end)
    text = _decoded(part)
    if text.strip() or not filled:
        yield text


def _last_cut(part: bytes) -> int:
    """Find the last index to cut a line: after a blank, or before the last, maybe incomplete character."""
    behind = [at + len(blank) for blank in _BLANKS if (at := part.rfind(blank)) >= 0]
    if behind:
        return max(behind)
    last = len(part) - 1
    while last > len(part) - 4 and part[last] & 0xC0 == 0x80:
        last -= 1
    return last


@contextlib.contextmanager
def atomic_write(path: str | Path, mode: str = "w") -> Iterator:
    r"""Open a file for writing that gets its name only once it is complete: all of it is there, or nothing.

    Args:
        path: path of the file; its folder is created.
        mode: ``w`` (UTF-8 text, ``\\n`` as line end) or ``wb``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, descriptor = create_partial(path)
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    try:
        with _full_disk_reported(path), open(descriptor, mode, **text) as stream:  # type: ignore[call-overload]
            yield stream
            stream.flush()
            os.fsync(descriptor)
            os.replace(partial, path)  # noqa: PTH105 (while it is locked)
        sync_name(path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder to fill, which gets the name ``path`` only once it is complete.

    An empty folder at ``path`` is kept, and the files are moved into it one by one at the end: it may be a
    link or a mount point, which cannot be replaced, or the current folder of a shell, which would not see the
    new one.

    Raises:
        InputError: there is a file, or a folder that is not empty, at ``path``.
    """
    check_is_new(path)
    path = Path(path).resolve()  # "." has no name, and a link is not a folder
    there = path.is_dir()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, descriptor = create_partial(path / path.name if there else path, folder=True)
    try:
        with _full_disk_reported(path):
            yield partial
            sync(partial)
        if there:
            for each in list(partial.iterdir()):
                each.rename(path / each.name)
            partial.rmdir()
            sync_name(partial)
        else:
            partial.rename(path)
            sync_name(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        os.close(descriptor)


def check_is_new(path: str | Path) -> None:
    """Remove what killed processes left in a folder, and refuse the folder if it holds anything else.

    Raises:
        InputError: there is a file, or a folder that is not empty.
    """
    path = Path(path)
    remove_abandoned(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path} exists and is not empty; name a new folder")


@contextlib.contextmanager
def _full_disk_reported(path: Path) -> Iterator[None]:
    """Name the path in the error when the disk is full: the operating system's error does not."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free = shutil.disk_usage(path if path.is_dir() else path.parent).free
        raise InputError(
            f"cannot write {path}: {error.strerror} ({free / 1e6:,.1f} MB free); make room there"
        ) from error
