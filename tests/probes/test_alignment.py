"""Which tokens two sentences share, by hand and by the definition."""

import random

import pytest

from fairseq_electra.pretraining.wordpiece import BOS_ID, EOS_ID
from fairseq_electra.probes.alignment import shared_tokens
from tests.helpers.plain_alignment import plain_alignment


def row(text: str) -> tuple[int, ...]:
    """One token for each letter."""
    return (BOS_ID, *map(ord, text), EOS_ID)


@pytest.mark.parametrize(
    ("first", "second", "of_first", "of_second"),
    [
        ("abXcd", "abYcd", [0, 1, 3, 4], [0, 1, 3, 4]),
        ("abXcd", "abYZcd", [0, 1, 3, 4], [0, 1, 4, 5]),  # of unlike length
        ("abcd", "abYcd", [0, 1, 2, 3], [0, 1, 3, 4]),  # one more word
        ("XabYcd", "ZabUVcdW", [1, 2, 4, 5], [1, 2, 5, 6]),  # several differ
        ("aXbXc", "aYbYc", [0, 2, 4], [0, 2, 4]),
        ("abc", "abc", [0, 1, 2], [0, 1, 2]),
        ("abc", "xyz", [], []),
        ("X", "", [], []),
        ("", "", [], []),
        ("aba", "ab", [0, 1], [0, 1]),
        ("ba", "aba", [0, 1], [1, 2]),
    ],
)
def test_shared_tokens_are_those_of_the_longest_runs(first, second, of_first, of_second):
    assert shared_tokens(row(first), row(second)) == (of_first, of_second)


def test_shared_tokens_are_the_alignment_by_its_definition_also_in_long_rows():
    draws = random.Random(1)
    for length in (*range(30), 260):
        first, second = (
            row("".join(draws.choice("abcd") for _ in range(max(0, length + shorter)))) for shorter in (0, -2)
        )
        expected = [(i - 1, j - 1) for i, j in plain_alignment(list(first), list(second))][1:-1]
        found = shared_tokens(first, second)
        assert list(zip(*found, strict=True)) == expected
        assert [first[i + 1] for i in found[0]] == [second[j + 1] for j in found[1]]
