"""Count what stripping accents would change in a text, and whether its script needs its marks."""

import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass

# Scripts in which text without marks is a usual spelling; BERT's uncased vocabularies drop the marks.
# Elsewhere they are parts of letters: the vowels of Hindi, the tones of Thai, the voicing of kana, the breve
# that turns и into й. A syllable of Korean has no mark, but would be taken apart. COMBINING marks fit any
# letter.
ACCENTED = ("LATIN", "GREEK", "ARABIC", "HEBREW", "COMBINING")
# From this share of the letters on, marks are kept. Russian, where й is the only such letter, has a larger
# share; Hindi, Thai and Japanese have ten times as much and more; a Latin text with some foreign names has
# less.
MIN_SHARE = 0.005


@dataclass(frozen=True)
class Marks:
    """The changes that stripping accents would make to a text.

    Args:
        letters: number of letters of the text, marks included.
        accents: number of letters that would lose an accent.
        signs: number of letters that would turn into others or be lost, in scripts where marks are parts of
            letters.
        example: the most frequent changed letter of the larger of the two groups.
    """

    letters: int
    accents: int
    signs: int
    example: str

    @property
    def are_letters(self) -> bool:
        """Whether the script of the text needs its marks."""
        return self.signs >= MIN_SHARE * self.letters > 0

    def __str__(self) -> str:
        shown = f"◌{self.example}" if unicodedata.category(self.example) == "Mn" else self.example
        share = (self.accents + self.signs) / max(self.letters, 1)
        stripped = without_marks(self.example) or "nothing"
        if unicodedata.normalize("NFC", stripped) == self.example:  # taken apart, which would look the same
            stripped = " ".join(stripped)
        return f"{share:.2%} of the letters, such as {shown} to {stripped}"


def count_marks(texts: Counter[str]) -> Marks:
    """Count the letters that BERT's ``strip_accents`` would change, given texts and how often each occurs."""
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
    """Count characters, composed where possible; texts of one count are counted together, which is faster."""
    by_count = defaultdict(list)
    for text, count in texts.items():
        by_count[count].append(text)
    total: Counter[str] = Counter()
    for count, alike in by_count.items():
        for character, number in Counter(unicodedata.normalize("NFC", " ".join(alike))).items():
            total[character] += number * count
    return total


def without_marks(character: str) -> str | None:
    """Strip a character's accents as BERT's normalizer does; None if that leaves it as it is.

    The normalizer decomposes characters first, which takes Korean syllables apart.
    """
    parts = unicodedata.normalize("NFD", character)
    kept = "".join(part for part in parts if unicodedata.category(part) != "Mn")
    return None if kept == character else kept


def _is_letter(character: str) -> bool:
    """Tell whether a character is a letter or a mark; the selectors of emoji variants are not."""
    return unicodedata.category(character)[0] in "LM" and _script(character) != "VARIATION"


def _script(character: str) -> str:
    return unicodedata.name(character, "").partition(" ")[0]
