"""Words of raw text: those that files of tagged words have."""

import random

import pytest

from fairseq_electra.finetuning.words.cut import spans_of_words


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
        ("the U.S. and (the U.K.), e.g. in the U.S.", "the|U.S.|and|(|the|U.K.|)|,|e.g.|in|the|U.S."),
        ("Mr. J. Smith of Acme Inc. met Dr. No vs. me.", "Mr.|J.|Smith|of|Acme|Inc.|met|Dr.|No|vs.|me|."),
        ("plan B. It ends.", "plan|B.|It|ends|."),
        ("Acme Inc.", "Acme|Inc|."),
        ("plan B.", "plan|B|."),
        ("U.S... U.S.!", "U.S|...|U.S.|!"),
        ("a.b. 3.5. x1.2. on. no.", "a.b.|3.5|.|x1.2|.|on|.|no|."),
        ("\u6211\u7231\u5317\u4eac\u3002", "\u6211|\u7231|\u5317|\u4eac|\u3002"),
        ("\u201c\u4f60\u597d\u201d\uff0c\u4ed6\u8bf4", "\u201c|\u4f60|\u597d|\u201d|\uff0c|\u4ed6|\u8bf4"),
        (
            "\u57282008\u5e74\u7684U.S.\u5e02\u573a(iPhone)\u3002",
            "\u5728|2008|\u5e74|\u7684|U.S.|\u5e02|\u573a|(|iPhone|)|\u3002",
        ),
        ("\u304b\u3099\u30b3\u30fc\u3001\uff76\uff9e", "\u304b\u3099|\u30b3|\u30fc|\u3001|\uff76\uff9e"),
        ("\u0e17\u0e35\u0e48\u0e19\u0e33", "\u0e17\u0e35\u0e48|\u0e19\u0e33"),
        ("\uc11c\uc6b8\uc5d0\uc11c, \uc624\ub298.", "\uc11c\uc6b8\uc5d0\uc11c|,|\uc624\ub298|."),
        (
            "\u0939\u093f\u0928\u094d\u0926\u0940, nai\u0308ve.",
            "\u0939\u093f\u0928\u094d\u0926\u0940|,|nai\u0308ve|.",
        ),
        ("na\u00efve M\u00fcller \u0414\u0430.", "na\u00efve|M\u00fcller|\u0414\u0430|."),
    ],
    ids=range(28),
)
def test_spans_of_words_cuts_at_blanks_and_punctuation(line, expected):
    assert words(line) == [word for word in expected.split("|") if word]


def test_spans_of_words_covers_every_sign_once_in_order():
    rng = random.Random(1)
    for _ in range(5000):
        line = "".join(
            rng.choice("abc ()\"'.,!\u201c\u201d\u00a0<>\r\f\u5317\u3002\u0301\u3099\u200d")
            for _ in range(rng.randrange(16))
        )
        assert "".join(words(line)) == "".join(line.split())
        spans = spans_of_words(line)
        assert all(a < b for a, b in spans) and spans == sorted(spans)
        alone = [word for part in line.split() for word in words(part)]
        assert words(line) == alone


@pytest.mark.parametrize(
    ("sign", "number"),
    [("!", 200_000), ("(", 200_000), ('"', 200_000), (".", 50_000), ("\u0301", 50_000), ("\u5317", 50_000)],
)
def test_spans_of_words_takes_linear_time_on_punctuation(sign, number):
    """A second, where a search from each sign on takes minutes."""
    for line in (sign * number + "b", "a" + sign * number + "b", "a" + sign * number):
        assert "".join(words(line)) == line
