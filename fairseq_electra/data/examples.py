"""Labelled text: one or two sentences and a label, from TSV or JSON lines with named columns."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

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
    """

    texts: tuple[str, ...]
    label: str | None = None
    header: tuple[str, ...] | None = None
    skip_short_lines: bool = False


def read_examples(path: str | Path, columns: Columns) -> list[Example]:
    """Read a file of examples: JSON lines if its name ends so (``.jsonl``, ``.json``, also ``.gz`` or ``.xz`` behind), else TSV.

    TSV is read without quoting, as GLUE's files are: every tab ends a column.

    Raises:
        InputError: a column is missing, a line has another number of columns, a label is empty, or there is no example; names the line.
    """
    rows = _json_rows(path, columns) if _is_json(path) else _tsv_rows(path, columns)
    examples = []
    for number, raw in rows:
        place, values = f"{path}, line {number}", [value.strip() for value in raw]
        label = values.pop() if columns.label is not None else None
        if label == "":
            raise InputError(f"{place}: the label in column {columns.label!r} is empty; every line of this file needs one")
        examples.append(Example(tuple(values), label, place))
    if not examples:
        raise InputError(f"{path} holds no example; give a file with at least one line of data")
    return examples


def has_labels(path: str | Path, columns: Columns) -> bool:
    """Tell by a file's first line, or first record, whether it has the column with the label, or with ``header`` all its columns."""
    first = next((line for _, line in _numbered_lines(path) if line.strip()), "")
    if _is_json(path):
        try:
            record = json.loads(first)
        except json.JSONDecodeError:
            return True  # reading it will say what is wrong
        return not isinstance(record, dict) or columns.label in record
    names = first.split("\t")
    return len(names) == len(columns.header) if columns.header is not None else columns.label in names


def _is_json(path: str | Path) -> bool:
    return str(path).removesuffix(".gz").removesuffix(".xz").endswith(JSON_ENDINGS)


def _wanted(columns: Columns) -> list[str]:
    return [*columns.texts, *([columns.label] if columns.label is not None else [])]


def _numbered_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Lines from 1 on; a byte order mark, which spreadsheets write, belongs to no column."""
    for number, line in enumerate(read_lines(path), 1):
        yield number, line.removeprefix("\ufeff") if number == 1 else line


def _tsv_rows(path: str | Path, columns: Columns) -> Iterator[tuple[int, list[str]]]:
    lines = _numbered_lines(path)
    header: Sequence[str] | None = columns.header
    if header is None:
        header = next(lines, (1, ""))[1].split("\t")
    if not any(header):
        raise InputError(f"{path} is empty, or its first line is; give a file whose first line names the columns")
    missing = [name for name in _wanted(columns) if name not in header]
    if missing:
        raise InputError(f"{path} has no column {missing[0]!r}, its first line names {', '.join(map(repr, header))}; name one of these")
    places = [header.index(name) for name in _wanted(columns)]
    for number, line in lines:
        if not line:
            continue
        values = line.split("\t")
        if len(values) != len(header):
            if columns.skip_short_lines:
                continue
            raise InputError(f"{path}, line {number}: {len(values)} columns, not {len(header)}; tabs only stand between columns")
        yield number, [values[place] for place in places]


def _json_rows(path: str | Path, columns: Columns) -> Iterator[tuple[int, list[str]]]:
    for number, line in _numbered_lines(path):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}, line {number}: not JSON ({error}); every line must be one object") from error
        if not isinstance(record, dict):
            raise InputError(f"{path}, line {number}: {type(record).__name__}, not an object; every line must be one, such as {{...}}")
        missing = [name for name in _wanted(columns) if name not in record or record[name] is None]
        if missing:
            found = f"{missing[0]!r} is null" if missing[0] in record else f"no {missing[0]!r}, it has {', '.join(map(repr, record))}"
            raise InputError(f"{path}, line {number}: {found}; every record needs a value there")
        yield number, [str(record[name]) for name in _wanted(columns)]
