"""Minimal pairs: two sentences that differ in little, of which one is grammatical (BLiMP's files)."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from fairseq_electra.errors import InputError, shortened
from fairseq_electra.files.json_values import text_of
from fairseq_electra.files.table import numbered_lines, records, source_name, value_in
from fairseq_electra.files.text import is_blank

FIELDS = ("UID", "linguistics_term", "sentence_good", "sentence_bad")


class Pair(NamedTuple):
    """Two sentences, of which a model should prefer the first."""

    paradigm: str  # BLiMP's UID
    term: str  # BLiMP's linguistics_term: the phenomenon
    good: str
    bad: str


def read_pairs(path: str | Path, at_most: int | None = None) -> list[Pair]:
    """Read BLiMP's pairs from JSON lines.

    Args:
        path: a file, plain, ``.gz`` or ``.xz``; ``-`` for standard input. Every line has the fields
            :data:`FIELDS`; others are ignored.
        at_most: keep the first pairs of each paradigm, this many; None: all. Lines behind them are checked
            as well.

    Raises:
        InputError: there is no pair, a line is not a JSON object or lacks a text, a paradigm has the same
            pair twice or belongs to two terms; names the line.

    Source: Warstadt et al. 2020 (arXiv 1912.00582).
    """
    source, pairs = source_name(path), []
    lines: dict[Pair, int] = {}  # where each pair stands
    of_paradigm: dict[str, tuple[str, int]] = {}  # its term, and its first line
    number_of = Counter[str]()
    for line, record in records(numbered_lines(path), source):
        location = f"{source}, line {line}"
        pair = Pair(*(_text(record, name, location) for name in FIELDS))
        first = lines.setdefault(pair, line)
        if first != line:
            raise InputError(
                f"{location}: the same pair as in line {first}, {shortened(pair.good)!r}; remove one of them"
            )
        term, first = of_paradigm.setdefault(pair.paradigm, (pair.term, line))
        if term != pair.term:
            raise InputError(
                f"{location}: the paradigm {pair.paradigm!r} is of {pair.term!r}, and of {term!r} in line"
                f" {first}; give it one linguistics_term"
            )
        number_of[pair.paradigm] += 1
        if at_most is None or number_of[pair.paradigm] <= at_most:
            pairs.append(pair)
    if not pairs:
        raise InputError(f"{source} has no pairs; give BLiMP as JSON lines, one pair per line")
    return pairs


def _text(record: dict, name: str, location: str) -> str:
    text = text_of(value_in(record, name, location), f"{location}: the text {name!r}")
    if is_blank(text):
        raise InputError(f"{location}: the text {name!r} is blank; every pair needs one there")
    return text


def digest_of(pairs: Iterable[tuple]) -> str:
    """Compute the SHA-256 of pairs, which is the same however their file is compressed and spaced."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(f"{json.dumps(pair)}\n".encode())
    return digest.hexdigest()
