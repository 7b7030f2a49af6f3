"""The raw text of a speedrun: its size, and the part that is held out for validation."""

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fairseq_electra.errors import InputError
from fairseq_electra.files.text import check_reads_twice, is_blank
from fairseq_electra.pretraining.documents import read_plain
from fairseq_electra.pretraining.recipes import SHORT_RUNS

VALID_SHARE, MAX_VALID_CHARACTERS = 0.05, 300_000  # size of the validation set: the smaller of the two
MIN_CHARACTERS = 100_000  # of all text
# Longer documents are split into units of this many characters; else one book could be the whole validation
# set.
UNIT_CHARACTERS = 20_000
# the vocabulary size for texts of fewer characters than the first number
VOCABULARY_SIZES = ((5e6, 4096), (50e6, 8192), (500e6, 16384), (float("inf"), 30522))


@dataclass(frozen=True)
class Text:
    """Text files, and their division into train and valid.

    Args:
        files: The text files.
        characters: The total number of characters.
        documents: The total number of documents.
        valid_characters: The number of characters that are held out.
        threshold: A unit whose hash is below this number is held out.
        unit_characters: The size of a unit of a long document.
    """

    files: tuple[str, ...]
    characters: int
    documents: int
    valid_characters: int
    threshold: int
    unit_characters: int = UNIT_CHARACTERS

    def lines(self, split: str) -> Iterator[str]:
        """Yield the lines of a split, with an empty line between documents and where a unit is left out."""
        gap = False
        for unit in units(self.files, self.unit_characters):
            if (hash_of(unit.lines) < self.threshold) != (split == "valid"):
                gap = True
                continue
            if unit.starts_document or gap:
                yield ""
            gap = False
            yield from unit.lines


class Unit(NamedTuple):
    """A document or a part of a long document, which is held out or trained on as a whole."""

    starts_document: bool
    lines: list[str]


def units(files: Sequence[str], unit_characters: int = UNIT_CHARACTERS) -> Iterator[Unit]:
    """Split text into documents, and long documents into parts that end at the end of a line."""
    for file in files:
        starts_document, lines, characters = True, list[str](), 0
        for line in read_plain(file):
            blank = is_blank(line)
            if lines and (blank or characters > unit_characters):
                yield Unit(starts_document, lines)
                starts_document, lines, characters = False, [], 0
            if blank:
                starts_document = True
            else:
                lines.append(line)
                characters += len(line)
        if lines:
            yield Unit(starts_document, lines)


def hash_of(lines: Iterable[str]) -> int:
    """Hash the text of a unit to 64 bits, so that the same text is always in the same split."""
    return int.from_bytes(hashlib.blake2b("\n".join(lines).encode(), digest_size=8).digest(), "big")


def survey(files: Sequence[str], unit_characters: int = UNIT_CHARACTERS) -> Text:
    """Read all text once and choose the validation set.

    Units are held out in the order of their hashes until 5 % of the text or 300,000 characters are reached.

    Raises:
        InputError: A file cannot be read twice, or there is too little text for two sets.
    """
    for file in files:
        check_reads_twice(file)
    documents, hashes, lengths = 0, array("Q"), array("q")
    for unit in units(files, unit_characters):
        documents += unit.starts_document
        hashes.append(hash_of(unit.lines))
        lengths.append(sum(map(len, unit.lines)))
    total = sum(lengths)
    if total < MIN_CHARACTERS:
        raise InputError(
            f"the text has {total:,} characters, too few to hold out a validation set and train on the rest; "
            f"give {MIN_CHARACTERS:,} or more"
        )
    hash_array = np.array(hashes, np.uint64)
    order = np.argsort(hash_array, kind="stable")
    held_out = np.cumsum(np.array(lengths)[order])
    last = int(np.searchsorted(held_out, min(VALID_SHARE * total, MAX_VALID_CHARACTERS)))
    threshold = int(hash_array[order[last]]) + 1
    valid = int(np.array(lengths)[hash_array < threshold].sum())
    if valid > total / 2:
        raise InputError(
            "the text repeats itself, or its lines are so long that no part of it can be held out; give more"
            " text, one paragraph per line"
        )
    return Text(tuple(map(str, files)), total, documents, valid, threshold, unit_characters)


def vocabulary_size(characters: int, size: str) -> int:
    """Choose the vocabulary size by the amount of text, up to the maximum of the model size."""
    by_text = next(pieces for limit, pieces in VOCABULARY_SIZES if characters < limit)
    return min(by_text, SHORT_RUNS[size].most_pieces)
