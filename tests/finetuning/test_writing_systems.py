"""Where words and characters go on, in scripts of every kind."""

import unicodedata

import pytest

from fairseq_electra.finetuning.writing_systems import is_within_character, is_within_word


def cut(text, is_within):
    """The text with a bar wherever nothing goes on."""
    return "".join(
        ("|" if i and not is_within(text, i) else "") + character for i, character in enumerate(text)
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("El-Gizouli 1990s", "El|-|Gizouli| |1990s"),
        ("naïve Straße Да Ωδή", "naïve| |Straße| |Да| |Ωδή"),
        (unicodedata.normalize("NFD", "naïve Ωδή"), unicodedata.normalize("NFD", "naïve| |Ωδή")),
        ("हिन्दी में", "हिन्दी| |में"),
        ("தமிழ் வணக்கம்", "தமிழ்| |வணக்கம்"),
        ("العَرَبِيَّة שָׁלוֹם", "العَرَبِيَّة| |שָׁלוֹם"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("北京2008年", "北|京|2008|年"),
        ("コーヒーがiPadと", "コ|ー|ヒ|ー|が|iPad|と"),
        ("か\u3099ｶﾞ", "か\u3099|ｶﾞ"),
        ("ที่นำ", "ที่|นำ"),
        ("서울에서 10월", "서|울|에|서| |10|월"),
        (
            unicodedata.normalize("NFD", "한국어"),
            "|".join(unicodedata.normalize("NFD", each) for each in "한국어"),
        ),
        ("မြန်မာ", "မြ|န်|မာ"),
        ("👍🏽👩\u200d🔬!", "👍🏽|👩\u200d🔬|!"),
    ],
)
def test_is_within_word_depends_on_whether_the_script_has_blanks(text, expected):
    assert cut(text, is_within_word) == expected


def test_is_within_character_before_marks_only():
    text = "e\u0301a\u0308\u0304x 한"
    assert cut(text, is_within_character) == "e\u0301|a\u0308\u0304|x| |한"
    for place in (-1, 0, len(text), len(text) + 1):
        assert not is_within_character(text, place) and not is_within_word(text, place)
