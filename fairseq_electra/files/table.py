"""Tables and records with named columns: TSV, CSV and JSON lines."""

import csv
import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairseq_electra.errors import ExampleError, InputError, listed
from fairseq_electra.files.faults import STRICT, Faults
from fairseq_electra.files.json_values import kind_of, label_of, parsed, text_of
from fairseq_electra.files.text import check_reads_twice, read_lines

JSON_ENDINGS = (".json", ".jsonl", ".jsonlines")
# for the whole process; the default, 131,072 characters, is too short for documents
csv.field_size_limit(sys.maxsize)
CSV_DELIMITERS = ",;\t"  # spreadsheets write a semicolon where the comma is the decimal point


@dataclass(frozen=True)
class Columns:
    """Which columns of a file to read.

    Args:
        texts: names of the columns with text, in the order of the texts.
        label: name of the column with the label; None: the file has no labels.
        header: names of all columns, for a file whose first line does not name them.
        skip_short_lines: skip lines whose number of columns differs from the header's (QQP's train.tsv has
            some).
        quoted: cells of a TSV that begin with ``"`` end with one, may hold tabs and line ends, and
            ``""`` for ``"``.
        numbers: the labels are numbers, not class names, so JSON may write them with or without a decimal
            point.
    """

    texts: tuple[str, ...]
    label: str | None = None
    header: tuple[str, ...] | None = None
    skip_short_lines: bool = False
    quoted: bool = False
    numbers: bool = False


def read_rows(
    path: str | Path, columns: Columns, json_lines: bool = False, faults: Faults = STRICT
) -> Iterator[tuple[int, list[str]]]:
    """Yield for each row or record the number of its first line and its values: texts, then the label if any.

    A file is JSON lines, or CSV, if its name ends so (``.jsonl``, ``.json``, ``.csv``, also ``.gz`` or
    ``.xz`` behind), else TSV. TSV is read without quoting, as GLUE's files are: every tab ends a
    column; ``columns.quoted`` changes that. The columns of a CSV are between commas, semicolons or tabs, by
    its first line.

    Args:
        path: the file; ``-`` for standard input.
        columns: the columns to read.
        json_lines: read the file as JSON lines, whatever its name.
        faults: collects rows that cannot be used.

    Raises:
        InputError: a column is missing, a row has another number of columns, or a JSON value has the wrong
            type; names the line.
    """
    return (_json_rows if is_json(path) or json_lines else _table_rows)(path, columns, faults)


def has_labels(path: str | Path, columns: Columns) -> bool:
    """Tell whether a file has labels.

    A table has labels if its first line names their column, or, with ``header``, has as many cells as there
    are names. JSON lines have labels if any record has one.

    Raises:
        InputError: the file cannot be read a second time.
    """
    check_reads_twice(path)
    if is_json(path):
        return any(
            record.get(columns.label) is not None
            for _, record in records(numbered_lines(path), path, Faults())
        )
    names = first_cells(path, columns)
    return len(names) == len(columns.header) if columns.header is not None else columns.label in names


def first_cells(path: str | Path, columns: Columns) -> list[str]:
    """Return the cells of the first row of a table that is not empty, which mostly names the columns."""
    return next((cells for _, cells in _cells(path, columns) if any(cells)), [])


def in_quotes(cell: str) -> bool:
    """Tell whether a cell begins and ends with a quote."""
    return len(cell) > 1 and cell[0] == cell[-1] == '"'


def is_json(path: str | Path) -> bool:
    """Tell by its name whether a file holds JSON lines."""
    return has_ending(path, JSON_ENDINGS)


def is_csv(path: str | Path) -> bool:
    """Tell by its name whether a file is a CSV."""
    return has_ending(path, (".csv",))


def is_table(path: str | Path) -> bool:
    """Tell by its name whether a file is a CSV or a TSV."""
    return has_ending(path, (".csv", ".tsv"))


def has_ending(path: str | Path, endings: tuple[str, ...]) -> bool:
    """Tell whether a file's name ends so, in capitals or not, but for ``.gz`` or ``.xz`` behind."""
    return str(path).lower().removesuffix(".gz").removesuffix(".xz").endswith(endings)


def source_name(path: str | Path) -> str:
    """Return the name of a file for messages."""
    return "standard input" if str(path) == "-" else str(path)


