"""Raw text: one paragraph or sentence a line, a blank line between documents; plain, ``.gz`` or ``.xz``."""

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
from typing import BinaryIO

from fairseq_electra.errors import InputError
from fairseq_electra.files.formats import HEAD, other_format
from fairseq_electra.files.partial import create_partial, remove_abandoned, sync, sync_name

_OPENERS = {".gz": gzip.open, ".xz": lzma.open}
_STARTS = {".gz": (b"\x1f\x8b",), ".xz": (b"\xfd7zXZ\x00", b"]\x00\x00")}  # lzma.open reads both
_UNSEEN = ("Cc", "Cf", "Co")  # categories of characters that BERT's normalizer leaves out
_BLANKS = (b" ", b"\t", "\u3000".encode())
LONGEST_PART = (
    1 << 20
)  # bytes of a line that are read at once: no paragraph is longer, and the library takes a hundred times as much
Reader = Callable[[str | Path, int], Iterator[str]]  # reads running text as read_text does


def read_lines(path: str | Path) -> Iterator[str]:
    r"""Yield the lines of a text file without their line ends.

    Only ``\n`` ends a line, so that U+0085, U+2028, form feeds and lone carriage returns cannot shift one line against another
    between two readers; a ``\r`` before the ``\n`` belongs to the line end.

    Args:
        path: a file, compressed as its ending says, or ``-`` for standard input (not compressed).

    Raises:
        InputError: the file is missing, is of another format, is not UTF-8 or is cut short; names file and line.
    """
    with _opened(path) as (stream, place):
        for line in stream:
            place.line += 1
            yield _decoded(line)


def is_blank(line: str) -> bool:
    """Tell whether a line ends a document: it holds blanks alone, or such characters as U+200B or U+FEFF that no vocabulary has.

    Source: tokenizers/src/normalizers/bert.rs::do_clean_text.
    """
    return not any(map(_is_seen, line))


def _is_seen(character: str) -> bool:
    return not (character.isspace() or character == "\ufffd" or unicodedata.category(character) in _UNSEEN)


def read_text(path: str | Path, longest: int = LONGEST_PART) -> Iterator[str]:
    """Yield the lines of running text as :func:`read_lines` does, but a long line in several parts, so that memory does not grow with it.

    The parts are cut behind a blank, a tab or an ideographic space; where there is none, between two characters. They hold all of the
    line but blanks.

    Args:
        path: as for :func:`read_lines`.
        longest: bytes of a part, 8 or more. Shorter lines are as they are.

    Raises:
        InputError: as :func:`read_lines`.
    """
    with _opened(path) as (stream, place):
        yield from read_parts(stream, longest, place)


def read_parts(stream: BinaryIO, longest: int, place: "_Place | None" = None) -> Iterator[str]:
    """Yield the lines of a stream as :func:`read_text` does.

    Args:
        stream: UTF-8.
        longest: bytes of a part, 8 or more.
        place: told where the reader is.
    """
    place = place or _Place()
    while line := stream.readline(longest):
        place.line, place.column = place.line + 1, 0
        if len(line) < longest or line.endswith(b"\n"):
            yield _decoded(line)
        else:
            yield from _parts(line, stream, longest, place)


