"""Near duplicates, against the exact similarity of all pairs."""

import itertools
import random

import pytest

from fairseq_electra.corpus_report import near_duplicates
from fairseq_electra.corpus_report.near_duplicates import (
    MIN_WORDS,
    PERMUTATIONS,
    NearDuplicates,
    shingles,
    signatures_of,
)
from fairseq_electra.corpus_report.paragraphs import words_of
from fairseq_electra.pretraining.corpus import builtin_paragraphs

pytest.importorskip("rensa", reason="the extra report is not installed")
ORIGINALS, COPIES = 100, 80


def similarity(first, second):
    """Share of all triples of words of two texts that both hold."""
    first, second = ({*zip(words, words[1:], words[2:], strict=False)} for words in (first, second))
    return len(first & second) / len(first | second)


@pytest.fixture(scope="module")
def texts():
    """Words of 100 paragraphs, and after them copies of 80 with 1, 3, 6 or 12 of 60 words changed."""
    distinct = {tuple(words_of(paragraph)[:60]) for paragraph in itertools.islice(builtin_paragraphs(), 2500)}
    originals = sorted(words for words in distinct if len(words) == 60)[:ORIGINALS]
    assert len(originals) == ORIGINALS
    rng, changed = random.Random(1), []
    for number, words in enumerate(originals[:COPIES]):
        copy = list(words)
        for at in rng.sample(range(60), (1, 3, 6, 12)[number % 4]):
            copy[at] = f"changed{number}at{at}"
        changed.append(copy)
    return [*map(list, originals), *changed]


def test_add_finds_what_the_exact_similarity_of_all_pairs_finds(texts):
    twins = NearDuplicates().add(texts)
    kept, missed, wrong = [], [], []
    for words, twin in zip(texts, twins, strict=True):
        exact = max((similarity(words, other) for other in kept), default=0.0)
        if twin is None:
            missed += [exact] * (exact >= 0.88)
            kept.append(words)
        else:
            assert abs(twin.similarity - similarity(words, kept[twin.number])) < 0.15
            wrong += [exact] * (exact <= 0.72)
    assert missed == wrong == []
    one_word, twelve_words = twins[ORIGINALS::4], twins[ORIGINALS + 3 :: 4]
    assert None not in one_word and all(twin.similarity > 0.8 for twin in one_word)
    assert not any(twelve_words)


@pytest.mark.parametrize("size", [1, 7])
def test_add_in_parts_gives_what_one_call_gives(texts, size, monkeypatch):
    monkeypatch.setattr(near_duplicates, "_BLOCK", 16)
    index = NearDuplicates()
    parts = [index.add(texts[start : start + size]) for start in range(0, len(texts), size)]
    whole = NearDuplicates()
    assert list(itertools.chain(*parts)) == whole.add(texts)
    assert len(index) == len(whole) < len(texts)


def test_add_keeps_the_first_copy_and_finds_nothing_in_what_is_kept(texts):
    texts = texts[:20]
    index = NearDuplicates()
    twins = index.add([*texts, *texts])
    assert twins[: len(texts)] == [None] * len(texts)
    assert [(twin.number, twin.similarity) for twin in twins[len(texts) :]] == [
        (number, 1.0) for number in range(len(texts))
    ]
    assert index.add([]) == [] and len(index) == len(texts)


def test_signatures_of_estimate_the_similarity(texts):
    pairs = list(zip(texts[:COPIES], texts[ORIGINALS:], strict=True))
    first, second = (signatures_of(each) for each in zip(*pairs, strict=True))
    assert first.shape == (COPIES, PERMUTATIONS)
    errors = (first == second).mean(axis=1) - [similarity(*pair) for pair in pairs]
    assert abs(errors.mean()) < 0.02 and abs(errors).max() < 0.15


def test_shingles_are_triples_and_the_shortest_paragraph_has_some():
    assert shingles("a b c d".split()) == ["a b c", "b c d"] and MIN_WORDS > 3
