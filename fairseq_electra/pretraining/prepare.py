"""Prepare raw text for pre-training: learn a vocabulary, and encode the text as ids that fairseq trains on.

``fairseq-electra vocab`` and ``encode`` call these functions, and so can a notebook::

    learn_vocabulary(RunningText(["train.txt"]).sample(), "vocab", 16000)
    encode_text(RunningText(["train.txt"]), "vocab", "data-bin/train")
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from fairseq_electra.errors import InputError
from fairseq_electra.files.table import source_name
from fairseq_electra.files.text import read_texts
from fairseq_electra.pretraining.byte_level_bpe import train_byte_level_bpe
from fairseq_electra.pretraining.documents import BLANK_LINES, DocumentCounts, reader_of
from fairseq_electra.pretraining.encode import encode_to_binary, encode_to_pieces, punctuation_normalizer
from fairseq_electra.pretraining.unknown import Unknown
from fairseq_electra.pretraining.wordpiece import (
    CHARACTER_COVERAGE,
    LEADING,
    load_wordpiece,
    sample_lines,
    save_vocabulary,
    train_wordpiece,
)
from fairseq_electra.progress import Progress

WORDPIECE, BPE = "wordpiece", "bpe"
KINDS = (WORDPIECE, BPE)
SAMPLE = 100.0  # default number of characters to learn a vocabulary from, in millions


class RunningText:
    """Files of running text and the way to read them; counts what :meth:`lines` yields.

    Args:
        files: plain text, one paragraph or sentence per line; with ``column`` JSON lines, CSV or TSV, by
            their names. Each may be compressed, ``.gz`` or ``.xz``; ``-`` is standard input. The end of a
            file ends its document.
        column: the column with the text; each record is a document.
        quoted: cells of a TSV may stand in quotes.
        document_start: where documents of plain text begin, one of
            :data:`fairseq_electra.pretraining.documents.DOCUMENT_STARTS`; None: after blank lines, and
            :meth:`warnings` tells where that seems to be wrong.
        moses: language to normalise punctuation for, with sacremoses; None: punctuation stays as it is.

    Attributes:
        documents: counts of the documents read so far.
        unknown: counts of text that was unknown to a vocabulary when encoded.

    Raises:
        InputError: both ``column`` and ``document_start`` are given.
    """

    def __init__(
        self,
        files: Sequence[str | Path],
        column: str | None = None,
        *,
        quoted: bool = False,
        document_start: str | None = None,
        moses: str | None = None,
    ):
        if column and document_start:
            raise InputError(
                "--documents is for plain text: with --text, each record is a document; leave one of them out"
            )
        self.files, self.column, self.document_start, self.moses = list(files), column, document_start, moses
        self._read = reader_of(column, document_start or BLANK_LINES, quoted)
        self.documents, self.unknown = DocumentCounts(), Unknown()

    def lines(self) -> Iterator[str]:
        """Yield the lines, with a blank line between documents.

        Raises:
            InputError: a file cannot be read, or a record has no text; names the line.
        """
        return self._normalized(self.documents.over(read_texts(self.files, self._read)))

    def sample(
        self, millions: float = SAMPLE, seed: int = 1, progress: Progress | None = None
    ) -> Iterator[str]:
        """Yield lines to learn a vocabulary from: all lines, or a random sample.

        Args:
            millions: size of the sample in millions of characters; 0 for all of the text.
            seed: random seed of the sample.
            progress: counts the lines read.

        Raises:
            InputError: ``millions`` is out of range, or as for :func:`wordpiece.sample_lines`.
        """
        check_sample(millions)
        return self._normalized(sample_lines(self.files, int(millions * 1e6), seed, self._read, progress))

    def _normalized(self, lines: Iterator[str]) -> Iterator[str]:
        return map(punctuation_normalizer(self.moses), lines) if self.moses else lines

    def warnings(self, place: str) -> list[str]:
        """Return warnings for text that is unknown to its vocabulary or seems to be of another kind.

        Args:
            place: name of the text.
        """
        warnings = [self.unknown.warning(place), self.documents.warning_of_returns(place)]
        if not self.column and self.document_start != BLANK_LINES:  # no warning if blank lines were asked for
            warnings.append(
                self.documents.warning(place, len(self.files), self.document_start or BLANK_LINES)
            )
        return [warning for warning in warnings if warning]


def check_sample(millions: float) -> None:
    """Refuse a size of a sample that is negative, or no number."""
    if not 0 <= millions < math.inf:
        raise InputError(f"--sample must be 0 or more, and finite, got {millions}; --sample 0 takes all")


class Vocabulary(NamedTuple):
    """A vocabulary that was learned.

    Attributes:
        size: number of ids; smaller than asked for if the text gave no more.
        notes: sentences on the treatment of accents.
    """

    size: int
    notes: list[str]


def learn_vocabulary(
    lines: Iterable[str],
    folder: str | Path,
    size: int,
    *,
    kind: str = WORDPIECE,
    cased: bool = False,
    keep_accents: bool = False,
    min_frequency: int = 2,
    character_coverage: float = CHARACTER_COVERAGE,
    progress: Progress | None = None,
) -> Vocabulary:
    """Learn a vocabulary and write ``tokenizer.json`` and ``dict.txt``, with the same ids.

    Args:
        lines: text, as :meth:`RunningText.sample` gives it.
        folder: for the two files.
        kind: one of :data:`KINDS`, WordPiece or byte-level BPE.
        size, min_frequency, progress: as for :func:`wordpiece.train_wordpiece` or
            :func:`byte_level_bpe.train_byte_level_bpe`.
        cased, keep_accents, character_coverage: as for :func:`wordpiece.train_wordpiece`.

    Raises:
        InputError: a number is out of its range, the text is empty, has too many characters for ``size``, or
            an option of WordPiece is given for byte-level BPE.
    """
    if size <= len(LEADING) + 1:
        raise InputError(
            f"--size must be above {len(LEADING) + 1}, the number of special symbols, got {size}"
        )
    if min_frequency < 0:
        raise InputError(f"--min-frequency must be 0 or more, got {min_frequency}")
    if not 0 < character_coverage <= 1:
        raise InputError(f"--character-coverage must lie above 0 and not above 1, got {character_coverage}")
    if kind == BPE:
        if cased or keep_accents or character_coverage != CHARACTER_COVERAGE:
            raise InputError(
                "byte-level BPE keeps all text as it is, so --cased, --keep-accents and --character-coverage"
                " have no place beside --kind bpe; leave them out"
            )
        bpe = train_byte_level_bpe(lines, size, min_frequency=min_frequency, progress=progress)
        save_vocabulary(bpe, folder)
        return Vocabulary(bpe.get_vocab_size(), [])
    notes: list[str] = []
    tokenizer = train_wordpiece(
        lines,
        size,
        cased=cased,
        keep_accents=keep_accents,
        min_frequency=min_frequency,
        character_coverage=character_coverage,
        say=notes.append,
        progress=progress,
    )
    save_vocabulary(tokenizer, folder)
    return Vocabulary(tokenizer.get_vocab_size(), notes)


class Encoded(NamedTuple):
    """Text that was encoded.

    Attributes:
        lines: number of lines.
        ids: number of ids, each line's ``</s>`` included.
        warnings: warnings of :meth:`RunningText.warnings`.
    """

    lines: int
    ids: int
    warnings: list[str]


def encode_text(
    text: RunningText, vocabulary: str | Path, prefix: str | Path, progress: Progress | None = None
) -> Encoded:
    """Write ``PREFIX.bin`` and ``PREFIX.idx`` for fairseq, and the vocabulary's two files beside them.

    Args:
        text: text to encode; its counts grow.
        vocabulary: folder of the vocabulary.
        prefix: folder and split, such as ``data-bin/train``.
        progress: counts the lines read.

    Raises:
        InputError: as for :func:`encode.encode_to_binary`. Nothing is left behind.
    """
    lines = (progress or Progress()).over(text.lines(), str(prefix), "lines")
    number, ids = encode_to_binary(load_wordpiece(vocabulary), lines, prefix, vocabulary, text.unknown)
    return Encoded(number, ids, text.warnings(str(prefix)))


def text_as_pieces(
    text: RunningText, vocabulary: str | Path, progress: Progress | None = None
) -> Iterator[str]:
    """Yield a line of tokens, joined by blanks, for each line of text, for ``fairseq-preprocess``.

    Args:
        text: text to encode; its counts grow.
        vocabulary: folder of the vocabulary.
        progress: counts the lines read.

    Raises:
        InputError: as for :func:`encode.encode_to_pieces`.
    """
    lines = (progress or Progress()).over(text.lines(), source_name(text.files[0]), "lines")
    return encode_to_pieces(load_wordpiece(vocabulary), lines, text.unknown)
