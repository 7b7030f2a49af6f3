"""Words of raw text: those that files of tagged words have."""

import random

import pytest

from fairseq_electra.evaluation.predictions import spans_of_words


def words(line):
    return [line[a:b] for a, b in spans_of_words(line)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", ""),
        (" \t ", ""),
        ("one", "one"),
        ("Ada Lovelace wrote.", "Ada|Lovelace|wrote|."),
        ('He said "no," and (left).', 'He|said|"|no|,|"|and|(|left|)|.'),
        ('"return"; it', '"|return|"|;|it'),
        ("wait... what?!", "wait|...|what|?|!"),
        ("((x)) [b]", "(|(|x|)|)|[|b|]"),
        ("don't f(x) a/b x,y 1,000.5 a.b@c.de", "don't|f(x|)|a/b|x,y|1,000.5|a.b@c.de"),
        ("\u201cso\u201d\u2026", "\u201c|so|\u201d|\u2026"),
        ('... () "."', '...|(|)|"|.|"'),
        ("a\u00a0b\u3000c", "a|b|c"),
        ("\U0001f600! #tag @name", "\U0001f600|!|#tag|@name"),
    ],
    ids=range(13),
)
def test_words_stand_between_blanks_and_punctuation_at_their_ends_apart(line, expected):
    assert words(line) == [word for word in expected.split("|") if word]


def test_every_sign_is_in_one_word_and_all_are_in_their_order():
    rng = random.Random(1)
    for _ in range(5000):
        line = "".join(rng.choice("abc ()\"'.,!\u201c\u201d\u00a0<>\r\f") for _ in range(rng.randrange(16)))
        assert "".join(words(line)) == "".join(line.split())
        spans = spans_of_words(line)
        assert all(a < b for a, b in spans) and spans == sorted(spans)
        alone = [word for part in line.split() for word in words(part)]
        assert words(line) == alone


@pytest.mark.parametrize("sign", '!("')
def test_a_long_run_of_punctuation_takes_no_long_time(sign):
    """A second, where a search from each sign on takes minutes."""
    for line in (sign * 200_000 + "b", "a" + sign * 200_000 + "b", "a" + sign * 200_000):
        assert "".join(words(line)) == line
