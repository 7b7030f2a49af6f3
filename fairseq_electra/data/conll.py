"""Files of words in columns: a word a line, its tag in the last column, a blank line between sentences (CoNLL 2003, WNUT-17, ...)."""

from dataclasses import dataclass, field
from pathlib import Path

from fairseq_electra.data.tags import Entity, TagError, entities_of
from fairseq_electra.data.text import read_lines
from fairseq_electra.errors import InputError

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


def read_conll(path: str | Path, scheme: str) -> list[Sentence]:
    """Read sentences. Columns are separated by tabs, or where a line has none by blanks; the word is the first, the tag the last.

    Args:
        path: plain, ``.gz`` or ``.xz``.
        scheme: of the tags, one of :data:`tags.SCHEMES`.

    Raises:
        InputError: a line has one column, a tag is unknown or cannot stand where it does, or there is no sentence; names the line.
    """
    found, now = [], _Open()
    for number, line in enumerate(read_lines(path), 1):
        line = line.removeprefix("\ufeff") if number == 1 else line
        columns = line.split("\t") if "\t" in line else line.strip().split(" ")  # a no-break space is part of the word
        if not line.strip() or columns[0] == DOCUMENT:
            found += _close(now, path, scheme)
            now = _Open()
            continue
        word, tag = columns[0].strip(), columns[-1].strip()
        if len(columns) < 2 or not word or not tag:
            raise InputError(f"{path}, line {number}: {line[:80]!r} is not a word and a tag with a tab or a blank between")
        now.words.append(word)
        now.tags.append(tag)
        now.lines.append(number)
    found += _close(now, path, scheme)
    if not found:
        raise InputError(f"{path} holds no sentence; give a file with a word and a tag a line")
    return found


def _close(now: _Open, path: str | Path, scheme: str) -> list[Sentence]:
    if not now.words:
        return []
    try:
        return [Sentence(now.words, entities_of(now.tags, scheme), f"{path}, line {now.lines[0]}")]
    except TagError as error:
        raise InputError(f"{path}, line {now.lines[error.index]}: {error}") from error
