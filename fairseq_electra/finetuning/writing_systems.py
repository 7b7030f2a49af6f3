"""What scripts say of words: which put blanks between them, and which characters hang on the one before.

Ranges are those of Unicode's blocks.
"""

import re
import unicodedata

_ZERO_WIDTH_JOINER = "\u200d"
_HAN = (
    "\u2e80-\u2fdf\u3005\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
_KANA = "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f\U0001aff0-\U0001b16f"
_BOPOMOFO_YI = "\u3100-\u312f\u31a0-\u31bf\ua000-\ua4cf"
_SOUTH_EAST_ASIAN = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u0f00-\u0fff"  # Tibetan, with a sign between syllables
    "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Myanmar
    "\u1780-\u17ff\u19e0-\u19ff"  # Khmer
    "\u1950-\u19df\u1a20-\u1aaf"  # Tai Le, New Tai Lue, Tai Tham
    "\u1b00-\u1b7f\ua980-\ua9df"  # Balinese, Javanese
)
_HANGUL = "\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff\uffa0-\uffdc"
_WIDE_PUNCTUATION = (
    "\u3001-\u3003\u3008-\u3020\u3030\u303d\ufe30-\ufe4f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
)

_WITHOUT_BLANKS = re.compile(f"[{_HAN}{_KANA}{_BOPOMOFO_YI}{_SOUTH_EAST_ASIAN}{_WIDE_PUNCTUATION}]")
_PARTICLES = re.compile(f"[{_HANGUL}]")
# they hang on the character before, and are no marks by their category: vowel signs am, halfwidth voicing,
# vowels and finals of Hangul, colours of skin, zero-width joiner and non-joiner
_HANGING = re.compile("[\u0e33\u0eb3\uff9e\uff9f\u1160-\u11ff\ud7b0-\ud7ff\U0001f3fb-\U0001f3ff\u200c\u200d]")


def is_without_blanks(character: str) -> bool:
    """Tell whether a character's script puts no blanks between words: Han, kana, Thai and others.

    Punctuation as wide as these characters counts as well.
    """
    return _WITHOUT_BLANKS.match(character) is not None


def is_within_character(text: str, index: int) -> bool:
    """Tell whether two characters of Unicode are one to the reader.

    Examples are a letter and its mark, and two characters with a zero-width joiner before the second.

    Args:
        text: the text.
        index: index of the second of the two.
    """
    if not 0 < index < len(text):
        return False
    return (
        text[index - 1] == _ZERO_WIDTH_JOINER
        or unicodedata.category(text[index])[0] == "M"
        or _HANGING.match(text[index]) is not None
    )


def is_within_word(text: str, index: int) -> bool:
    """Tell whether a word goes on between two characters, as far as letters and digits tell.

    Where a script puts no blanks between words, and in Hangul, whose blanks stand between words with their
    particles, only a character itself goes on.

    Args:
        text: the text.
        index: index of the second of the two.
    """
    if not 0 < index < len(text):
        return False
    if is_within_character(text, index):
        return True
    before = index - 1
    while is_within_character(text, before):
        before -= 1
    return _spells(text[before]) and _spells(text[index])


def _spells(character: str) -> bool:
    return character.isalnum() and not is_without_blanks(character) and _PARTICLES.match(character) is None
