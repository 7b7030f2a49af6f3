"""Pairs of sentences about groups of people, one of which is taken to be the more stereotyping one."""

import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from fairseq_electra.errors import InputError, listed, shortened
from fairseq_electra.files.table import Columns, first_cells, is_json, read_rows, source_name
from fairseq_electra.files.text import is_blank

OWN = Columns(("category", "sentence", "counterpart"))
CROWS_PAIRS = Columns(("bias_type", "sent_more", "sent_less", "stereo_antistereo"))
DIRECTIONS = ("stereo", "antistereo")


class BiasPair(NamedTuple):
    """A sentence that stereotypes, and its counterpart, which does so less.

    Args:
        category: what the stereotype is about, such as age.
        sentence: the more stereotyping sentence: CrowS-Pairs' ``sent_more``.
        counterpart: the same sentence about another group: CrowS-Pairs' ``sent_less``.
        direction: CrowS-Pairs' ``stereo_antistereo``: whether the disadvantaged group stands in the sentence,
            which then expresses a stereotype (stereo), or in the counterpart, which then contradicts one
            (antistereo). None: not known.
    """

    category: str
    sentence: str
    counterpart: str
    direction: str | None = None


def read_bias_pairs(path: str | Path, quoted: bool = False) -> list[BiasPair]:
    """Read pairs from a table whose first line names the columns.

    The columns are ``category``, ``sentence`` and ``counterpart``, or CrowS-Pairs' ``bias_type``,
    ``sent_more``, ``sent_less`` and ``stereo_antistereo``; others are ignored. A pair may come twice, as one
    does in CrowS-Pairs.

    Args:
        path: a TSV, or a CSV by its name; may be compressed as ``.gz`` or ``.xz``.
        quoted: the cells of a TSV may be quoted; those of a CSV always may.

    Raises:
        InputError: a column is missing, a row has another number of cells, an open quote or a blank cell,
            its direction is unknown, or its sentences are the same; names the line. Or there is no pair.

    Source: Nangia et al. 2020 (arXiv 2010.00133).
    """
    if is_json(path) or str(path) == "-":
        raise InputError(f"{source_name(path)} is not a table of pairs; give the file as TSV or CSV")
    columns = columns_of(path, quoted)
    pairs = [_pair(columns.texts, cells, f"{path}, line {line}") for line, cells in read_rows(path, columns)]
    if not pairs:
        raise InputError(f"{path} has no pairs; give one pair per line below the names of the columns")
    return pairs


def columns_of(path: str | Path, quoted: bool = False) -> Columns:
    """Find the columns to read, by the first line; arguments and errors as :func:`read_bias_pairs`."""
    names = first_cells(path, Columns((), quoted=quoted))
    for columns in (OWN, CROWS_PAIRS):
        if set(columns.texts) <= set(names):
            return replace(columns, quoted=quoted)
    raise InputError(
        f"{path}: the first line names {listed(map(repr, names)) or 'no columns'}; pairs need the columns"
        f" {', '.join(OWN.texts)}, or CrowS-Pairs' {', '.join(CROWS_PAIRS.texts)}, between tabs, or in a"
        " .csv file between commas"
    )


def _pair(names: Sequence[str], cells: Sequence[str], location: str) -> BiasPair:
    for name, cell in zip(names, cells, strict=True):
        if is_blank(cell):
            raise InputError(f"{location}: the column {name!r} is blank; every pair needs a text there")
    pair = BiasPair(*(cell.strip() for cell in cells))
    if pair.direction not in (None, *DIRECTIONS):
        raise InputError(
            f"{location}: {names[-1]!r} is {shortened(pair.direction)!r}; write {' or '.join(DIRECTIONS)}"
        )
    if unicodedata.normalize("NFC", pair.sentence) == unicodedata.normalize("NFC", pair.counterpart):
        raise InputError(
            f"{location}: both sentences are the same, {shortened(pair.sentence)!r}; a pair must differ in"
            " the group"
        )
    return pair
