"""Read running text from files of every kind, and warn where its documents seem to be misunderstood.

A reader yields lines, with blank lines between documents, like :func:`fairseq_electra.files.text.read_text`.
"""

import functools
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fairseq_electra.errors import InputError
from fairseq_electra.files.inputs import is_object
from fairseq_electra.files.table import Columns, is_json, is_table, read_rows
from fairseq_electra.files.text import MAX_PART_BYTES, Reader, is_blank, read_parts, read_text

BLANK_LINES, LINES, HEADINGS = "blank-lines", "lines", "headings"
DOCUMENT_STARTS = (BLANK_LINES, LINES, HEADINGS)
# title of an article in WikiText and MediaWiki; headings of sections have more signs
_TITLE = re.compile(r"\s*=\s+[^=\s](.*\S)?\s+=\s*")
_HEADING = re.compile(r"\s*=.*\S.*=\s*")
# bounds of warnings: lines per document; share of documents of one line; share of documents that are only a
# heading
MANY_LINES, NEARLY_ALL, OFTEN = 1000, 0.9, 0.1
MIN_DOCUMENTS = 20


def reader_of(column: str | None = None, document_start: str = BLANK_LINES, quoted: bool = False) -> Reader:
    """Return a reader of running text.

    Args:
        column: column with the text of JSON lines, CSV or TSV, as the files' names say; each record is a
            document, each line of its text a paragraph. None: the files are plain text.
        document_start: where documents of plain text start, one of :data:`DOCUMENT_STARTS`: after blank
            lines, at each line, or at each heading of the form ``= Title =`` (blank lines are dropped).
        quoted: cells of a TSV may be quoted.
    """
    return (
        functools.partial(read_column, column=column, quoted=quoted)
        if column
        else functools.partial(read_plain, document_start=document_start)
    )


def read_plain(
    path: str | Path, longest: int = MAX_PART_BYTES, document_start: str = BLANK_LINES
) -> Iterator[str]:
    """Yield the lines of plain text, with blank lines between documents; arguments as for :func:`reader_of`.

    Raises:
        InputError: as for :func:`fairseq_electra.files.text.read_text`, or the file is a table by its name.
    """
    check_is_plain(path)
    lines = read_text(path, longest)
    return lines if document_start == BLANK_LINES else _separated(lines, document_start)


def check_is_plain(path: str | Path) -> None:
    """Refuse a file that is a table by its name."""
    if is_json(path) or is_table(path):
        raise InputError(
            f"{path} is a table by its name, JSON lines, CSV or TSV, and not plain text; where a command has "
            "--text, name its column with "
            "the text; write the text into a file of lines where it has not"
        )


def read_column(
    path: str | Path, longest: int = MAX_PART_BYTES, *, column: str, quoted: bool = False
) -> Iterator[str]:
    """Yield the lines of the texts in a column, with blank lines between records and nowhere else.

    Args:
        path: a CSV or TSV by its name, else JSON lines; ``-`` for standard input.
        longest: largest number of bytes of a line; longer lines are cut.
        column: name of the column or field.
        quoted: cells of a TSV may be quoted.

    Raises:
        InputError: the file cannot be read, or a record has no text there; names the line.
    """
    started = False
    for _, (text,) in read_rows(path, Columns((column,), quoted=quoted), json_lines=not is_table(path)):
        lines = [line for line in read_parts(io.BytesIO(text.encode()), longest) if not is_blank(line)]
        if started and lines:
            yield ""
        started = started or bool(lines)
        yield from lines


def _separated(lines: Iterable[str], document_start: str) -> Iterator[str]:
    """Put a blank line before each document except the first, and drop all others."""
    started = False
    for line in lines:
        if is_blank(line):
            continue
        if started and starts_document(line, document_start):
            yield ""
        started = True
        yield line


def starts_document(line: str, document_start: str) -> bool:
    """Tell whether a line that is not blank starts a document by itself, whatever stands before it.

    Args:
        line: the line.
        document_start: where documents start, one of :data:`DOCUMENT_STARTS`.
    """
    return document_start == LINES or (document_start == HEADINGS and _TITLE.fullmatch(line) is not None)


