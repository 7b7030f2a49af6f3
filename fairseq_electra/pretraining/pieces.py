"""How the pieces of a vocabulary are written: what a piece says of words, and how it is shown as text.

A vocabulary is WordPiece or byte-level BPE. The rest of the package asks one object, :class:`Pieces`:
:func:`pieces_of` finds that of a tokenizer, :func:`pieces_of_symbols` that of a ``dict.txt``.
"""

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer, decoders, models

from fairseq_electra.files.text import is_blank
from fairseq_electra.pretraining.byte_alphabet import BYTE_OF, SPACE, bytes_of, is_byte_level
from fairseq_electra.pretraining.wordpiece import CONTINUATION

WHITE_BYTES = frozenset(b" \t\n\v\f\r")
SHOWN_SPACE = "\N{OPEN BOX}"


class Pieces(ABC):
    """The pieces of one kind of vocabulary.

    Attributes:
        name: name of the kind, for readers.
    """

    name: str

    @abstractmethod
    def starts_word(self, symbol: str) -> bool:
        """Tell whether a piece starts a word."""

    @abstractmethod
    def text(self, symbol: str) -> str:
        """Return a piece as answers show it."""

    @abstractmethod
    def cell(self, symbol: str) -> str:
        """Return a piece as a table shows it: its first and last characters can be seen."""

    @abstractmethod
    def join(self, symbols: Sequence[str]) -> str:
        """Return the text that pieces stand for."""

    @abstractmethod
    def before_mask(self, text: str) -> str:
        """Return the part of the text before ``<mask>`` that is to be encoded."""

    @abstractmethod
    def fill(self, before: str, token: str) -> tuple[str, str]:
        """Put a token in the place of ``<mask>``.

        Args:
            before: the text up to ``<mask>``.
            token: as :meth:`text` returns it.

        Returns:
            the text before, without the blanks that the token takes away, and the token's own text.
        """

    @abstractmethod
    def texts_of_words(self, words: Sequence[str]) -> list[str]:
        """Return the text to encode for each word of a sentence.

        The ids of all of them are those of the words joined by blanks.
        """

    @abstractmethod
    def texts_of_lines(self, lines: Iterable[str]) -> Iterator[str]:
        """Return the text to encode for each line of running text, blank between documents.

        The ids of a document's lines together are those of its text.
        """


class WordPieces(Pieces):
    """The pieces of WordPiece: ``##`` marks those that continue a word, and blanks are forgotten.

    Args:
        decoder: joins pieces; by default as BERT's.
    """

    name = "WordPiece"

    def __init__(self, decoder: decoders.Decoder | None = None):
        self._decoder = decoder or decoders.WordPiece(prefix=CONTINUATION)

    def starts_word(self, symbol: str) -> bool:
        """See :meth:`Pieces.starts_word`."""
        return not symbol.startswith(CONTINUATION)

    def text(self, symbol: str) -> str:
        """Return the piece itself."""
        return symbol

    def cell(self, symbol: str) -> str:
        """Return the piece itself."""
        return symbol

    def join(self, symbols: Sequence[str]) -> str:
        """See :meth:`Pieces.join`; words are joined by blanks."""
        return self._decoder.decode(list(symbols))

    def before_mask(self, text: str) -> str:
        """Return the text itself."""
        return text

    def fill(self, before: str, token: str) -> tuple[str, str]:
        """See :meth:`Pieces.fill`; a piece that continues a word takes the blanks before it away."""
        if token.startswith(CONTINUATION):
            return before.rstrip(), token.removeprefix(CONTINUATION)
        return before, token

    def texts_of_words(self, words: Sequence[str]) -> list[str]:
        """Return the words themselves."""
        return list(words)

    def texts_of_lines(self, lines: Iterable[str]) -> Iterator[str]:
        """Return the lines themselves."""
        return iter(lines)


