"""Labelled text: one or two sentences and a label, from TSV or JSON lines with named columns."""

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairseq_electra.data.json_values import kind_of, label_of, parsed, text_of
from fairseq_electra.data.text import read_lines
from fairseq_electra.errors import InputError

JSON_ENDINGS = (".json", ".jsonl", ".jsonlines")


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


@dataclass(frozen=True)
class Columns:
    """Which columns of a file to read.

    Args:
        texts: names, in their order.
        label: name; None: the file has no labels.
        header: the names of a file that does not begin with them.
        skip_short_lines: pass over lines with other than the header's number of columns (QQP's train.tsv has some).
        quoted: cells of a TSV that begin with ``"`` end with one, may hold tabs and line ends, and ``""`` for ``"``.
        numbers: the labels are numbers, not names of classes, so that JSON may write them with a point and without.
    """

    texts: tuple[str, ...]
    label: str | None = None
    header: tuple[str, ...] | None = None
    skip_short_lines: bool = False
    quoted: bool = False
    numbers: bool = False


def read_examples(path: str | Path, columns: Columns) -> list[Example]:
    """Read a file of examples: JSON lines if its name ends so (``.jsonl``, ``.json``, also ``.gz`` or ``.xz`` behind), else TSV.

    TSV is read without quoting, as GLUE's files are: every tab ends a column; ``columns.quoted`` changes that.

    Raises:
        InputError: a column is missing, a line has another number of columns, a label is empty, a value of JSON is of the wrong kind, or
            there is no example; names the line.
    """
    rows = _json_rows(path, columns) if is_json(path) else _tsv_rows(path, columns)
    examples = []
    for number, raw in rows:
        place, values = f"{path}, line {number}", [value.strip() for value in raw]
        label = values.pop() if columns.label is not None else None
        if label == "":
            raise InputError(f"{place}: the label in column {columns.label!r} is empty; every line of this file needs one")
        if label is not None and ("\n" in label or "\r" in label):
            raise InputError(f"{place}: the label {label!r} holds a line end; write it in one line")
        examples.append(Example(tuple(values), label, place))
    if not examples:
        raise InputError(f"{path} holds no example; give a file with at least one line of data")
    return examples


def has_labels(path: str | Path, columns: Columns) -> bool:
    """Tell whether a file has labels: a TSV by its first line, which names the column, or with ``header`` has all; JSON by any record."""
    if is_json(path):
        try:
            return any(record.get(columns.label) is not None for _, record in records(numbered_lines(path), path))
        except InputError:
            return True  # reading it will say what is wrong
    names = next((cells for _, cells in _cells(path, columns.quoted) if any(cells)), [])
    return len(names) == len(columns.header) if columns.header is not None else columns.label in names


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
    cells = (cell for example in examples for cell in (*example.texts, example.label or ""))
    return sum(len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in cells)


def is_json(path: str | Path) -> bool:
    """Tell by its name whether a file holds JSON lines."""
    return str(path).removesuffix(".gz").removesuffix(".xz").endswith(JSON_ENDINGS)


def numbered_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Yield lines from 1 on; a byte order mark, which spreadsheets write, belongs to no column."""
    for number, line in enumerate(read_lines(path), 1):
        yield number, line.removeprefix("\ufeff") if number == 1 else line


def records(lines: Iterable[tuple[int, str]], source: str | Path) -> Iterator[tuple[int, dict]]:
    """Yield the records of JSON lines and their line numbers; blank lines are passed over.

    Args:
        lines: numbered.
        source: names them in errors.

    Raises:
        InputError: a line is no JSON object.
    """
    for number, line in lines:
        if not line.strip():
            continue
        try:
            record = parsed(line)
        except ValueError as error:
            raise InputError(f"{source}, line {number}: not JSON ({error}); every line must be one object") from error
        if not isinstance(record, dict):
            raise InputError(f"{source}, line {number}: {type(record).__name__}, not an object; every line must be one, such as {{...}}")
        yield number, record


def value_in(record: dict, name: str, place: str) -> object:
    """Return a record's value; refuse a record without it."""
    if record.get(name) is None:
        found = f"{name!r} is null" if name in record else f"no {name!r}, it has {', '.join(map(repr, record))}"
        raise InputError(f"{place}: {found}; every record needs a value there")
    return record[name]


def _number(label: str) -> float:
    """The label as a number, infinite if it is none."""
    try:
        return float(label)
    except ValueError:
        return math.inf


def _wanted(columns: Columns) -> list[str]:
    return [*columns.texts, *([columns.label] if columns.label is not None else [])]


def _cells(path: str | Path, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    """Cells of each row of a TSV, and the line in which it begins."""
    if not quoted:
        for number, line in numbered_lines(path):
            yield number, line.split("\t") if line else []
        return
    reader = csv.reader((f"{line}\n" for _, line in numbered_lines(path)), delimiter="\t", strict=True)
    number = 1
    try:
        for cells in reader:
            yield number, cells
            number = reader.line_num + 1
    except csv.Error as error:
        message = f"{path}, line {number}: not a TSV with quotes ({error}); close every quote, and double those inside"
        raise InputError(message) from error


def _tsv_rows(path: str | Path, columns: Columns) -> Iterator[tuple[int, list[str]]]:
    rows = _cells(path, columns.quoted)
    header: Sequence[str] | None = columns.header
    if header is None:
        header = next(rows, (1, [""]))[1]
    if not any(header):
        raise InputError(f"{path} is empty, or its first line is; give a file whose first line names the columns")
    missing = [name for name in _wanted(columns) if name not in header]
    if missing:
        advice = "give --quoted" if f'"{missing[0]}"' in header else "name one of these"
        raise InputError(f"{path} has no column {missing[0]!r}, its first line names {', '.join(map(repr, header))}; {advice}")
    places = [header.index(name) for name in _wanted(columns)]
    for number, values in rows:
        if not values:
            continue
        if len(values) != len(header):
            if columns.skip_short_lines:
                continue
            raise InputError(f"{path}, line {number}: {len(values)} columns, not {len(header)}; tabs only stand between columns")
        yield number, [values[place] for place in places]


def _json_rows(path: str | Path, columns: Columns) -> Iterator[tuple[int, list[str]]]:
    first_line, first_kind = 0, ""
    for number, record in records(numbered_lines(path), path):
        place = f"{path}, line {number}"
        values = [value_in(record, name, place) for name in _wanted(columns)]
        label = values.pop() if columns.label is not None else None
        row = [text_of(value, f"{place}: the text {name!r}") for name, value in zip(columns.texts, values, strict=True)]
        if columns.label is not None:
            row.append(label_of(label, f"{place}: the label {columns.label!r}"))
            kind = kind_of(label)
            if not first_kind:
                first_line, first_kind = number, kind
            if kind != first_kind and not columns.numbers:
                written = f"{place}: the label {row[-1]!r} is {kind}, where line {first_line} has {first_kind}"
                raise InputError(f"{written}; write all labels of a file in one way")
        yield number, row
