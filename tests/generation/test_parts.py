"""The plan of steps, the distribution of a token, forbidden tokens, settings and random numbers."""

import itertools
import random

import numpy as np
import pytest
import torch

from fairseq_electra.errors import InputError
from fairseq_electra.generation.distribution import token_probabilities
from fairseq_electra.generation.repeats import forbidden, repeated
from fairseq_electra.generation.schedule import Step, plan
from fairseq_electra.generation.settings import Settings
from fairseq_electra.generation.uniforms import Purpose, Uniforms, drawn_length
from tests.helpers.plain_generation import MASK, plain_probabilities, repeats, repeats_through


def test_plan_shares_steps_among_blocks():
    assert plan(8, 4, 0, False) == [Step(0, 8, 6), Step(0, 8, 4), Step(0, 8, 2), Step(0, 8, 0)]
    assert plan(5, 4, 3, False) == [Step(0, 2, 1), Step(0, 2, 0), Step(2, 5, 1), Step(2, 5, 0)]
    assert plan(2, 100, 0, False) == [Step(0, 2, 1), Step(0, 2, 0)]
    assert plan(2, 5, 0, True) == [Step(0, 2, 1), Step(0, 2, 1), Step(0, 2, 0)]
    assert plan(1, 1, 4, True) == [Step(0, 1, 0)]


@pytest.mark.parametrize("masks_again", [False, True])
def test_plan_ends_each_block_without_masks(masks_again):
    for number, steps, block in itertools.product((1, 2, 7, 16), (1, 3, 16, 40), (0, 1, 4, 20)):
        found = plan(number, steps, block, masks_again)
        assert len(found) <= steps and (masks_again or len(found) == min(steps, number))
        assert [step.end for step in found if not step.left] == sorted({step.end for step in found})
        assert found[0].start == 0 and found[-1].end == number
        ends = sorted({step.end for step in found})
        assert [0, *ends[:-1]] == sorted({step.start for step in found})
        if block and steps >= number:
            assert max(step.end - step.start for step in found) <= block


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"temperature": 0.0},
        {"temperature": 2.5},
        {"temperature": 1e-6},
        {"top_k": 2},
        {"top_k": 6},
        {"top_k": 100},
        {"top_p": 0.5},
        {"top_p": 1e-6},
        {"temperature": 0.7, "top_k": 4, "top_p": 0.8},
    ],
    ids=str,
)
def test_token_probabilities_are_those_of_sorting(changes):
    logits = torch.randn(50, 3, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2
    logits[..., 2] = float("-inf")
    found = token_probabilities(logits, Settings(**changes))
    for row, expected in zip(found.flatten(0, 1), logits.flatten(0, 1), strict=True):
        plain = plain_probabilities(expected.tolist(), **changes)
        assert row.tolist() == pytest.approx(plain.tolist(), abs=1e-12) and row[2] == 0


def test_a_text_shorter_than_the_ngrams_repeats_none():
    assert forbidden([5, MASK, 5], [1], 10**9, MASK) == [set()]
    assert not repeated([5, 5, 5], 1, 5, 10**9, MASK)


def test_forbidden_is_every_token_that_repeats_an_ngram():
    numbers = random.Random(1)
    for _ in range(200):
        length, size = numbers.randint(1, 12), numbers.randint(1, 4)
        row = [numbers.choice([4, 5, 6, MASK]) for _ in range(length)]
        masked = [i for i, token in enumerate(row) if token == MASK]
        before = repeats(row, size)
        for position, tokens in zip(masked, forbidden(row, masked, size, MASK), strict=True):
            for token in (4, 5, 6, 7):
                changed = [*row[:position], token, *row[position + 1 :]]
                expected = bool(repeats_through(changed, position, size))
                assert (token in tokens) == expected == repeated(row, position, token, size, MASK)
                assert not repeats(changed, size) - before or expected


def test_uniforms_depend_on_seed_text_candidate_step_and_purpose():
    texts, candidates = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    uniforms = Uniforms(1, texts, candidates)
    found = [uniforms(purpose, step, 50) for purpose in (Purpose.TOKEN, Purpose.ORDER) for step in (0, 1)] + [
        Uniforms(2, texts, candidates)(Purpose.TOKEN, 0, 50)
    ]
    numbers = np.stack(found)
    assert numbers.shape == (5, 4, 50) and len(np.unique(numbers)) == numbers.size
    assert 0 <= numbers.min() < 0.01 and 0.99 < numbers.max() < 1
    longer = Uniforms(1, texts[2:3], candidates[2:3])(Purpose.TOKEN, 1, 80)
    assert (longer[0, :50] == uniforms(Purpose.TOKEN, 1, 50)[2]).all()


def test_drawn_length_takes_every_length_of_the_range():
    lengths = [drawn_length(1, text, 3, 6) for text in range(400)]
    counts = [lengths.count(length) for length in (3, 4, 5, 6)]
    assert sum(counts) == 400 and min(counts) > 70
    assert lengths == [drawn_length(1, text, 3, 6) for text in range(400)] and drawn_length(1, 5, 7, 7) == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "beam"}, "no method 'beam'; use one of diffusion, mask-predict, gibbs"),
        ({"order": "left"}, "no order 'left'; use one of confidence, random"),
        ({"steps": 0}, "--steps must be 1 or more, got 0"),
        ({"candidates": 0}, "--candidates must be 1 or more, got 0"),
        ({"temperature": -1.0}, "--temperature must be 0 or more, got -1.0"),
        ({"temperature": float("nan")}, "--temperature must be 0 or more, got nan"),
        ({"temperature": float("inf")}, "--temperature must be at most 1e+06, at which all tokens are alike"),
        ({"top_k": -1}, "--top-k must be 0 or more, got -1"),
        ({"top_p": 0.0}, "--top-p must lie between 1e-06 and 1, got 0.0"),
        ({"top_p": 1e-60}, "--top-p must lie between 1e-06 and 1, got 1e-60"),
        ({"critic": True, "remask": True}, "with --critic tokens are masked again in any case"),
        ({"candidates": 4, "temperature": 0}, "--temperature 0 makes 4 candidates that are all the same"),
        ({"no_repeat": -2}, "--no-repeat must be 0 or more, got -2"),
        ({"method": "gibbs", "critic": True}, "leave out --critic"),
        ({"critic": True, "order": "random"}, "the discriminator chooses the order; leave out --order"),
        ({"method": "mask-predict", "block": 8}, "leave out --block"),
    ],
)
def test_settings_refuse_values_out_of_range(changes, message):
    with pytest.raises(InputError) as error:
        Settings(**changes)
    assert message in str(error.value)


def test_a_temperature_that_float32_takes_for_0_is_refused():
    with pytest.raises(InputError, match="--temperature must be 0 or at least 1e-06, got 1e-46"):
        Settings(temperature=1e-46)