@dataclass(frozen=True)
class BytePieces(Pieces):
    """The pieces of byte-level BPE: bytes, each written as one character; the blank belongs to the next word.

    A piece starts a word if its first character is white space, a sign (neither letter, mark nor digit), or
    a letter of Han, kana and other scripts whose characters are as wide as these, Hangul aside. So a word is
    a blank and the letters and digits behind it, or a sign with the letters and digits right behind it. The
    first word of a text has no blank before it; what stands behind a special symbol starts a word anyway. A
    character that begins in one piece and ends in another belongs to the word before it.

    Args:
        added: added tokens, which are written as text, not as bytes.
    """

    added: Collection[str] = frozenset()

    name = "byte-level BPE"

    def starts_word(self, symbol: str) -> bool:
        """See :meth:`Pieces.starts_word`."""
        if self._is_text(symbol):
            return True
        data = bytes_of(symbol)
        if data[0] in WHITE_BYTES:
            return True
        first = data.decode(errors="replace")[0]
        if first == "\ufffd":
            return False
        return unicodedata.category(first)[0] not in "LMN" or _is_word(first)

    def text(self, symbol: str) -> str:
        r"""Return the piece's text; bytes that are no whole character are written as ``\xf0``."""
        return symbol if self._is_text(symbol) else bytes_of(symbol).decode(errors="backslashreplace")

    def cell(self, symbol: str) -> str:
        r"""See :meth:`Pieces.cell`; blanks are written as ``␣``, other invisible characters as ``\n``."""
        shown = self.text(symbol).replace(" ", SHOWN_SPACE)
        return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown)

    def join(self, symbols: Sequence[str]) -> str:
        """See :meth:`Pieces.join`; bytes that are no whole character become U+FFFD."""
        data = (symbol.encode() if self._is_text(symbol) else bytes_of(symbol) for symbol in symbols)
        return b"".join(data).decode(errors="replace")

    def before_mask(self, text: str) -> str:
        """Return the text without the blanks at its end: the piece at the mask begins with the blank."""
        return text.rstrip()

    def fill(self, before: str, token: str) -> tuple[str, str]:
        """See :meth:`Pieces.fill`; the token brings its own blank."""
        return before.rstrip(), token

    def texts_of_words(self, words: Sequence[str]) -> list[str]:
        """Return the words, all but the first behind a blank."""
        return [" " * (i > 0) + word for i, word in enumerate(words)]

    def texts_of_lines(self, lines: Iterable[str]) -> Iterator[str]:
        """Return the lines, within a document all but the first behind a line end."""
        within = False
        for line in lines:
            if is_blank(line):
                within = False
                yield ""
            else:
                yield f"\n{line}" if within else line
                within = True

    def _is_text(self, symbol: str) -> bool:
        return symbol in self.added or not BYTE_OF.keys() >= set(symbol)


def _is_word(letter: str) -> bool:
    return unicodedata.east_asian_width(letter) == "W" and "HANGUL" not in unicodedata.name(letter, "")


def pieces_of(tokenizer: Tokenizer) -> Pieces:
    """Return the kind of a tokenizer's pieces, as :func:`wordpiece.load_wordpiece` loads it."""
    if not isinstance(tokenizer.model, models.BPE):
        return WordPieces(tokenizer.decoder)
    return BytePieces(frozenset(token.content for token in tokenizer.get_added_tokens_decoder().values()))


def pieces_of_symbols(symbols: Sequence[str]) -> Pieces:
    """Return the kind of the entries of a ``dict.txt``; added tokens of byte-level BPE cannot be told.

    Byte-level BPE has an entry for each of the 256 bytes, and more entries that begin with a blank than with
    ``##``.
    """
    marks = {mark: sum(symbol.startswith(mark) for symbol in symbols) for mark in (SPACE, CONTINUATION)}
    return BytePieces() if is_byte_level(symbols) and marks[SPACE] >= marks[CONTINUATION] else WordPieces()
