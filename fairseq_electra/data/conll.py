"""Files of words in columns: a word a line, its tag in the last column, a blank line between sentences (CoNLL 2003, WNUT-17, ...)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fairseq_electra.data.examples import numbered_lines, source_name
from fairseq_electra.data.faults import STRICT, Faults
from fairseq_electra.data.tags import OUTSIDE, Entity, TagError, entities_of
from fairseq_electra.errors import ExampleError, InputError

DOCUMENT = "-DOCSTART-"


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


def read_conll(path: str | Path, scheme: str, tagged: bool = True, faults: Faults = STRICT) -> list[Sentence]:
    """Read sentences. Columns are separated by tabs, or where a line has none by blanks; the word is the first, the tag the last.

    Args:
        path: plain, ``.gz`` or ``.xz``.
        scheme: of the tags, one of :data:`tags.SCHEMES`.
        tagged: the words have tags; else they are in a column alone.
        faults: gathers sentences that cannot be used.

    Raises:
        InputError: a line has one column, or without tags several, a tag is unknown or cannot stand where it does, or there is no
            sentence; names the line.
    """
    found, now, before = list[Sentence](), _Open(), len(faults.found)
    for number, line in numbered_lines(path):
        if _is_between(line):
            with faults:
                found += _close(now, path, scheme)
            now = _Open()
        elif not now.broken:
            now.broken = True
            with faults:
                word, tag = _word_and_tag(line, tagged, f"{path}, line {number}")
                now.words.append(word)
                now.tags.append(tag)
                now.lines.append(number)
                now.broken = False
    with faults:
        found += _close(now, path, scheme)
    if not found and len(faults.found) == before:
        raise InputError(f"{path} holds no sentence; give a file with a word and a tag a line")
    return found


def _word_and_tag(line: str, tagged: bool, place: str) -> tuple[str, str]:
    columns = _columns(line)
    word, tag = columns[0].strip(), columns[-1].strip()
    if tagged and (len(columns) < 2 or not word or not tag):
        message = f"{place}: {line[:80]!r} is not a word and a tag with a tab or a blank between"
        raise ExampleError("with a line that is not a word and a tag", message)
    if not tagged and len(columns) > 1:
        message = f"{place}: {line[:80]!r} is more than a word, and the first line has no tag; tag all or none"
        raise ExampleError("with tags, where the first line has none", message)
    return word, tag if tagged else OUTSIDE


def has_tags(path: str | Path) -> bool:
    """Tell by its first word whether a file has tags; one without words counts as if it had."""
    return next((len(_columns(line)) > 1 for _, line in numbered_lines(path) if not _is_between(line)), True)


def read_words(path: str | Path) -> Iterator[list[tuple[str, str | None]]]:
    """Yield the lines of each sentence, and behind each its word, which is in the first column; other columns may be there.

    Lines between sentences have no word and come with the sentence before them, so that all lines are yielded.

    Raises:
        InputError: a line has something in another column and no word, or there is no word in the file.
    """
    sentence: list[tuple[str, str | None]] = []
    words, source = 0, source_name(path)
    for number, line in numbered_lines(path):
        word = None if _is_between(line) else _columns(line)[0].strip()
        if word == "":
            raise InputError(f"{source}, line {number}: {line[:80]!r} has no word in its first column; write one, or leave the line blank")
        if word and sentence and sentence[-1][1] is None:
            yield sentence
            sentence = []
        sentence.append((line, word))
        words += word is not None
    if not words:
        raise InputError(f"{source} holds no word; give a file with a word a line, and a blank line between sentences")
    yield sentence


def with_column(line: str, value: str) -> str:
    """Add a last column to a line, behind a tab, or behind a blank where the line has several columns and no tab."""
    between = " " if len(_columns(line)) > 1 and "\t" not in line else "\t"
    return line.rstrip(" ") + between + value


def _columns(line: str) -> list[str]:
    return line.split("\t") if "\t" in line else line.strip().split(" ")  # a no-break space is part of the word


def _is_between(line: str) -> bool:
    """Whether a line is between sentences: blank, or the beginning of a document."""
    return not line.strip() or _columns(line)[0] == DOCUMENT


def _close(now: _Open, path: str | Path, scheme: str) -> list[Sentence]:
    if now.broken or not now.words:
        return []
    try:
        return [Sentence(now.words, entities_of(now.tags, scheme), f"{path}, line {now.lines[0]}")]
    except TagError as error:
        raise ExampleError("with a tag that cannot stand there", f"{path}, line {now.lines[error.index]}: {error}") from error
