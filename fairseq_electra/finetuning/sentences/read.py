"""Labelled text: one or two sentences and a label, from TSV, CSV or JSON lines with named columns."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairseq_electra.errors import ExampleError, InputError, shortened
from fairseq_electra.files.faults import STRICT, Faults
from fairseq_electra.files.table import Columns, in_quotes, read_rows


@dataclass(frozen=True)
class Example:
    """One input of a sentence task.

    Args:
        texts: a sentence, a pair, or the context of a multiple choice and its choices.
        label: as it stands in the file; None where there is none.
        place: file and line, for messages.
    """

    texts: tuple[str, ...]
    label: str | None
    place: str


def read_examples(path: str | Path, columns: Columns, faults: Faults = STRICT) -> list[Example]:
    """Read a file of examples, without the blanks around texts and labels.

    It is read as :func:`fairseq_electra.files.table.read_rows` does.

    Args:
        path: of the file.
        columns: what to read.
        faults: gathers examples that cannot be used.

    Raises:
        InputError: a column is missing, a line has another number of columns, a label is empty, a value of
            JSON is of the wrong kind, or there is no example; names the line.
    """
    examples = []
    before = len(faults.errors)
    for number, raw in read_rows(path, columns, faults=faults):
        with faults:
            examples.append(
                _example([value.strip() for value in raw], columns.label, f"{path}, line {number}")
            )
    if not examples and len(faults.errors) == before:
        raise InputError(f"{path} holds no example; give a file with at least one line of data")
    return examples


def _example(values: list[str], label_column: str | None, place: str) -> Example:
    label = values.pop() if label_column is not None else None
    if label == "":
        raise ExampleError(
            "without a label",
            f"{place}: the label in column {label_column!r} is empty; every line of this file needs one",
        )
    if label is not None and ("\n" in label or "\r" in label):
        raise ExampleError(
            "with a line end in the label",
            f"{place}: the label {shortened(label)!r} holds a line end; write it in one line",
        )
    return Example(tuple(values), label, place)


def classes_of(examples: Sequence[Example]) -> tuple[str, ...]:
    """List the labels of examples: numbers by their value, then the others.

    Raises:
        InputError: two labels are the same number, such as 1 and 1.0.
    """
    places: dict[str, str] = {}
    spelling: dict[float, str] = {}
    for example in examples:
        label = example.label
        if label is None or label in places:
            continue
        places[label] = example.place
        number = _number(label)
        other = spelling.setdefault(number, label) if math.isfinite(number) else label
        if other != label:
            raise InputError(
                f"{example.place}: the label {label!r} is the same number as {other!r} ({places[other]}); "
                "write it in one way, or name both with --labels"
            )
    return tuple(sorted(places, key=lambda label: (_number(label), label)))


def quoted_cells(examples: Iterable[Example]) -> int:
    """Count the texts and labels that begin and end with a quote."""
    return sum(in_quotes(cell) for example in examples for cell in (*example.texts, example.label or ""))


def _number(label: str) -> float:
    """The label as a number, infinite if it is none that has a place among others."""
    try:
        number = float(label)
    except ValueError:
        return math.inf
    return number if math.isfinite(number) else math.inf
