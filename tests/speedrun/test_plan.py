"""The arithmetic of a speedrun's plan, compared with results computed by hand."""

import pytest

from fairseq_electra.pretraining.recipes import TOKENS, networks
from fairseq_electra.speedrun.plan import (
    MIN_UPDATES,
    PLANNED_SHARE,
    Candidate,
    Pace,
    Plan,
    choose_size,
    make_plan,
    replan,
    rows_for,
    updates_in,
)


def end_of(updates: int, seconds: float, pace: Pace) -> float:
    """The time at which a run ends that saves after every tenth of the time, or every 30 s."""
    saves = updates * pace.update // max(seconds / 10, 30)
    return pace.start + updates * pace.update + (saves + 1) * pace.close


@pytest.mark.parametrize("seconds", [60, 300, 540, 36000])
@pytest.mark.parametrize("pace", [Pace(8, 0.2, 2), Pace(60, 0.02, 5), Pace(10, 1.5, 0)])
def test_a_plan_fills_its_time_and_ends_within_it(seconds, pace):
    updates = updates_in(seconds, pace)
    if updates:
        assert end_of(updates, seconds, pace) <= seconds
        assert end_of(updates, seconds, pace) >= PLANNED_SHARE * seconds - 2 * pace.close - 2 * pace.update


def test_a_start_that_takes_all_the_time_leaves_no_update():
    assert updates_in(10, Pace(30, 0.1, 1)) == 0 < MIN_UPDATES


def test_a_short_run_has_a_smaller_batch():
    # 300 s at 0.4 s per update of 32 rows are about 680 updates; half the rows allow more than 1,000
    assert rows_for(300, Pace(8, 0.4, 2), rows=32, fewest=16) == 16
    assert rows_for(300, Pace(8, 0.2, 2), rows=32, fewest=16) == 32
    assert rows_for(60, Pace(8, 4, 2), rows=128, fewest=32) == 32


def test_the_largest_size_that_sees_enough_tokens_is_chosen():
    small = Candidate("small", 1e9, 14_000_000)
    assert choose_size([small, Candidate("base", 2.3e9, 110_000_000)]) == "base"
    assert choose_size([small, Candidate("base", 2.1e9, 110_000_000)]) == "small"
    assert choose_size([Candidate("tiny", 1e6, 2_000_000)]) == "tiny"


def test_a_plan_follows_the_recipe_unless_told_otherwise():
    plan = make_plan("tiny", 32, 300, Pace(8, 0.2, 2))
    assert plan.lr == 1e-3 and plan.warmup == round(0.05 * plan.updates) and plan.save_every == 150
    assert plan.tokens == 32 * TOKENS * plan.updates
    assert make_plan("small", 32, 300, Pace(8, 0.2, 2), lr=1e-4).lr == 1e-4


def test_make_plan_follows_the_recipe_of_each_size():
    assert [make_plan(size, 32, 300, Pace(8, 0.2, 2)).lr for size in ("tiny", "small", "base")] == [
        1e-3,
        5e-4,
        2e-4,
    ]
    assert networks("tiny")[1].hidden_size == 64
    assert networks("small")[0].norm == networks("small")[1].norm == "scaled"


PLAN = Plan("tiny", 32, 1e-3, 50, 1000, 100)


@pytest.mark.parametrize("update", [0.26, 0.28, 0.29])
def test_a_run_that_is_on_time_keeps_its_plan(update):
    assert replan(PLAN, 100, Pace(8, update, 2), spent=8 + 100 * update, seconds=300) is None


@pytest.mark.parametrize("update", [0.05, 0.15, 0.35, 0.6])
def test_a_run_that_is_late_or_early_is_planned_to_end_in_time(update):
    pace, spent = Pace(8, update, 2), 8 + 100 * update
    plan = replan(PLAN, 100, pace, spent, seconds=300)
    assert plan is not None and plan.warmup == PLAN.warmup
    end = spent + pace.start + (plan.updates - 100) * update
    assert 0.95 * 300 <= end <= 300
    assert replan(plan, 200, pace, spent + pace.start + 100 * update, seconds=300) is None


def test_a_run_is_not_restarted_shortly_before_its_end():
    # 20 s are left and a restart takes 8 s, so the late run continues
    assert replan(PLAN, 700, Pace(8, 0.4, 2), spent=280, seconds=300) is None
