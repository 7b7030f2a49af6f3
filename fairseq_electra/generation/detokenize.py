"""Plain text from the pieces of a vocabulary."""

import re
import unicodedata
from collections.abc import Iterator, Sequence

from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.pieces import Pieces, WordPieces
from fairseq_electra.pretraining.wordpiece import CONTINUATION

ENGLISH_ENDINGS = ("s", "t", "d", "m", "re", "ve", "ll")  # behind an apostrophe
ELIDING = ("fr", "it", "ga")  # the languages in which Moses joins l' to the word behind it
WITHOUT_BLANKS = ("zh", "ja")  # the languages whose signs have no blanks beside them, which Moses leaves
FULL_WIDTH_SIGN = re.compile(r" *([，。、；：？！（）《》〈〉「」『』【】〔〕“”‘’…—～·・]) *")


class Detokenizer:
    """Turns pieces into text, as Moses does: signs are joined to the words that they belong to.

    WordPiece has forgotten blanks, and without upper case in the vocabulary, capitals too. What the rules do
    not know, such as "well - known" and "3. 5", keeps its blanks. Byte-level BPE has kept all blanks, and
    needs no rules.

    Args:
        pieces: the kind of the vocabulary.
        language: code of the language, such as ``en``. For some languages sacremoses has rules of their own.

    Raises:
        InputError: this is no code of a language.
    """

    def __init__(self, pieces: Pieces, language: str = "en"):
        if not re.fullmatch("[a-z]{2,3}", language):
            raise InputError(
                f"--language {language!r} is no code of a language; give one such as en, de or zh"
            )
        from sacremoses import MosesDetokenizer

        self._pieces, self._language = pieces, language
        self._moses = MosesDetokenizer(lang=language)

    def __call__(self, symbols: Sequence[str]) -> str:
        """Return the text of pieces, on one line."""
        if not isinstance(self._pieces, WordPieces):
            return " ".join(self._pieces.join(symbols).split())
        words = list(self._with_apostrophes(_words(symbols)))
        text = self._moses.detokenize(words, unescape=False)
        if self._language in WITHOUT_BLANKS:
            text = FULL_WIDTH_SIGN.sub(r"\1", text)
        return unicodedata.normalize("NFC", text)

    def _with_apostrophes(self, words: Sequence[str]) -> Iterator[str]:
        """Join apostrophes to the letters with which Moses expects them: ``'s``, or ``l'``."""
        i = 0
        while i < len(words):
            word, behind = words[i], words[i + 1 : i + 2]
            ending = self._language == "en" and word == "'" and behind and behind[0] in ENGLISH_ENDINGS
            elided = self._language in ELIDING and behind == ["'"] and word.isalpha()
            yield word + behind[0] if ending or elided else word
            i += 2 if ending or elided else 1


def _words(symbols: Sequence[str]) -> list[str]:
    words: list[str] = []
    for symbol in symbols:
        if symbol.startswith(CONTINUATION) and len(symbol) > len(CONTINUATION):
            words[-1:] = ["".join(words[-1:]) + symbol.removeprefix(CONTINUATION)]
        else:
            words.append(symbol)
    return words
