"""FLOPs of runs whose masking rate changes."""

import pytest

from fairseq_electra.comparison.compute import Cost, updates_for
from fairseq_electra.electra.schedules import parse_schedule

PLAIN = Cost(8.0, 100.0, 1000.0, True, 400.0)
FALLING = Cost(8.0, 100.0, 1000.0, True, 400.0, parse_schedule("--mask-prob-schedule", "linear:.1@20", 0.3))


def test_of_run_adds_up_the_rates_of_a_schedule():
    rates = [0.3 - 0.01 * update for update in range(20)] + [0.1] * 10
    expected = 8 * sum(600 + 400 * rate / 0.3 for rate in rates)
    assert FALLING.of_run(30) == pytest.approx(expected)
    assert PLAIN.of_run(30) == 30 * 8 * 1000


@pytest.mark.parametrize("tokens", [1.0, 8000.0, 50_000.0])
def test_updates_for_a_schedule_ends_behind_the_budget_by_less_than_an_update(tokens):
    updates, budget = updates_for(tokens, FALLING, PLAIN), tokens * 10
    assert FALLING.of_run(updates - 1) < budget <= FALLING.of_run(updates)
    assert updates >= updates_for(tokens, PLAIN, PLAIN)
