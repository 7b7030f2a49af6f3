"""Inputs to predict on: lines of text, with tabs between the texts of an input, JSON lines, CSV or TSV."""

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from fairseq_electra.errors import InputError, listed
from fairseq_electra.files.json_values import parsed, text_of
from fairseq_electra.files.table import (
    Columns,
    first_cells,
    is_csv,
    is_json,
    is_table,
    numbered_lines,
    read_rows,
    records,
    source_name,
    value_in,
)

_BEGIN = re.compile(r'\s*\{\s*(?:"|$)')  # of an object, also one that continues on the next line
Input = str | tuple[str, ...]  # a line of plain text, or the texts of a record


def read_inputs(
    path: str | Path,
    columns: Sequence[str] = (),
    named: bool = False,
    quoted: bool = False,
    header: tuple[str, ...] | None = None,
) -> Iterator[Input]:
    """Yield the inputs of a file.

    A file is read as JSON lines if its name ends so or its first line that is not blank is a JSON object, as
    CSV if its name ends so, and as TSV if its name ends so and its first line names the columns. A byte order
    mark is dropped.

    Args:
        path: a file, plain, ``.gz`` or ``.xz``; ``-`` for standard input.
        columns: the columns or fields that hold the texts of an input, in order; empty: not known.
        named: the user named the columns, so the file has some: it is read as TSV if its name ends so, else
            as JSON lines.
        quoted, header: as for :class:`fairseq_electra.files.table.Columns`.

    Raises:
        InputError: the file cannot be read, or a record lacks a text or has a value of another type there;
            names the line.
    """
    source = source_name(path)
    if is_read_by_columns(path, columns, named, quoted):
        if not columns:
            raise InputError(
                f"{source} is a CSV or TSV by its name, and the model does not know which columns hold its"
                " text; name them with --text"
            )
        for _, texts in read_rows(path, Columns(tuple(columns), header=header, quoted=quoted)):
            yield tuple(texts)
        return
    lines, head = numbered_lines(path), []
    for number, line in lines:
        head.append((number, line))
        if line.strip():
            break
    all_lines = itertools.chain(head, lines)
    if named or is_json(path) or (head and is_object(head[-1][1])):
        for number, record in records(all_lines, source):
            yield _texts(record, columns, f"{source}, line {number}")
    else:
        yield from (line for _, line in all_lines)


def is_read_by_columns(path: str | Path, columns: Sequence[str], named: bool, quoted: bool) -> bool:
    """Tell whether a file is read as a table: a CSV, or a TSV that has columns.

    A TSV has them where the user named some, or where its first line names all of ``columns``. Arguments as
    of :func:`read_inputs`.
    """
    if is_csv(path) or not is_table(path) or named:
        return is_table(path)
    if not columns or not Path(path).is_file():
        return False
    return set(columns) <= set(first_cells(path, Columns(tuple(columns), quoted=quoted)))


def texts_in(given: Input) -> list[str]:
    """Return the texts of an input."""
    return given.split("\t") if isinstance(given, str) else list(given)


def _texts(record: dict, columns: Sequence[str], location: str) -> tuple[str, ...]:
    names = listed(map(repr, record))
    if not columns:
        raise InputError(
            f"{location}: a JSON record with {names}, and the model does not know which hold its text; name"
            " them with --text"
        )
    missing = [name for name in columns if name not in record]
    if missing:
        raise InputError(f"{location}: no {missing[0]!r}, it has {names}; name the columns with --text")
    return tuple(
        text_of(value_in(record, name, location), f"{location}: the text {name!r}") for name in columns
    )


def is_object(line: str) -> bool:
    """Tell whether a line is, or tries to be, a JSON object."""
    if not line.lstrip().startswith("{"):
        return False
    try:
        return isinstance(parsed(line), dict)
    except json.JSONDecodeError:
        return _BEGIN.match(line) is not None
    except ValueError:
        return True  # reading it will say what is wrong
