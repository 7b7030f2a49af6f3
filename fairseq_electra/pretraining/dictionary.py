"""fairseq's ``dict.txt``, read without fairseq: which symbol has which id."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from fairseq_electra.errors import InputError
from fairseq_electra.files.text import read_lines
from fairseq_electra.pretraining.wordpiece import DICTIONARY_FILE, LEADING, MASK

OVERWRITE = " #fairseq:overwrite"  # ends the line of a symbol that is also one of fairseq's own


def read_symbols(path: str | Path) -> list[str]:
    """Read all entries of a ``dict.txt`` in the order of their ids, fairseq's four symbols first.

    Raises:
        InputError: a line is not a symbol and its count, or a symbol occurs twice.

    Source: fairseq/data/dictionary.py::Dictionary.add_from_file.
    """
    symbols = list(LEADING)
    known = set(symbols)
    for number, line in enumerate(read_lines(path), 1):
        overwrites = line.endswith(OVERWRITE)
        symbol, _, count = line.removesuffix(OVERWRITE).rpartition(" ")
        if not count.lstrip("-").isdigit():
            raise InputError(
                f"{path}, line {number}: not a symbol and its count, with a blank between them: {line[:80]!r}"
            )
        if symbol in known and not overwrites:
            raise InputError(
                f"{path}, line {number}: {symbol!r} stands there twice; use the file made by fairseq-electra"
                " vocab"
            )
        symbols.append(symbol)
        known.add(symbol)
    return symbols


def read_vocabulary(folder: str | Path) -> list[str]:
    """Read the entries of a folder's ``dict.txt``, with ``<mask>`` as the last one (appended if missing).

    Raises:
        InputError: as for :func:`read_symbols`, or ``<mask>`` is not the last entry.
    """
    path = Path(folder) / DICTIONARY_FILE
    symbols = read_symbols(path)
    if MASK not in symbols:
        return [*symbols, MASK]
    if symbols[-1] != MASK:
        raise InputError(
            f"{path}: {MASK} must be the last entry, but is number {symbols.index(MASK)} of {len(symbols)}; "
            "move its line to the end, and binarize again"
        )
    return symbols


def dictionary_digest(symbols: Sequence[str]) -> bytes:
    """Return the SHA-256 of the entries in order, 32 bytes; two dictionaries with one digest are equal."""
    return hashlib.sha256("\n".join(symbols).encode()).digest()
