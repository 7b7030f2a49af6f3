"""Unmasking and Gibbs sampling of a batch, against plain loops over one text at a time."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch

from fairseq_electra.generation import gibbs
from fairseq_electra.generation.settings import Settings
from fairseq_electra.generation.uniforms import Uniforms
from fairseq_electra.generation.unmasking import unmask
from tests.helpers.plain_generation import (
    BOS,
    EOS,
    MASK,
    PAD,
    WORDS,
    TableNetworks,
    plain_gibbs,
    plain_probabilities,
    plain_unmask,
    repeats,
    rows_of,
)

_ = None  # to be generated
TEXTS = [
    [_] * 9,
    [4, 5, _, _, 6, _, _, _, 7, _, 8, _],
    [_],
    [9, 8, 7, 6, _, _, _, _, _, _],
    [_, 5, _, 5, _, 4, _, 4],
]
UNMASKING = {
    "one step": {"steps": 1},
    "one token a step": {"steps": 100},
    "confidence": {"steps": 4},
    "random order": {"steps": 4, "order": "random"},
    "blocks": {"steps": 6, "block": 3},
    "more blocks than steps": {"steps": 2, "block": 2, "top_k": 3},
    "remasking in blocks": {"steps": 7, "block": 4, "remask": True},
    "mask-predict": {"steps": 5, "method": "mask-predict", "temperature": 0},
    "more steps than tokens": {"steps": 20, "remask": True, "top_p": 0.8},
    "critic": {"steps": 5, "critic": True},
    "critic in blocks": {"steps": 6, "critic": True, "block": 4, "temperature": 0.5},
    "no bigram twice": {"steps": 2, "no_repeat": 2},
    "no token twice": {"steps": 3, "no_repeat": 1},
    "critic without repeats": {"steps": 4, "critic": True, "no_repeat": 2},
    "remasking without repeats": {"steps": 5, "remask": True, "no_repeat": 2, "block": 4},
}
GIBBS = {
    "few steps": {"steps": 3},
    "some rounds": {"steps": 25, "top_k": 4},
    "no bigram twice": {"steps": 2, "no_repeat": 2},
}


def uniforms_for(numbers, settings):
    return Uniforms(settings.seed, np.array(numbers), np.zeros(len(numbers), dtype=int))


def complete(networks, texts, settings, numbers=None):
    method = gibbs.sample if settings.method == "gibbs" else unmask
    numbers = range(len(texts)) if numbers is None else numbers
    return method(networks, rows_of(texts), uniforms_for(numbers, settings), settings)


@pytest.mark.parametrize("changes", UNMASKING.values(), ids=UNMASKING)
def test_unmask_is_a_plain_loop_over_each_text(changes):
    settings, networks = Settings(**changes, seed=3), TableNetworks()
    tokens, logprobs = complete(networks, TEXTS, settings)
    for i, text in enumerate(TEXTS):
        row, expected, _ = plain_unmask(networks, text, settings, i)
        assert tokens[i].tolist() == row + [PAD] * (tokens.shape[1] - len(row))
        assert logprobs[i, : len(row)].tolist() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("changes", GIBBS.values(), ids=GIBBS)
def test_gibbs_is_a_plain_loop_over_each_text(changes):
    settings, networks = Settings(**changes, method="gibbs", seed=3), TableNetworks()
    tokens, logprobs = complete(networks, TEXTS, settings)
    for i, text in enumerate(TEXTS):
        row, expected, _ = plain_gibbs(networks, text, settings, i)
        assert tokens[i].tolist() == row + [PAD] * (tokens.shape[1] - len(row))
        assert logprobs[i, : len(row)].tolist() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "changes",
    [{}, {"critic": True}, {"method": "gibbs"}, {"method": "mask-predict"}, {"no_repeat": 2, "steps": 1}],
    ids=str,
)
def test_methods_keep_the_given_tokens_and_draw_words_alone(changes):
    tokens, _ = complete(TableNetworks(), TEXTS, Settings(**{"steps": 4} | changes))
    for row, text in zip(tokens.tolist(), TEXTS, strict=True):
        assert row[0] == BOS and row[len(text) + 1] == EOS and set(row[len(text) + 2 :]) <= {PAD}
        for token, given in zip(row[1:], text, strict=False):
            assert token in WORDS if given is None else token == given


def test_unmask_needs_the_steps_that_it_was_given():
    for steps, texts, expected in ((4, [[_] * 8], 4), (100, [[_] * 8, [_] * 3], 8), (3, [[_]], 1)):
        networks = TableNetworks()
        complete(networks, texts, Settings(steps=steps))
        assert networks.passes == expected


def test_the_seed_and_the_number_of_a_text_choose_it():
    """A text is the same alone, in another order, and beside others; another seed or number gives another."""
    texts = [[_] * 10] * 4
    for method in ({}, {"method": "gibbs"}, {"critic": True}):
        settings = Settings(steps=5, **method)
        together = complete(TableNetworks(), texts, settings).tokens.tolist()
        turned = complete(TableNetworks(), texts, settings, [3, 2, 1, 0]).tokens.tolist()
        assert together == turned[::-1] and len(set(map(tuple, together))) == 4
        alone = complete(TableNetworks(), texts[:1], settings, [2]).tokens.tolist()
        assert alone == together[2:3]
        other = complete(TableNetworks(), texts, Settings(steps=5, seed=2, **method)).tokens.tolist()
        assert other != together


def test_unmask_finishes_blocks_from_left_to_right():
    """After each step, tokens behind a block with a mask are masked."""

    class Watching(TableNetworks):
        rows: list = []  # noqa: RUF012

        def scores(self, tokens, positions):
            self.rows.append(tokens[0].tolist())
            return super().scores(tokens, positions)

    networks = Watching()
    complete(networks, [[_] * 9], Settings(steps=9, block=3))
    numbers = [[i for i, token in enumerate(row) if token == MASK] for row in networks.rows]
    assert [len(masked) for masked in numbers] == list(range(9, 0, -1))
    for step, masked in enumerate(numbers):
        first_open = 1 + step // 3 * 3
        assert all(i >= first_open for i in masked) and set(range(first_open + 3, 10)) <= set(masked)


def test_the_critic_masks_the_tokens_with_the_highest_p_replaced():
    class Watching(TableNetworks):
        masked: list = []  # noqa: RUF012

        def scores(self, tokens, positions):
            self.masked.append({i for i, token in enumerate(tokens[0].tolist()) if token == MASK})
            return super().scores(tokens, positions)

    networks = Watching()
    complete(networks, [[_] * 8], Settings(steps=4, critic=True))
    read = networks.read.copy()
    assert len(read) == 4 and not any(MASK in row for row in read)
    for row, masked in zip(read, networks.masked[1:], strict=False):
        doubt = networks.replaced(torch.tensor([row]))[0].tolist()
        assert masked == set(sorted(range(1, 9), key=lambda i: -doubt[i])[: len(masked)])
    assert [len(masked) for masked in networks.masked] == [8, 6, 4, 2]
    assert any(new - old for old, new in itertools.pairwise(networks.masked))  # a token that had stayed


@pytest.mark.parametrize("method", ["diffusion", "mask-predict", "gibbs"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_no_repeat_leaves_no_ngram_twice(method, size):
    """Six words; so many tokens of them that repeats are likely, and not so many that there is no way out."""
    length = (6, 8, 18)[size - 1]
    networks = TableNetworks(scale=2.0)
    settings = Settings(method=method, steps=3, no_repeat=size)
    assert all(
        not repeats(row, size) for row in complete(networks, [[_] * length] * 20, settings).tokens.tolist()
    )
    free = complete(networks, [[_] * length] * 20, Settings(method=method, steps=3)).tokens.tolist()
    assert any(repeats(row, size) for row in free)


def test_no_repeat_gives_way_where_no_token_is_left():
    """Seven tokens of six words: one of them has to be there twice."""
    for method in ("diffusion", "gibbs"):
        row = complete(TableNetworks(), [[_] * 7], Settings(method=method, steps=7, no_repeat=1)).tokens
        assert set(row[0].tolist()) == {BOS, EOS, *WORDS}


def test_random_order_one_token_a_step_samples_the_enumerated_distribution():
    """Two tokens: the mean over both orders of p(first) p(second | first), against the shares of samples."""
    networks, number = TableNetworks(scale=0.3), 8_000
    settings = Settings(steps=2, order="random", temperature=0.8, top_k=4, top_p=0.9)
    start = [BOS, MASK, MASK, EOS]

    def token_probabilities(row, position):
        logits = networks.scores(torch.tensor([row]), torch.tensor([[position]]))[0, 0].tolist()
        return plain_probabilities(logits, 0.8, 4, 0.9)

    expected: Counter = Counter()
    for first, second in ((1, 2), (2, 1)):
        for token, probability in enumerate(token_probabilities(start, first)):
            if probability:
                row = [token if i == first else each for i, each in enumerate(start)]
                for other, conditional in enumerate(token_probabilities(row, second)):
                    pair = (token, other) if first == 1 else (other, token)
                    expected[pair] += 0.5 * probability * conditional
    tokens, _ = complete(networks, [[None, None]] * number, settings)
    found = Counter(map(tuple, tokens[:, 1:3].tolist()))
    assert math.fsum(expected.values()) == pytest.approx(1)
    assert set(found) <= {pair for pair, probability in expected.items() if probability}
    for pair, probability in expected.items():
        error = math.sqrt(probability * (1 - probability) / number)
        assert abs(found[pair] / number - probability) <= 5 * error + 1e-12
