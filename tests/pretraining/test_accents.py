"""An uncased vocabulary keeps the marks of scripts that need them, and strips accents elsewhere."""

from collections import Counter

import pytest
from tokenizers import normalizers

from fairseq_electra.pretraining.accents import count_marks
from fairseq_electra.pretraining.wordpiece import train_wordpiece

# a sentence, and a word of it that must come back as it was
NEEDED = {
    "Japanese": ("きのうはコーヒーがとてもすきでした ガラスのコップで飲みました", "が"),
    "Hindi": ("मैं हिंदी में लिखता हूँ और तुम सुनते हो", "हिंदी"),
    "Thai": ("ฉัน ชอบ ดื่ม กาแฟ ที่ บ้าน น้ำ ผึ้ง", "ดื่ม"),
    "Russian": ("Мой чай стоит на столе, мой край, второй трамвай", "чай"),
    "Korean": ("나는 한국어를 씁니다 그리고 책을 읽는다", "한국어를"),
    "Tamil": ("நான் தமிழ் பேசுகிறேன்", "தமிழ்"),
}
STRIPPED = {
    "French": ("Un café déjà bu à l\u2019été, où l\u2019élève naïf était", "café", "cafe"),
    "Vietnamese": ("Tiếng Việt có nhiều dấu", "việt", "viet"),
    "Greek": ("Η γάτα κάθεται στο χαλί", "γάτα", "γατα"),
    "Arabic": ("هَذَا كِتَابٌ جَدِيدٌ", "كِتَابٌ", "كتاب"),
    "English with a few foreign names": ("the plain words of a long text " * 200 + "हिंदी が é", "é", "e"),
}


@pytest.mark.parametrize("name", NEEDED)
def test_a_script_that_needs_its_marks_keeps_them(name):
    text, word = NEEDED[name]
    said = []
    tokenizer = train_wordpiece([text] * 20, 300, say=said.append)
    encoding = tokenizer.encode(word, add_special_tokens=False)
    assert "".join(piece.removeprefix("##") for piece in encoding.tokens) == word
    assert said[0].startswith("accents and other marks are kept, as the script needs them")
    explicit = train_wordpiece([text] * 20, 300, keep_accents=True, say=said.append)
    assert explicit.to_str() == tokenizer.to_str() and len(said) == 1


@pytest.mark.parametrize("name", STRIPPED)
def test_other_scripts_lose_their_accents_as_in_the_original_and_it_is_said(name):
    text, word, bare = STRIPPED[name]
    said = []
    tokenizer = train_wordpiece([text] * 20, 300, say=said.append)
    encoding = tokenizer.encode(word, add_special_tokens=False)
    assert "".join(piece.removeprefix("##") for piece in encoding.tokens) == bare
    assert said[0].startswith("accents are stripped") and said[0].endswith("--keep-accents keeps them")


def test_nothing_is_said_where_nothing_is_lost():
    said = []
    train_wordpiece(["plain words 漢字 \u2260 \u2764\ufe0f"] * 20, 300, say=said.append)
    train_wordpiece(["école が"] * 20, 300, cased=True, say=said.append)
    assert said == []


def test_letters_are_counted_by_how_often_their_text_stands_there():
    marks = count_marks(Counter({"é1a": 3, "e\u0301": 1, "が": 2, "ab": 1, "か": 1}))  # e and U+0301 are é
    assert (marks.letters, marks.accents, marks.signs) == (3 * 2 + 1 + 2 + 2 + 1, 4, 2)
    assert marks.are_letters and str(marks) == "50.00% of the letters, such as é to e"
    assert str(count_marks(Counter({"कु": 1}))) == "50.00% of the letters, such as ◌ु to nothing"


def test_syllables_of_korean_count_as_letters_that_would_be_taken_apart():
    marks = count_marks(Counter({"a한": 2, "b": 4}))
    assert (marks.letters, marks.accents, marks.signs) == (8, 0, 2) and marks.are_letters
    assert str(marks) == "25.00% of the letters, such as 한 to \u1112 \u1161 \u11ab"
    stripped = normalizers.BertNormalizer(strip_accents=True).normalize_str("한")
    assert stripped == "\u1112\u1161\u11ab"  # else the library no longer takes them apart


def test_the_count_is_that_of_a_plain_loop(corpus_lines):
    import unicodedata

    texts = Counter(
        word for line in [*corpus_lines[:300], "naïve Ångström คำ が が"] for word in line.split(" ")
    )
    letters = changed = 0
    for text, count in texts.items():
        for character in unicodedata.normalize("NFC", text):
            if unicodedata.category(character)[0] in "LM":
                letters += count
                changed += count * any(
                    unicodedata.category(part) == "Mn" for part in unicodedata.normalize("NFD", character)
                )
    marks = count_marks(texts)
    assert (marks.letters, marks.accents + marks.signs) == (letters, changed)
