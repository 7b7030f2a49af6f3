"""Lines of files of words: which columns hold the word and its tag, and which lines are no word."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fairseq_electra.data.examples import numbered_lines
from fairseq_electra.data.tags import is_tag

DOCUMENT = "-DOCSTART-"
_NOT_A_WORD = re.compile(r"\d+[-.]\d+")  # first column of CoNLL-U: several words written as one, or a word that is not written


class WordColumns(NamedTuple):
    """Numbers of the columns with the words and their tags, from 1 on; ``tag`` 0: the last."""

    word: int = 1
    tag: int = 0

    def word_in(self, cells: list[str]) -> str:
        """Return the word of a line, empty where it has none."""
        return cells[self.word - 1].strip() if len(cells) >= self.word else ""

    def tag_in(self, cells: list[str]) -> str | None:
        """Return the tag of a line; None where it has no such column."""
        there = len(cells) >= self.tag if self.tag else len(cells) > self.word
        return cells[self.tag - 1].strip() if there else None


FIRST_AND_LAST = WordColumns()


def cells_of(line: str) -> list[str]:
    """Return the columns of a line: between tabs, or where it has none between blanks. A no-break space is part of the word."""
    return line.split("\t") if "\t" in line else [cell for cell in line.strip().split(" ") if cell]


def word_lines(path: str | Path, columns: WordColumns, scheme: str) -> Iterator[tuple[int, str, list[str] | None, bool]]:
    """Yield number and text of each line, its columns, None where it holds no word, and whether it ends a sentence.

    A line ends a sentence if it is blank or the beginning of a document. Where the words are not in the first column, a line is no word,
    wherever it stands, if this column begins with ``#``, or has the number of a range or of an empty word of CoNLL-U. Where the words are
    in the first column, ``#`` may be one: a line is a comment there only before a sentence, if it begins with ``# `` and ends with no tag.

    Args:
        path: plain, ``.gz`` or ``.xz``; ``-`` for standard input.
        columns: where words and tags are.
        scheme: of the tags, one of :data:`tags.SCHEMES`.
    """
    begun = False
    for number, line in numbered_lines(path):
        cells = cells_of(line)
        if not line.strip() or DOCUMENT in cells[: columns.word]:
            begun = False
            yield number, line, None, True
        elif _is_comment(line, cells, columns, scheme, begun) or (columns.word > 1 and _NOT_A_WORD.fullmatch(cells[0])):
            yield number, line, None, False
        else:
            begun = True
            yield number, line, cells, False


def _is_comment(line: str, cells: list[str], columns: WordColumns, scheme: str, begun: bool) -> bool:
    if columns.word > 1:
        return cells[0].startswith("#")
    tag = columns.tag_in(cells)
    return not begun and line.startswith("# ") and "\t" not in line and not (tag is None or is_tag(tag, scheme))