def read_texts(paths: Iterable[str | Path], read: Reader = read_text) -> Iterator[str]:
    """Yield the lines of several files of running text; the end of a file ends its document.

    Where neither a blank line ends a file nor one begins the next, one is put between them.

    Args:
        paths: the files.
        read: reads one of them.

    Source: google-research/electra build_pretraining_dataset.py::ExampleWriter.write_examples.
    """
    last = ""
    for path in paths:
        lines = read(path, LONGEST_PART)
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
class _Place:
    """Where a reader is: the number of the line, and what was read of it before, in bytes."""

    line: int = 0
    column: int = 0


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[tuple[BinaryIO, _Place]]:
    """Open a file, and turn what can go wrong with it into an :class:`InputError`."""
    place, name = _Place(), "standard input" if str(path) == "-" else str(path)
    try:
        with contextlib.ExitStack() as stack:
            raw = sys.stdin.buffer if str(path) == "-" else stack.enter_context(open(path, "rb"))
            suffix = "" if str(path) == "-" else Path(path).suffix
            head = (
                raw.peek(HEAD) if hasattr(raw, "peek") else b""
            )  # not so a stream that a program has put in place of its input
            stream: BinaryIO = raw
            if suffix in _OPENERS:
                if head and not head.startswith(_STARTS[suffix]):
                    raise InputError(
                        f"{name} is not compressed as its name says; give it a name that does not end in {suffix}"
                    )
                stream = stack.enter_context(_OPENERS[suffix](raw))  # type: ignore[operator]
                head = stream.peek(HEAD)  # type: ignore[attr-defined]
            if other := other_format(head):
                raise InputError(f"{name} is {other[0]}, not plain text in UTF-8; {other[1]}")
            yield stream, place
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name}, line {place.line}: not UTF-8 (byte {error.object[error.start]:#04x} at column {place.column + error.start}); "
            "convert it from the encoding it was written in: iconv -f ENCODING -t UTF-8 FILE > NEW, where ENCODING is, for example, "
            "WINDOWS-1252 (Western Europe), GB18030 (Chinese), SHIFT_JIS (Japanese), CP949 (Korean) or KOI8-R (Russian); "
            "read some of NEW: a wrong one gives nonsense without an error"
        ) from error
    except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{name}: damaged or cut-short compressed file after line {place.line} ({error}); copy it again"
        ) from error
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror or error}; check the path") from error


def _decoded(line: bytes) -> str:
    return line.rstrip(b"\n").removesuffix(b"\r").decode("utf-8")


def _parts(part: bytes, stream: BinaryIO, longest: int, place: _Place) -> Iterator[str]:
    """Yield the parts of a line of which the first ``longest`` bytes are read, without those that are blank: they would end a document."""
    filled = False
    while len(part) == longest and not part.endswith(b"\n"):
        end = _last_cut(part)
        text = part[:end].decode("utf-8")
        if text.strip():
            filled = True
            yield text
        place.column += end
        part = part[end:] + stream.readline(end)
    text = _decoded(part)
    if text.strip() or not filled:
        yield text


def _last_cut(part: bytes) -> int:
    """Find the last place where a line can be cut: behind a blank, or else before the last character, which may not be complete."""
    behind = [at + len(blank) for blank in _BLANKS if (at := part.rfind(blank)) >= 0]
    if behind:
        return max(behind)
    last = len(part) - 1
    while last > len(part) - 4 and part[last] & 0xC0 == 0x80:
        last -= 1
    return last


@contextlib.contextmanager
def written_whole(path: str | Path, mode: str = "w") -> Iterator:
    r"""Open a file for writing that appears under its name only when all of it is there.

    Args:
        path: where the file shall be; its folder is made.
        mode: ``w`` (UTF-8 text, ``\\n`` as line end) or ``wb``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, descriptor = create_partial(path)
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    try:
        with _room(path), open(descriptor, mode, **text) as stream:  # type: ignore[call-overload]
            yield stream
            stream.flush()
            os.fsync(descriptor)
            os.replace(partial, path)  # noqa: PTH105 (while it is locked)
        sync_name(path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def folder_written_whole(path: str | Path) -> Iterator[Path]:
    """Give a folder to fill, which takes its name only when all of it is there.

    An empty folder that is there stays the same one, and what is written is moved into it in the end, one by one: it may be a link or the
    place of a mount, which nothing can be put in the place of, or the current folder of a shell, which would not see it.

    Raises:
        InputError: there is something at that place already.
    """
    check_is_new(path)
    path = Path(path).resolve()  # "." has no name, and a link is no folder
    there = path.is_dir()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, descriptor = create_partial(path / path.name if there else path, folder=True)
    try:
        with _room(path):
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
    """Remove what killed writers left in a folder, and refuse it if something else is there.

    Raises:
        InputError: there is a file, or a folder that is not empty.
    """
    path = Path(path)
    remove_abandoned(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path} is there already and not empty; name a new folder")


@contextlib.contextmanager
def _room(path: Path) -> Iterator[None]:
    """Say where the disk is full: the error of a write does not."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free = shutil.disk_usage(path if path.is_dir() else path.parent).free
        raise InputError(
            f"cannot write {path}: {error.strerror} ({free / 1e6:,.1f} MB free); make room there"
        ) from error
