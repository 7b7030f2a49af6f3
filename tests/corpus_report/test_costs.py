"""Warnings about sparse and dirty text: when they come, and their numbers."""

import math
import re

import pytest

from fairseq_electra.corpus_report.costs import passes_of, warnings_of
from fairseq_electra.electra.size_table import MODEL_SIZES


def found(**changes):
    """A report without faults on a text of 30 billion characters in 5 billion words."""
    step = {"characters": 0}
    return {
        "settings": {"repeats": 10, "languages": (), "mask_personal": False},
        "filtered": False,
        "text": {"characters": 30_000_000_000, "words": 5_000_000_000},
        "steps": {"boilerplate": step, "other language": step, "near duplicate": step},
        "languages": {"en": {"characters": 29_000_000_000}, "short or not clear": {"characters": 10**9}},
        "personal": {},
        **changes,
    }


def only(report, document_words=(1000,)):
    """Return the one warning of a report."""
    (warning,) = warnings_of(report, list(document_words))
    return warning


def test_warnings_of_a_large_clean_text_are_none():
    report = found(text={"characters": 30_000_000_000, "words": 60_000_000_000})
    assert warnings_of(report, [1000]) == []


def test_warnings_of_a_small_text_say_passes_and_updates():
    vocabulary = {"tokens": 1_000_000, "tokens_per_word": 1.5, "lost_characters": 0.0, "unknown_tokens": 0.0}
    warning = only(found(vocabulary=vocabulary))
    # tiny: 32 rows of 128 tokens, 28,000 updates
    assert passes_of(1_000_000)["tiny"] == 32 * 128 * 28_000 / 1e6 == 114.688
    assert warning.startswith(
        "sparse: the text has 1,000,000 tokens, which the recipe of tiny reads 115 times"
    )
    updates = dict(re.findall(r"(\w+) --max-update (\d+)", warning))
    assert list(updates) == list(MODEL_SIZES)
    for size, tokens in (
        ("tiny", 32 * 128),
        ("small", 128 * 128),
        ("base", 256 * 512),
        ("large", 2048 * 512),
    ):
        assert int(updates[size]) == math.floor(40 * 1e6 / tokens)


def test_warnings_estimate_tokens_where_there_is_no_vocabulary():
    warning = only(found(text={"characters": 30_000_000_000, "words": 1_000_000}))
    assert "about (at 1.5 tokens per word; --vocab counts them) 1,500,000 tokens" in warning


LARGE = {"characters": 1000, "words": 60_000_000_000}
AT, BELOW = {"characters": 30}, {"characters": 29}


@pytest.mark.parametrize("step", ["boilerplate", "near duplicate"])
def test_warnings_of_repeated_text_begin_at_three_per_cent(step):
    steps = found()["steps"]
    languages = {"en": {"characters": 1000}}
    warning = only(found(text=LARGE, languages=languages, steps={**steps, step: AT}))
    assert warning.startswith("repeated text: 3.0% of the characters are ")
    assert warnings_of(found(text=LARGE, languages=languages, steps={**steps, step: BELOW}), [1000]) == []


@pytest.mark.parametrize(("asked", "others"), [((), "de"), (("de",), "en"), (("de", "en"), None)])
def test_warnings_of_other_languages_are_of_those_not_asked_for_or_not_the_largest(asked, others):
    settings = {"repeats": 10, "languages": asked, "mask_personal": False}
    languages = {"en": {"characters": 900}, "de": AT, "short or not clear": {"characters": 70}}
    warnings = warnings_of(found(text=LARGE, settings=settings, languages=languages), [1000])
    assert [f"({others})" in warning for warning in warnings] == ([True] if others else [])


def test_warnings_of_short_documents_say_the_share_of_padding():
    # 20 words are 30 tokens of the 125 that fit into a row of 128; 200 words are 300 tokens in 3 rows
    report = found(text=LARGE, languages={"en": {"characters": 1000}})
    assert "are 24% full, so up to 76% of" in only(report, [20, 20])
    assert warnings_of(report, [200, 200]) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lost_characters": 0.02}, "lost characters: 2.0%"),
        ({"unknown_tokens": 0.02}, "2.0% of the tokens"),
        ({"tokens_per_word": 3.0}, "a row holds 50% of the words that it could, and a pass takes 2.0 times"),
    ],
)
def test_warnings_of_a_vocabulary_that_does_not_fit(changes, said):
    fits = {"tokens": 10**11, "tokens_per_word": 1.5, "lost_characters": 0.001, "unknown_tokens": 0.001}
    report = found(text=LARGE, languages={"en": {"characters": 1000}})
    assert warnings_of({**report, "vocabulary": fits}, [1000]) == []
    assert said in only({**report, "vocabulary": {**fits, **changes}})


def test_warnings_of_personal_data_name_the_kinds_unless_it_is_masked():
    report = found(text=LARGE, languages={"en": {"characters": 1000}})
    report["personal"] = {"e-mail address": {"number": 1200, "examples": ["a:1"]}}
    assert "e-mail address (1,200)" in only(report)
    report["settings"]["mask_personal"] = True
    assert warnings_of(report, [1000]) == []
