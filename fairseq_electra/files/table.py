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
from fairseq_electra.files.text import read_lines

JSON_ENDINGS = (".json", ".jsonl", ".jsonlines")
csv.field_size_limit(sys.maxsize)  # of the whole process; it is 131,072 characters, and a document is longer
CSV_DELIMITERS = ",;\t"  # spreadsheets write a semicolon where the comma is the decimal point


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


def read_rows(
    path: str | Path, columns: Columns, json_lines: bool = False, faults: Faults = STRICT
) -> Iterator[tuple[int, list[str]]]:
    """Yield the values of each row or record and the line in which it begins: the texts, and the label where there is one.

    A file is JSON lines, or CSV, if its name ends so (``.jsonl``, ``.json``, ``.csv``, also ``.gz`` or ``.xz`` behind), else TSV. TSV is
    read without quoting, as GLUE's files are: every tab ends a column; ``columns.quoted`` changes that. The columns of a CSV are between
    commas, semicolons or tabs, by its first line.

    Args:
        path: of the file; ``-`` for standard input.
        columns: what to read.
        json_lines: whether it is JSON lines, whatever its name.
        faults: gathers rows that cannot be used.

    Raises:
        InputError: a column is missing, a line has another number of columns, or a value of JSON is of the wrong kind; names the line.
    """
    return (_json_rows if is_json(path) or json_lines else _table_rows)(path, columns, faults)


def has_labels(path: str | Path, columns: Columns) -> bool:
    """Tell whether a file has labels.

    A table has labels if its first line names their column, or, with ``header``, has as many cells as there are names. JSON lines have
    labels if any record has one.
    """
    if is_json(path):
        return any(
            record.get(columns.label) is not None
            for _, record in records(numbered_lines(path), path, Faults())
        )
    names = next((cells for _, cells in _cells(path, columns) if any(cells)), [])
    return len(names) == len(columns.header) if columns.header is not None else columns.label in names


def in_quotes(cell: str) -> bool:
    """Tell whether a cell begins and ends with a quote."""
    return len(cell) > 1 and cell[0] == cell[-1] == '"'


def is_json(path: str | Path) -> bool:
    """Tell by its name whether a file holds JSON lines."""
    return ends(path, JSON_ENDINGS)


def is_csv(path: str | Path) -> bool:
    """Tell by its name whether a file is a CSV."""
    return ends(path, (".csv",))


def is_table(path: str | Path) -> bool:
    """Tell by its name whether a file is a CSV or a TSV."""
    return ends(path, (".csv", ".tsv"))


def ends(path: str | Path, endings: tuple[str, ...]) -> bool:
    """Tell whether a file's name ends so, in capitals or not, but for ``.gz`` or ``.xz`` behind."""
    return str(path).lower().removesuffix(".gz").removesuffix(".xz").endswith(endings)


def source_name(path: str | Path) -> str:
    """Name a file in messages."""
    return "standard input" if str(path) == "-" else str(path)


def numbered_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Yield lines from 1 on; a byte order mark, which spreadsheets write, belongs to no column."""
    for number, line in enumerate(read_lines(path), 1):
        yield number, line.removeprefix("\ufeff") if number == 1 else line


def records(
    lines: Iterable[tuple[int, str]], source: str | Path, faults: Faults = STRICT
) -> Iterator[tuple[int, dict]]:
    """Yield the records of JSON lines and their line numbers; blank lines are passed over.

    Args:
        lines: numbered.
        source: names them in errors.
        faults: gathers lines that are no records.

    Raises:
        InputError: a line is no JSON object.
    """
    for number, line in lines:
        if not line.strip():
            continue
        with faults:
            yield number, _record(line, f"{source}, line {number}")


def _record(line: str, place: str) -> dict:
    try:
        record = parsed(line)
    except ValueError as error:
        raise ExampleError(
            "that are not JSON", f"{place}: not JSON ({error}); every line must be one object"
        ) from error
    if not isinstance(record, dict):
        message = f"{place}: {type(record).__name__}, not an object; every line must be one, such as {{...}}"
        raise ExampleError("that are not JSON objects", message)
    return record


def value_in(record: dict, name: str, place: str) -> object:
    """Return a record's value; refuse a record without it."""
    if record.get(name) is None:
        found = f"{name!r} is null" if name in record else f"no {name!r}, it has {listed(map(repr, record))}"
        raise ExampleError(
            f"without a value in {name!r}", f"{place}: {found}; every record needs a value there"
        )
    return record[name]


def _wanted(columns: Columns) -> list[str]:
    return [*columns.texts, *([columns.label] if columns.label is not None else [])]


def _cells(path: str | Path, columns: Columns) -> Iterator[tuple[int, list[str]]]:
    """Cells of each row of a table, and the line in which it begins."""
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
        message = f"{path}, line {number}: not a {kind} with quotes ({error}); close every quote, and double those inside"
        raise InputError(message) from error


def _delimiter(line: str, header: Sequence[str] | None) -> str:
    """Find what stands between the cells of a CSV: what cuts its first line into as many as there are names, or into most."""

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
    if not any(header):
        raise InputError(
            f"{path} is empty, or its first line is; give a file whose first line names the columns"
        )
    missing = [name for name in _wanted(columns) if name not in header]
    if missing:
        raise InputError(
            f"{path} has no column {missing[0]!r}, its first line names {listed(map(repr, header))}; {_advice(header, missing[0])}"
        )
    places = [header.index(name) for name in _wanted(columns)]
    between = (
        "quote cells that hold what stands between columns"
        if is_csv(path)
        else "tabs only stand between columns"
    )
    for number, values in rows:
        if not values or (columns.skip_short_lines and len(values) != len(header)):
            continue
        if len(values) == len(header):
            yield number, [values[place] for place in places]
            continue
        with faults:
            message = f"{path}, line {number}: {len(values)} columns, not {len(header)}; {between}"
            raise ExampleError("with another number of columns", message)


def _advice(header: Sequence[str], missing: str) -> str:
    """Say what to do about a column that a header has not."""
    if f'"{missing}"' in header:
        return "give --quoted"
    if len(header) == 1 and any(
        missing in next(csv.reader(header, delimiter=each), []) for each in CSV_DELIMITERS
    ):
        return "give a CSV a name that ends in .csv"
    return "name one of these"


def _json_rows(path: str | Path, columns: Columns, faults: Faults) -> Iterator[tuple[int, list[str]]]:
    source = source_name(path)
    first_line, first_kind = 0, ""
    for number, record in records(numbered_lines(path), source, faults):
        place = f"{source}, line {number}"
        with faults:
            values = [value_in(record, name, place) for name in _wanted(columns)]
            label = values.pop() if columns.label is not None else None
            row = [
                text_of(value, f"{place}: the text {name!r}")
                for name, value in zip(columns.texts, values, strict=True)
            ]
            if columns.label is not None:
                row.append(label_of(label, f"{place}: the label {columns.label!r}"))
                kind = kind_of(label)
                if not first_kind:
                    first_line, first_kind = number, kind
                if kind != first_kind and not columns.numbers:
                    written = (
                        f"{place}: the label {row[-1]!r} is {kind}, where line {first_line} has {first_kind}"
                    )
                    raise ExampleError(
                        "with a label of another kind", f"{written}; write all labels of a file in one way"
                    )
            yield number, row
