"""Paragraphs of running text with the file and line of each, in documents of bounded size."""

import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from fairseq_electra.corpus_report.personal import PersonalData, masked
from fairseq_electra.errors import shortened
from fairseq_electra.files.text import is_blank, numbered_parts
from fairseq_electra.pretraining.documents import BLANK_LINES, check_is_plain, starts_document

MAX_CHARACTERS = 1 << 22  # of a document that is held in memory; a file without blank lines is one document
# scripts without blanks between words: kana, ideographs and their variants; Thai, Lao, Burmese, Khmer
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_JOINERS = "\u200c\u200d"  # within words, as of Persian and Hindi


class Location(NamedTuple):
    """A line of a file; numbers start at 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(slots=True)
class Paragraph:
    """A line of text and what was found in it.

    Attributes:
        text: the line; personal data is replaced if that was asked for.
        location: where it was read.
        words: its words in lower case, as :func:`words_of` gives them.
        language: its language; empty if the paragraph is too short or the language is not clear.
        personal: the personal data found in it, before any was replaced.
        removed_by: name of the step of the filter that removes it; empty: it stays.
    """

    text: str
    location: Location
    words: list[str] = field(default_factory=list)
    language: str = ""
    personal: list[PersonalData] = field(default_factory=list)
    removed_by: str = ""


@dataclass(slots=True)
class Document:
    """Paragraphs of a document, or of a part of one that is longer than :data:`MAX_CHARACTERS`.

    Attributes:
        paragraphs: the paragraphs.
        begins, ends: whether the document begins, and ends, with this part.
    """

    paragraphs: list[Paragraph]
    begins: bool
    ends: bool

    @property
    def kept(self) -> list[Paragraph]:
        """The paragraphs that no step has removed."""
        return [paragraph for paragraph in self.paragraphs if not paragraph.removed_by]


def words_of(text: str) -> list[str]:
    """Split a text into words in lower case; a letter of a script without blanks is a word of its own.

    Vowel signs and other combining marks belong to the word that they stand in.
    """
    return _word().findall(text.lower())


@functools.cache
def _word() -> re.Pattern[str]:
    letters = rf"[^\W{_UNSPACED}]"  # no combining marks: Python's \w lacks them
    marks = "".join(map(chr, range(0x300, 0x20000)))
    marks = "".join(each for each in marks if unicodedata.category(each) in ("Mn", "Mc"))
    return re.compile(rf"{letters}+(?:[{marks}{_JOINERS}]+{letters}*)*|(?=\w)[{_UNSPACED}][{marks}]*")


def read_documents(paths: Iterable[str | Path], document_start: str = BLANK_LINES) -> Iterator[Document]:
    """Yield the documents of files of running text; the end of a file ends one.

    Args:
        paths: plain text, one paragraph per line; ``.gz`` and ``.xz`` are read too. A line of more than a
            megabyte is read in parts, and each is a paragraph.
        document_start: where documents start, as for
            :func:`fairseq_electra.pretraining.documents.reader_of`.

    Raises:
        InputError: a file cannot be read, or is not text; names the line.
    """
    for path in paths:
        paragraphs: list[Paragraph] = []
        characters, begins = 0, True
        check_is_plain(path)
        for number, goes_on, text in numbered_parts(path):
            blank = is_blank(text)
            if blank and document_start != BLANK_LINES:
                continue
            if blank or (not goes_on and starts_document(text, document_start)):
                if paragraphs:
                    yield Document(paragraphs, begins, ends=True)
                paragraphs, characters, begins = [], 0, True
            if blank:
                continue
            if characters + len(text) > MAX_CHARACTERS and paragraphs:
                yield Document(paragraphs, begins, ends=False)
                paragraphs, characters, begins = [], 0, False
            paragraphs.append(Paragraph(text, Location(str(path), number)))
            characters += len(text)
        if paragraphs:
            yield Document(paragraphs, begins, ends=True)


def excerpt(text: str) -> str:
    """Return the beginning of a text for an example, without personal data."""
    return shortened(masked(text))
