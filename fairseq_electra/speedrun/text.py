"""Raw text as a speedrun uses it: what there is, and which part of it is held out."""

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fairseq_electra.errors import InputError
from fairseq_electra.files.text import is_blank
from fairseq_electra.pretraining.documents import read_plain
from fairseq_electra.pretraining.recipes import SHORT_RUNS

VALID_SHARE, MOST_VALID = 0.05, 300_000  # of the characters, and characters
FEWEST = 100_000  # characters
LONGEST_UNIT = 20_000  # characters: longer documents are held out in parts, else a book would be all of the validation set
# vocabulary by characters of text: below so many, this size
VOCABULARIES = ((5e6, 4096), (50e6, 8192), (500e6, 16384), (float("inf"), 30522))


@dataclass(frozen=True)
class Text:
    """Text files, and where the line between train and valid runs.

    Args:
        files: of text.
        characters: in all.
        documents: in all.
        valid_characters: held out.
        threshold: a unit whose hash is below this is held out.
    """

    files: tuple[str, ...]
    characters: int
    documents: int
    valid_characters: int
    threshold: int

    def lines(self, split: str) -> Iterator[str]:
        """Yield the lines of ``train`` or ``valid``, a blank line between documents and wherever the other split has a part."""
        gap = False
        for first, unit in units(self.files):
            if (hash_of(unit) < self.threshold) != (split == "valid"):
                gap = True
                continue
            if first or gap:
                yield ""
            gap = False
            yield from unit


def units(files: Sequence[str]) -> Iterator[tuple[bool, list[str]]]:
    """Cut text into documents, and long documents at the ends of lines; yields whether a document begins here, and the lines."""
    for file in files:
        first, unit, length = True, list[str](), 0
        for line in read_plain(file):
            blank = is_blank(line)
            if unit and (blank or length > LONGEST_UNIT):
                yield first, unit
                first, unit, length = False, [], 0
            if blank:
                first = True
            else:
                unit.append(line)
                length += len(line)
        if unit:
            yield first, unit


def hash_of(unit: Iterable[str]) -> int:
    """Hash a unit's text to 64 bits: the same text is always on the same side."""
    return int.from_bytes(hashlib.blake2b("\n".join(unit).encode(), digest_size=8).digest(), "big")


def survey(files: Sequence[str]) -> Text:
    """Read all text once and draw the validation set: whole documents, by hash, until 5 % of it or 300,000 characters are reached.

    Raises:
        InputError: a file cannot be read twice, or there is too little text for two sets.
    """
    for file in files:
        if not Path(file).is_file() and (file == "-" or Path(file).exists()):
            raise InputError(
                f"{file} is no file that can be read several times; give files, plain, .gz or .xz"
            )
    documents, hashes, lengths = 0, array("Q"), array("q")
    for first, unit in units(files):
        documents += first
        hashes.append(hash_of(unit))
        lengths.append(sum(map(len, unit)))
    total = sum(lengths)
    if total < FEWEST:
        raise InputError(
            f"the text has {total:,} characters, too few to hold out a validation set and train on the rest; give {FEWEST:,} or more"
        )
    ranked = np.array(hashes, np.uint64)
    order = np.argsort(ranked, kind="stable")
    behind = np.cumsum(np.array(lengths)[order])
    last = int(np.searchsorted(behind, min(VALID_SHARE * total, MOST_VALID)))
    threshold = int(ranked[order[last]]) + 1
    valid = int(np.array(lengths)[ranked < threshold].sum())
    if valid > total / 2:
        raise InputError(
            "the text repeats itself, or its lines are so long that no part of it can be held out; give more text, one paragraph a line"
        )
    return Text(tuple(map(str, files)), total, documents, valid, threshold)


def vocabulary_size(characters: int, size: str) -> int:
    """Choose how many pieces a vocabulary has, by the amount of text, and no more than the size of the model can afford."""
    return min(
        next(pieces for below, pieces in VOCABULARIES if characters < below), SHORT_RUNS[size].most_pieces
    )