def numbered_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Return the lines with their numbers, from 1."""
    return enumerate(read_lines(path), 1)


def records(
    lines: Iterable[tuple[int, str]], source: str | Path, faults: Faults = STRICT
) -> Iterator[tuple[int, dict]]:
    """Yield the records of JSON lines with their line numbers; blank lines are skipped.

    Args:
        lines: line numbers and lines.
        source: name of the file in errors.
        faults: collects lines that are not records.

    Raises:
        InputError: a line is not a JSON object.
    """
    for number, line in lines:
        if not line.strip():
            continue
        with faults:
            yield number, _record(line, f"{source}, line {number}")


def _record(line: str, location: str) -> dict:
    try:
        record = parsed(line)
    except ValueError as error:
        raise ExampleError(
            "that are not JSON", f"{location}: not JSON ({error}); every line must be one object"
        ) from error
    if not isinstance(record, dict):
        message = (
            f"{location}: {type(record).__name__}, not an object; every line must be one, such as {{...}}"
        )
        raise ExampleError("that are not JSON objects", message)
    return record


def value_in(record: dict, name: str, location: str) -> object:
    """Return a value of a record; refuse a record that lacks it."""
    if record.get(name) is None:
        what = f"{name!r} is null" if name in record else f"no {name!r}, it has {listed(map(repr, record))}"
        raise ExampleError(
            f"without a value in {name!r}", f"{location}: {what}; every record needs a value there"
        )
    return record[name]


def _names(columns: Columns) -> list[str]:
    return [*columns.texts, *([columns.label] if columns.label is not None else [])]


def _cells(path: str | Path, columns: Columns) -> Iterator[tuple[int, list[str]]]:
    """Yield for each row of a table the number of its first line and its cells."""
    lines = numbered_lines(path)
    if not (columns.quoted or is_csv(path)):
        for number, line in lines:
            yield number, line.split("\t") if line else []
        return
    first = next(lines, (1, ""))
    kind, delimiter = ("CSV", _delimiter(first[1], columns.header)) if is_csv(path) else ("TSV", "\t")
    reader = csv.reader(
        (f"{line}\n" for _, line in itertools.chain([first], lines)), delimiter=delimiter, strict=True
    )
    number = 1
    try:
        for cells in reader:
            yield number, cells
            number = reader.line_num + 1
    except csv.Error as error:
        where = f"{path}, line {number}"
        fault, remedy = str(error), "close every quote, and double those inside"
        if "new-line character" in fault:
            fault, remedy = "a carriage return outside quotes", "remove it, or quote its cell"
        message = f"{where}: not a {kind} with quotes ({fault}); {remedy}"
        raise InputError(message) from error


def _delimiter(line: str, header: Sequence[str] | None) -> str:
    """Find the delimiter of a CSV: it cuts the first line into as many cells as names, or into the most."""

    def cells(delimiter: str) -> int:
        return len(next(csv.reader([line], delimiter=delimiter), []))

    return max(
        CSV_DELIMITERS,
        key=lambda delimiter: (header is not None and cells(delimiter) == len(header), cells(delimiter)),
    )


def _table_rows(path: str | Path, columns: Columns, faults: Faults) -> Iterator[tuple[int, list[str]]]:
    rows = _cells(path, columns)
    header: Sequence[str] | None = columns.header
    if header is None:
        header = next(rows, (1, [""]))[1]
    else:
        rows = _without_header(rows, header, path)
    if not any(header):
        raise InputError(
            f"{path} is empty, or its first line is; give a file whose first line names the columns"
        )
    missing = [name for name in _names(columns) if name not in header]
    if missing:
        raise InputError(
            f"{path} has no column {missing[0]!r}, its first line names {listed(map(repr, header))};"
            f" {_advice(header, missing[0])}"
            if columns.header is None
            else f"--header names {listed(map(repr, header))}, and no {missing[0]!r}; name one of these"
        )
    twice = [name for name in _names(columns) if header.count(name) > 1]
    if twice:
        raise InputError(f"{path} has several columns {twice[0]!r}; give each its own name")
    indices = [header.index(name) for name in _names(columns)]
    between = "quote cells that hold the delimiter" if is_csv(path) else "a cell cannot hold a tab"
    for number, values in _with_empty_texts(rows) if len(header) == 1 else rows:
        if not values or (columns.skip_short_lines and len(values) != len(header)):
            continue
        if len(values) == len(header):
            yield number, [values[index] for index in indices]
            continue
        with faults:
            remedy = between if len(values) > len(header) else "write all of them, also empty ones"
            message = f"{path}, line {number}: {len(values)} columns, not {len(header)}; {remedy}"
            raise ExampleError("with another number of columns", message)


def _with_empty_texts(rows: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a single column, where an empty line is an empty cell, but for those at the end."""
    empty = []
    for number, cells in rows:
        if not cells:
            empty.append(number)
            continue
        yield from ((each, [""]) for each in empty)
        empty = []
        yield number, cells


def _without_header(
    rows: Iterator[tuple[int, list[str]]], header: Sequence[str], path: str | Path
) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a table whose columns were named, and refuse one that names them itself."""
    for position, (number, cells) in enumerate(rows):
        if not position and tuple(cells) == tuple(header):
            raise InputError(
                f"{path}: its first line names the columns, as --header does; leave out --header"
            )
        yield number, cells


def _advice(header: Sequence[str], missing: str) -> str:
    """Return what to do about a column that is missing in a header."""
    if f'"{missing}"' in header:
        return "give --quoted"
    if len(header) == 1 and any(
        missing in next(csv.reader(header, delimiter=each), []) for each in CSV_DELIMITERS
    ):
        return "give a CSV a name that ends in .csv"
    return "name one of these, or give --header if it names none"


def _json_rows(path: str | Path, columns: Columns, faults: Faults) -> Iterator[tuple[int, list[str]]]:
    source = source_name(path)
    if columns.header is not None or columns.quoted:
        option = "--quoted" if columns.header is None else "--header"
        raise InputError(f"{option} is for a TSV, and {source} holds JSON lines; leave it out")
    first_line, first_kind = 0, ""
    for number, record in records(numbered_lines(path), source, faults):
        location = f"{source}, line {number}"
        with faults:
            values = [value_in(record, name, location) for name in _names(columns)]
            label = values.pop() if columns.label is not None else None
            row = [
                text_of(value, f"{location}: the text {name!r}")
                for name, value in zip(columns.texts, values, strict=True)
            ]
            if columns.label is not None:
                row.append(label_of(label, f"{location}: the label {columns.label!r}"))
                kind = kind_of(label)
                if not first_kind:
                    first_line, first_kind = number, kind
                if kind != first_kind and not columns.numbers:
                    here = f"the label {row[-1]!r} is {kind}"
                    written = f"{location}: {here}, where line {first_line} has {first_kind}"
                    raise ExampleError(
                        "with a label of another kind", f"{written}; write all labels of a file in one way"
                    )
            yield number, row
