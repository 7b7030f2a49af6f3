"""Texts with several labels, from TSV or CSV with the labels in one cell, or JSON lines with a list."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fairseq_electra.errors import ExampleError, InputError, shortened
from fairseq_electra.files.faults import STRICT, Faults
from fairseq_electra.files.json_values import label_of, text_of
from fairseq_electra.files.table import (
    Columns,
    is_json,
    numbered_lines,
    read_rows,
    records,
    source_name,
    value_in,
)
from fairseq_electra.finetuning.multilabel import SEPARATOR
from fairseq_electra.finetuning.sentences.read import Example, classes_of


@dataclass(frozen=True)
class LabelledText:
    """One input: a sentence or a pair, and its labels.

    Args:
        texts: one or two.
        labels: none of which comes twice; None where the file has none.
        place: file and line, for messages.
    """

    texts: tuple[str, ...]
    labels: tuple[str, ...] | None
    place: str


def read_labelled_texts(
    path: str | Path, columns: Columns, separator: str = SEPARATOR, faults: Faults = STRICT
) -> list[LabelledText]:
    """Read a file, without the blanks around texts and labels. An empty cell or list is no label.

    Args:
        path: JSON lines, CSV or TSV, by its name.
        columns: which to read; that of the labels may be None.
        separator: stands between the labels of a cell, and of a text in JSON lines.
        faults: gathers examples that cannot be used.

    Raises:
        InputError: a column is missing, a value is of the wrong kind, a label is empty or comes twice, or
            there is no example; names the line.
    """
    before, texts = len(faults.errors), []
    if is_json(path):
        for number, record in records(numbered_lines(path), source_name(path), faults):
            with faults:
                texts.append(_of_record(record, columns, separator, f"{source_name(path)}, line {number}"))
    else:
        wanted = replace(columns, texts=(*columns.texts, columns.label)) if columns.label else columns
        for number, cells in read_rows(path, replace(wanted, label=None), faults=faults):
            with faults:
                place = f"{path}, line {number}"
                labels = _in_cell(cells.pop(), separator, place) if columns.label else None
                texts.append(LabelledText(tuple(cell.strip() for cell in cells), labels, place))
    if not texts and len(faults.errors) == before:
        raise InputError(f"{path} holds no example; give a file with at least one line of data")
    return texts


def labels_in(examples: Sequence[LabelledText]) -> tuple[str, ...]:
    """List the labels of examples: numbers by their value, then the others.

    Raises:
        InputError: two labels are the same number, such as 1 and 1.0.
    """
    return classes_of([Example((), label, each.place) for each in examples for label in each.labels or ()])


def _of_record(record: dict, columns: Columns, separator: str, place: str) -> LabelledText:
    texts = tuple(
        text_of(value_in(record, name, place), f"{place}: the text {name!r}").strip()
        for name in columns.texts
    )
    if columns.label is None:
        return LabelledText(texts, None, place)
    value: Any = value_in(record, columns.label, place)
    what = f"{place}: a label in {columns.label!r}"
    if not isinstance(value, list):
        return LabelledText(texts, _in_cell(label_of(value, what), separator, place), place)
    return LabelledText(texts, _checked([label_of(each, what).strip() for each in value], place), place)


def _in_cell(cell: str, separator: str, place: str) -> tuple[str, ...]:
    """Return the labels of a cell."""
    return _checked([label.strip() for label in cell.split(separator)], place) if cell.strip() else ()


def _checked(labels: list[str], place: str) -> tuple[str, ...]:
    """Refuse labels that are empty, come twice or hold a line end."""
    if "" in labels:
        raise ExampleError(
            "with an empty label",
            f"{place}: one of the {len(labels)} labels is empty; write it, or take it out",
        )
    for label in labels:
        if labels.count(label) > 1:
            raise ExampleError(
                "with a label twice",
                f"{place}: the label {shortened(label)!r} stands there twice; write it once",
            )
        if "\n" in label or "\r" in label:
            raise ExampleError(
                "with a line end in a label",
                f"{place}: the label {shortened(label)!r} holds a line end; take it out",
            )
    return tuple(labels)