@dataclass
class DocumentCounts:
    """Counts the lines and documents of running text.

    Attributes:
        lines: number of lines with text.
        documents: number of documents.
        of_one_line: number of documents of one line.
        of_a_heading: number of documents that are only a heading, ``= Title =`` or ``== Title ==``.
        titled: number of documents that start with a line of the form ``= Title =``.
        begins_with_json: whether the first line is a JSON object.
        with_returns: number of lines that hold a carriage return.
    """

    lines: int = 0
    documents: int = 0
    of_one_line: int = 0
    of_a_heading: int = 0
    titled: int = 0
    begins_with_json: bool = False
    with_returns: int = 0

    def over(self, lines: Iterable[str]) -> Iterator[str]:
        """Yield lines unchanged, and count them."""
        length, first = 0, ""
        for line in lines:
            if not is_blank(line):
                if not length:
                    first = line
                    self.documents += 1
                    self.titled += _TITLE.fullmatch(line) is not None
                    self.begins_with_json = self.begins_with_json or (self.documents == 1 and is_object(line))
                length += 1
                self.lines += 1
                self.with_returns += "\r" in line
            else:
                self._end(length, first)
                length = 0
            yield line
        self._end(length, first)

    def _end(self, length: int, first: str) -> None:
        if length == 1:
            self.of_one_line += 1
            self.of_a_heading += _HEADING.fullmatch(first) is not None

    def __str__(self) -> str:
        each = self.lines / max(self.documents, 1)
        plural = "s" if self.documents != 1 else ""
        return f"{self.documents:,} document{plural} of {each:,.1f} lines with text on average"

    def warning_of_returns(self, place: str) -> str:
        """Return a warning if lines seem to end with lone carriage returns, as on old Macintoshes."""
        if self.with_returns < max(1, OFTEN * self.lines):
            return ""
        return (
            f"WARNING: {place}: {self.with_returns:,} of {self.lines:,} lines hold carriage returns, which "
            "end no line here; if they "
            "are meant to: tr '\\r' '\\n' < FILE > NEW"
        )

    def warning(self, place: str, files: int = 1, document_start: str = BLANK_LINES) -> str:
        """Return a warning for text whose documents seem to start elsewhere; else empty.

        Args:
            place: name of the text.
            files: number of files; each ends a document.
            document_start: where documents start, one of :data:`DOCUMENT_STARTS`.
        """
        if document_start != BLANK_LINES:
            if document_start == LINES or self.titled:
                return ""
            return (
                f"WARNING: {place}: no line among {self.lines:,} is a heading of the form '= Title =', so "
                "each file is one document; leave "
                "out --documents headings where blank lines stand between documents, or give --documents "
                "lines if each line is one"
            )
        enough = self.documents >= MIN_DOCUMENTS
        if self.begins_with_json:
            first = "its first line is JSON and is read as plain text"
            return (
                f"WARNING: {place}: {first}; name its field with the text, --text COLUMN, or write the"
                " text into a file of lines where a command has no --text"
            )
        if enough and self.of_a_heading >= OFTEN * self.documents:
            return (
                f"WARNING: {place}: {self.of_a_heading:,} of {self.documents:,} documents are a heading "
                "alone, as blank lines stand around "
                "it; --documents headings begins a document at each '= Title =' and passes over blank lines"
            )
        if self.documents <= files and self.lines >= MANY_LINES * files:
            return (
                f"WARNING: {place}: no blank line among {self.lines:,} lines, so each file is one document; "
                "put a blank line between "
                "documents, or give --documents lines if each line is one"
            )
        if enough and self.of_one_line >= NEARLY_ALL * self.documents:
            return (
                f"WARNING: {place}: {self.of_one_line:,} of {self.documents:,} documents are one line, as "
                "blank lines stand around it; if "
                "they are paragraphs of longer documents, take out the blank lines between those"
            )
        return ""
