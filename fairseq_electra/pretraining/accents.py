"""Which letters of a text an uncased vocabulary would lose with its accents, and in which scripts a mark is more than an accent."""

import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass

# Where text without marks is a usual spelling, and BERT's uncased vocabularies leave them out. Elsewhere they are parts of letters: the
# vowels of Hindi, the tones of Thai, the voicing of kana, the breve that makes й of и. Marks that go with any letter are accents.
ACCENTED = ("LATIN", "GREEK", "ARABIC", "HEBREW", "COMBINING")
# Share of the letters from which on the marks are kept: Russian, where й is the only letter of such a kind, has more, Hindi, Thai and
# Japanese have ten times as much and more; a Latin text with some foreign names has less.
ENOUGH = 0.005


@dataclass(frozen=True)
class Marks:
    """What stripping the accents would do to a text.

    Args:
        letters: of the text; marks count as such.
        accents: how many of these would lose an accent.
        signs: how many would become other letters, or be lost, in scripts where marks are parts of letters.
        example: the most frequent letter among these, of the larger kind.
    """

    letters: int
    accents: int
    signs: int
    example: str

    @property
    def are_letters(self) -> bool:
        """Whether the text's script needs its marks."""
        return self.signs >= ENOUGH * self.letters > 0

    def __str__(self) -> str:
        shown = f"◌{self.example}" if unicodedata.category(self.example) == "Mn" else self.example
        share = (self.accents + self.signs) / max(self.letters, 1)
        return f"{share:.2%} of the letters, such as {shown} to {without_marks(self.example) or 'nothing'}"


def find_marks(texts: Counter[str]) -> Marks:
    """Count the letters of texts, by how often each text stands there, that a BERT normalizer changes with ``strip_accents``."""
    counts = {
        character: count for character, count in count_characters(texts).items() if _is_letter(character)
    }
    changed = Counter(
        {character: count for character, count in counts.items() if without_marks(character) is not None}
    )
    accents = Counter(
        {character: count for character, count in changed.items() if _script(character) in ACCENTED}
    )
    signs = changed - accents
    larger = max(accents, signs, key=lambda kind: kind.total())
    example = min(larger, key=lambda character: (-larger[character], character), default="")
    return Marks(sum(counts.values()), accents.total(), signs.total(), example)


def count_characters(texts: Counter[str]) -> Counter[str]:
    """Count characters, composed where they can be; texts of equal count are counted together, which is many times faster."""
    by_count = defaultdict(list)
    for text, count in texts.items():
        by_count[count].append(text)
    total: Counter[str] = Counter()
    for count, alike in by_count.items():
        for character, number in Counter(unicodedata.normalize("NFC", " ".join(alike))).items():
            total[character] += number * count
    return total


def without_marks(character: str) -> str | None:
    """Strip a character's accents as BERT's normalizer does; None: it has none."""
    parts = unicodedata.normalize("NFD", character)
    kept = [part for part in parts if unicodedata.category(part) != "Mn"]
    return "".join(kept) if len(kept) < len(parts) else None


def _is_letter(character: str) -> bool:
    """Letters and marks, but for those that choose between the pictures of an emoji."""
    return unicodedata.category(character)[0] in "LM" and _script(character) != "VARIATION"


def _script(character: str) -> str:
    return unicodedata.name(character, "").partition(" ")[0]
