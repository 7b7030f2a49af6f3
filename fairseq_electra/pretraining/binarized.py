"""Open binarized text of fairseq-preprocess or ``fairseq-electra encode``, and check it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.encode import DTYPE_CODES, INDEX_MAGIC
from fairseq_electra.pretraining.pieces import WordPieces, pieces_of_symbols
from fairseq_electra.pretraining.unknown import unknown_warning
from fairseq_electra.pretraining.wordpiece import CONTINUATION, DICTIONARY_FILE, MASK

HEADER = len(INDEX_MAGIC) + 8 + 1 + 8
REMEDY = (
    "make the data again with fairseq-electra encode --destdir, or with fairseq-preprocess --dataset-impl"
    " mmap"
)


@dataclass(frozen=True)
class Binarized:
    """A memory-mapped text in ids."""

    ids: np.ndarray  # (number of ids,)
    line_sizes: np.ndarray  # (number of lines,): ids of each line, its </s> counted


def open_binarized(prefix: str | Path, vocabulary_size: int) -> Binarized:
    """Map ``PREFIX.bin`` and ``PREFIX.idx``.

    Args:
        prefix: folder and split, such as ``data-bin/train``.
        vocabulary_size: ids must be smaller. All ids of a short text are checked, and both ends of a long
            one.

    Raises:
        InputError: a file is missing, truncated, of another format or without text, or ids lie beyond the
            vocabulary.
    """
    index, data = Path(f"{prefix}.idx"), Path(f"{prefix}.bin")
    dtype, number = check_binarized(prefix)
    line_sizes = (
        np.asarray(np.memmap(index, np.int32, "r", offset=HEADER, shape=number))
        if number
        else np.zeros(0, np.int32)
    )
    _check_size(data, int(line_sizes.sum(dtype=np.int64)) * dtype.itemsize)
    if not (line_sizes > 1).any():
        raise InputError(f"{data} holds no text; {REMEDY}")
    ids = np.asarray(np.memmap(data, dtype, "r"))
    largest = max(int(ids[: 1 << 24].max()), int(ids[-(1 << 24) :].max()))
    if largest >= vocabulary_size:
        raise InputError(
            f"{data} holds the id {largest}, but the dictionary has {vocabulary_size:,} entries; use the"
            " dict.txt it was made with"
        )
    return Binarized(ids, line_sizes)


def check_binarized(prefix: str | Path) -> tuple[np.dtype, int]:
    """Check ``PREFIX.bin`` and ``PREFIX.idx`` without reading the text.

    Args:
        prefix: folder and split, such as ``data-bin/train``.

    Returns:
        the type of the ids, and the number of lines.

    Raises:
        InputError: a file is missing, truncated or of another format.
    """
    index, data = Path(f"{prefix}.idx"), Path(f"{prefix}.bin")
    for path in (index, data):
        if not path.is_file():
            raise InputError(f"no {path}; {REMEDY}")
    code, number = _head(index)
    dtype = next((dtype for dtype, known in DTYPE_CODES.items() if known == code), None)
    if dtype is None:
        raise InputError(f"{index} stores its ids as type {code}, not as unsigned 16 or 32 bits; {REMEDY}")
    if index.stat().st_size != HEADER + number * 12:
        raise InputError(
            f"{index} is {index.stat().st_size:,} bytes long, not {HEADER + number * 12:,} as its {number:,}"
            f" lines need; {REMEDY}"
        )
    if number:
        last_size = np.memmap(index, np.int32, "r", offset=HEADER, shape=number)[-1]
        last_start = np.memmap(index, np.int64, "r", offset=HEADER + 4 * number, shape=number)[-1]
        _check_size(data, int(last_start) + int(last_size) * dtype.itemsize)
    return dtype, number


def _check_size(data: Path, expected: int) -> None:
    if data.stat().st_size != expected:
        index = data.with_suffix(".idx").name
        raise InputError(
            f"{data} is {data.stat().st_size:,} bytes long, not {expected:,} as {index} says; {REMEDY}"
        )


def unknown_in_folder(folder: str | Path, split: str, vocabulary_size: int) -> str:
    """Return a warning for a folder of ``fairseq-electra prepare`` with much ``<unk>``; empty for others.

    Args:
        folder: folder with ``input0`` and so on.
        split: the split to check.
        vocabulary_size: as for :func:`open_binarized`.
    """
    for path in sorted(Path(folder).glob("input[0-9]*")):
        try:
            text = open_binarized(path / split, vocabulary_size)
        except InputError:  # no example has a second text; any other error is reported when the file is read
            continue
        if warning := unknown_warning(str(path / split), text.ids, text.line_sizes):
            return warning
    return ""


def count_lines(index: Path) -> int:
    """Read the number of lines from an index.

    Raises:
        InputError: the file is not an index of fairseq's mmap format.
    """
    return _head(index)[1]


def _head(index: Path) -> tuple[int, int]:
    """Return fairseq's code of the ids' type, and the number of lines."""
    with open(index, "rb") as stream:
        head = stream.read(HEADER)
    if head[: len(INDEX_MAGIC)] != INDEX_MAGIC or len(head) < HEADER:
        raise InputError(f"{index} is no index of fairseq's mmap format; {REMEDY}")
    return head[-9], int.from_bytes(head[-8:], "little")


def load_dictionary(folder: str | Path):
    """Load ``dict.txt`` as fairseq's Dictionary, with ``<mask>`` as its last entry (appended if missing).

    Raises:
        InputError: there is no such file, it is not in fairseq's format, or ``<mask>`` is not the last entry.
    """
    from fairseq.data import Dictionary

    path = Path(folder) / DICTIONARY_FILE
    if not Path(folder).is_dir():
        raise InputError(
            f"no such data folder: {folder}; make it with fairseq-electra encode --destdir {folder}, or"
            " fairseq-preprocess"
        )
    if not path.is_file():
        raise InputError(f"no {path}; {REMEDY}")
    try:
        dictionary = Dictionary.load(str(path))
    except Exception as error:  # fairseq raises plain Exception for a wrong encoding
        raise InputError(
            f"{path} is no dictionary: {error}; use the one made by fairseq-electra vocab"
        ) from error
    index = dictionary.add_symbol(MASK)
    if index != len(dictionary) - 1:
        raise InputError(
            f"{path}: {MASK} must be the last entry, but is number {index} of {len(dictionary)}; "
            "move its line to the end, and binarize again"
        )
    return dictionary


def word_starts(dictionary) -> np.ndarray:
    """Tell which entries start a word. Shape: (V,), bool.

    Byte-level BPE says so of each entry (:class:`fairseq_electra.pretraining.pieces.BytePieces`). WordPiece
    marks the entries that continue a word with ``##``, sentencepiece those that start one with ``▁``. The
    mark that more entries have counts: the other one may occur in text.

    Raises:
        InputError: the dictionary is of another kind, and no entry has one of the marks.
    """
    pieces = pieces_of_symbols(dictionary.symbols)
    if not isinstance(pieces, WordPieces):
        return np.array([pieces.starts_word(symbol) for symbol in dictionary.symbols])
    continues, starts = (
        np.array([symbol.startswith(mark) for symbol in dictionary.symbols]) for mark in (CONTINUATION, "▁")
    )
    if not (continues.any() or starts.any()):
        raise InputError(
            "whole words cannot be told in this dictionary: no entry begins with ## (WordPiece) or ▁ "
            "(sentencepiece), and there is none for each byte (byte-level BPE); "
            "leave out --mask-whole-words"
        )
    return ~continues if continues.sum() >= starts.sum() else starts
