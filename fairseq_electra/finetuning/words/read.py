"""Files of words in columns, such as those of CoNLL 2003 and WNUT-17.

There is a word in each line, its tag in another column, and a blank line between sentences.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fairseq_electra.errors import ExampleError, InputError
from fairseq_electra.files.faults import STRICT, Faults
from fairseq_electra.files.table import source_name
from fairseq_electra.files.text import check_reads_twice
from fairseq_electra.finetuning.words.columns import FIRST_AND_LAST, WordColumns, cells_of, word_lines
from fairseq_electra.finetuning.words.tags import BIO, Entity, TagError, entities_of


@dataclass
class Sentence:
    """Words, their entities, and where the sentence begins, for messages."""

    words: list[str]
    entities: list[Entity]
    place: str


@dataclass
class _Open:
    words: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    broken: bool = False


def read_conll(
    path: str | Path,
    scheme: str,
    tagged: bool = True,
    columns: WordColumns = FIRST_AND_LAST,
    faults: Faults = STRICT,
) -> list[Sentence]:
    """Read sentences. Columns are separated by tabs, or where a line has none by blanks.

    Lines of comments are passed over, as are those of CoNLL-U that are no word (:func:`word_lines`).

    Args:
        path: plain, ``.gz`` or ``.xz``.
        scheme: of the tags, one of :data:`tags.SCHEMES`.
        tagged: the words have tags; else there is no column for them.
        columns: where words and tags are.
        faults: gathers sentences that cannot be used.

    Raises:
        InputError: a line lacks one of the columns, or without tags has one for them, a tag is unknown or
            cannot stand where it does, or there is no sentence; names the line.
    """
    sentences, open_sentence, before = list[Sentence](), _Open(), len(faults.errors)
    width = 0  # of the first word's line
    for number, line, cells, ends in word_lines(path, columns, scheme):
        if ends:
            with faults:
                sentences += _close(open_sentence, path, scheme)
            open_sentence = _Open()
        elif cells is not None and not open_sentence.broken:
            open_sentence.broken = True
            with faults:
                word, tag = _word_and_tag(line, cells, tagged, columns, f"{path}, line {number}")
                width = width or len(cells)
                if tagged and not columns.tag and len(cells) != width:
                    message = (
                        f"{path}, line {number}: {line[:80]!r} has {len(cells)} columns, where the first word"
                        f" has {width}, so the last may not be its tag; write all of them, or give"
                        " --tag-column"
                    )
                    raise ExampleError("with another number of columns", message)
                open_sentence.words.append(word)
                open_sentence.tags += [tag] if tag else []
                open_sentence.lines.append(number)
                open_sentence.broken = False
    with faults:
        sentences += _close(open_sentence, path, scheme)
    if not sentences and len(faults.errors) == before:
        raise InputError(f"{path} holds no sentence; give a file with a word and a tag a line")
    return sentences


def _word_and_tag(
    line: str, cells: list[str], tagged: bool, columns: WordColumns, place: str
) -> tuple[str, str | None]:
    word, tag = columns.word_in(cells), columns.tag_in(cells)
    if tagged and (not word or not tag):
        where = (
            f" in columns {columns.word} and {columns.tag or 'the last'}" if columns != FIRST_AND_LAST else ""
        )
        message = f"{place}: {line[:80]!r} is not a word and a tag with a tab or a blank between{where}"
        raise ExampleError("with a line that is not a word and a tag", message)
    if not tagged and tag is not None:
        message = (
            f"{place}: {line[:80]!r} is more than a word, and the first line has no tag; tag all or none"
        )
        raise ExampleError("with tags, where the first line has none", message)
    if not word:
        message = (
            f"{place}: {line[:80]!r} has no word in column {columns.word}; write one, or leave the line blank"
        )
        raise ExampleError("with a line without a word", message)
    return word, tag


def has_tags(path: str | Path, scheme: str = BIO, columns: WordColumns = FIRST_AND_LAST) -> bool:
    """Tell by its first word whether a file has tags; one without words counts as if it had.

    Arguments as :func:`read_conll`.

    Raises:
        InputError: the file cannot be read a second time.
    """
    check_reads_twice(path)
    words = (line.cells for line in word_lines(path, columns, scheme) if line.cells is not None)
    return next((columns.tag_in(cells) is not None for cells in words), True)


def read_words(
    path: str | Path, scheme: str = BIO, columns: WordColumns = FIRST_AND_LAST
) -> Iterator[list[tuple[str, str | None]]]:
    """Yield the lines of each sentence, and behind each its word; other columns may be there.

    Arguments as :func:`read_conll`.

    Comments and lines between sentences have no word; the latter come with the sentence before them, so that
    all lines are yielded.

    Raises:
        InputError: a line has something in another column and no word, or there is no word in the file.
    """
    sentence: list[tuple[str, str | None]] = []
    words, ended, source = 0, False, source_name(path)
    for number, line, cells, ends in word_lines(path, columns, scheme):
        word = None if cells is None else columns.word_in(cells)
        if word == "":
            column = "its first column" if columns.word == 1 else f"column {columns.word}"
            raise InputError(
                f"{source}, line {number}: {line[:80]!r} has no word in {column}; write one, or leave the"
                " line blank"
            )
        if word and ended:
            yield sentence
            sentence, ended = [], False
        sentence.append((line, word))
        words += word is not None
        ended = ended or ends
    if not words:
        raise InputError(
            f"{source} holds no word; give a file with a word a line, and a blank line between sentences"
        )
    yield sentence


def with_column(line: str, value: str) -> str:
    """Add a last column to a line, after a tab, or after a blank if it has several columns and no tab."""
    between = " " if len(cells_of(line)) > 1 and "\t" not in line else "\t"
    return line.rstrip(" ") + between + value


def _close(open_sentence: _Open, path: str | Path, scheme: str) -> list[Sentence]:
    if open_sentence.broken or not open_sentence.words:
        return []
    try:
        return [
            Sentence(
                open_sentence.words,
                entities_of(open_sentence.tags, scheme),
                f"{path}, line {open_sentence.lines[0]}",
            )
        ]
    except TagError as error:
        raise ExampleError(error.kind, f"{path}, line {open_sentence.lines[error.index]}: {error}") from error
