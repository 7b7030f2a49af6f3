"""Schedules: their values against plain formulas, and what is refused."""

import math

import numpy as np
import pytest

from fairseq_electra.electra.flops import electra_flops, masked_lm_flops
from fairseq_electra.electra.mask_rate import MaskRate
from fairseq_electra.electra.schedules import FORMS, parse_schedule
from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.errors import InputError
from tests.helpers.paths import ROOT

UPDATES = np.arange(0, 45)


def transcribed(form, values, updates):
    """Values at UPDATES by NumPy, from all points, the start at update 0 included."""
    if form == "linear":
        return np.interp(UPDATES, updates, values)
    if form == "exponential":
        return np.exp(np.interp(UPDATES, updates, np.log(values)))
    before = np.searchsorted(updates, UPDATES, side="right") - 1
    after = np.minimum(before + 1, len(values) - 1)
    start, end = np.take(values, before), np.take(values, after)
    if form == "step":
        return start
    share = (UPDATES - np.take(updates, before)) / np.maximum(
        1, np.take(updates, after) - np.take(updates, before)
    )
    return start * np.cos(np.pi * share / 2) ** 2 + end * np.sin(np.pi * share / 2) ** 2


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("points", [[(0.15, 20)], [(0.4, 7), (0.1, 8), (0.25, 40)]])
def test_at_is_the_transcription(form, points):
    text = f"{form}:" + ",".join(f"{value}@{update}" for value, update in points)
    schedule = parse_schedule("--option", text, 0.3)
    values, updates = zip((0.3, 0), *points, strict=True)
    found = [schedule.at(int(update)) for update in UPDATES]
    assert found == pytest.approx(transcribed(form, values, updates), rel=1e-12)
    for value, update in points:  # exactly, and not before
        assert schedule.at(update) == value != schedule.at(update - 1)
    assert schedule.at(10**9) == schedule.last == values[-1]
    assert schedule.highest == max(values) == max(found)


def test_exponential_changes_by_one_factor_at_every_update():
    schedule = parse_schedule("--temperature-schedule", "exponential:.5@10", 2.0)
    factors = [schedule.at(n + 1) / schedule.at(n) for n in range(10)]
    assert factors == pytest.approx([4**-0.1] * 10)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "linear",
            "give FORM:VALUE@UPDATE, FORM being linear, cosine, exponential or step, such as linear:0.15@",
        ),
        ("linear:.15", "'linear:.15' is no schedule"),
        ("liner:.15@20", "'liner:.15@20' is no schedule"),
        ("step:.2@10,", "'step:.2@10,' is no schedule"),
        ("step:.2@1e4", "'step:.2@1e4' is no schedule"),
        ("linear:0@20", "its values must lie between 0 and 1, got 0"),
        ("linear:1@20", "its values must lie between 0 and 1, got 1"),
        ("linear:nan@20", "its values must lie between 0 and 1, got nan"),
        ("linear:.15@0", "its updates must rise from 1 on, got 0 behind 0"),
        ("step:.2@10,.15@10", "its updates must rise from 1 on, got 10 behind 10"),
    ],
)
def test_parse_schedule_refuses_what_is_no_schedule(text, sentence):
    with pytest.raises(InputError) as refused:
        MaskRate.parse(0.3, text)
    assert sentence in str(refused.value) and str(refused.value).startswith("--mask-prob-schedule ")


def test_parse_schedule_names_the_limit_of_a_temperature():
    with pytest.raises(InputError, match="its values must lie above 0, got -1"):
        parse_schedule("--temperature-schedule", "step:-1@5", 2.0)
    assert parse_schedule("--temperature-schedule", "step:3@5", 2.0).highest == 3


def test_mask_rate_masks_at_the_highest_and_validates_at_the_last():
    falling, rising = (MaskRate.parse(0.2, text) for text in ("linear:.1@9", "step:.4@5,.3@9"))
    assert (falling.highest, falling.validated) == (0.2, 0.1)
    assert (rising.highest, rising.validated) == (0.4, 0.3)
    constant, drawn = MaskRate.parse(0.2, None), MaskRate.parse(0.2, "uniform")
    assert (constant.highest, constant.validated, constant.is_drawn) == (0.2, 0.2, False)
    assert (drawn.highest, drawn.schedule, drawn.is_drawn) == (1.0, None, True)


def test_str_of_a_schedule_is_a_phrase_for_the_log():
    schedule = parse_schedule("--mask-prob-schedule", "linear:.2@1000,.15@20000", 0.3)
    assert str(schedule) == "0.3 at first, 0.2 from update 1,000 on, 0.15 from update 20,000 on (linear)"
    assert math.isclose(schedule.at(500), 0.25)


def test_the_page_has_the_costs_that_are_counted():
    tiny, pieces = MODEL_SIZES["tiny"], 8192
    page = " ".join((ROOT / "docs/how-to/schedules.md").read_text(encoding="utf-8").split())
    electra = electra_flops(tiny.arch_encoder, tiny.generator, pieces)
    alone = masked_lm_flops(tiny.arch_encoder, pieces)

    def times(flops, slots):
        """Operations with so many slots in rows of 128 tokens, by those with the 19 slots of .15."""
        return flops.of_step(128, 128 * 128, slots) / flops.of_step(128, 128 * 128, 19)

    assert f"computes {times(electra, 38):.2f} times the matrix products that it does at .15" in page
    assert f"computes {times(alone, 128):.1f} times the matrix products that it does at .15" in page
    assert f"and ELECTRA {times(electra, 128):.1f} times; the scores need {128 / 19:.1f} times" in page
