"""Lines of files of words: which columns hold the word and its tag, and which lines are no word."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fairseq_electra.files.table import numbered_lines
from fairseq_electra.finetuning.words.tags import NONE, is_tag

DOCUMENT = "-DOCSTART-"
# first column of CoNLL-U: several words written as one, or a word that is not written
_NOT_A_WORD = re.compile(r"\d+[-.]\d+")
_CONLLU_COLUMNS = 10  # there are more where tags were put behind them


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
    """Return the columns of a line: between tabs, or where it has none between blanks.

    A no-break space is part of the word.
    """
    return line.split("\t") if "\t" in line else [cell for cell in line.strip().split(" ") if cell]


class WordLine(NamedTuple):
    """A line of a file of words.

    Attributes:
        number: number of the line, from 1 on.
        text: the line itself.
        cells: its columns; None if it holds no word.
        ends_sentence: whether it stands between two sentences.
    """

    number: int
    text: str
    cells: list[str] | None
    ends_sentence: bool


class _Form(NamedTuple):
    """How a file writes its words: with tabs between the columns or not, and number of columns."""

    tabs: bool
    columns: int


def word_lines(path: str | Path, columns: WordColumns, scheme: str) -> Iterator[WordLine]:
    """Yield the lines of a file of words.

    A line ends a sentence if it is blank or the beginning of
    a document. It is no word if it has the number of a range or of an empty word of CoNLL-U, or is a comment.
    A comment begins with ``#``, as words can. Which of the two it is depends on how words are written, as the
    first line shows that does not begin so:

    - Words behind the first column, tabs between columns: comments have no tab, or their first column is
      ``#`` or begins with ``# `` and the number of columns is another, or they have none beside the word's.
    - Words behind the first column, blanks between columns: the first column of comments is ``#``, or the
      number of columns is another.
    - Words in the first column: comments begin with ``# ``, stand before a sentence and end with no tag. With
      :data:`tags.NONE`, where all texts are tags, they lack the words' tabs, or stand before a sentence and
      have another number of columns.

    Args:
        path: plain, ``.gz`` or ``.xz``; ``-`` for standard input.
        columns: where words and tags are.
        scheme: of the tags, one of :data:`tags.SCHEMES`.
    """
    in_sentence = False
    lines = numbered_lines(path)
    form, lines_read = _form_of(lines, columns)
    for number, line in itertools.chain(lines_read, lines):
        cells = cells_of(line)
        if _is_between(line, columns):
            in_sentence = False
            yield WordLine(number, line, None, ends_sentence=True)
        elif _is_comment(line, columns, scheme, form, in_sentence) or _is_not_a_word(cells, columns):
            yield WordLine(number, line, None, ends_sentence=False)
        else:
            in_sentence = True
            yield WordLine(number, line, cells, ends_sentence=False)


def _form_of(lines: Iterator[tuple[int, str]], columns: WordColumns) -> tuple[_Form, list[tuple[int, str]]]:
    """Return the form of the first line that cannot be a comment, and the lines read to find it.

    If there is no such line, the form is that of the first line that can be a word.
    """
    lines_read, first_line = [], ""
    for number, line in lines:
        lines_read.append((number, line))
        if _is_between(line, columns):
            continue
        if not line.startswith("#"):
            first_line = line
            break
        first_line = first_line or line
    return _Form("\t" in first_line, len(cells_of(first_line))), lines_read


def _is_between(line: str, columns: WordColumns) -> bool:
    return not line.strip() or DOCUMENT in cells_of(line)[: columns.word]


def _is_not_a_word(cells: list[str], columns: WordColumns) -> bool:
    return columns.word > 1 and len(cells) >= _CONLLU_COLUMNS and _NOT_A_WORD.fullmatch(cells[0]) is not None


def _is_comment(line: str, columns: WordColumns, scheme: str, form: _Form, in_sentence: bool) -> bool:
    if not line.startswith("#"):
        return False
    cells, has_blank, words_come_first = cells_of(line), line.startswith("# "), columns.word == 1
    if "\t" in line:
        is_word = len(cells) == form.columns > columns.word
        return not words_come_first and (cells[0] == "#" or has_blank) and not is_word
    if not words_come_first:
        return form.tabs or cells[0] == "#" or len(cells) != form.columns
    if not has_blank:
        return False
    if scheme == NONE:
        return form.tabs or (not in_sentence and len(cells) != form.columns)
    tag = columns.tag_in(cells)
    return not in_sentence and not (tag is None or is_tag(tag, scheme))
