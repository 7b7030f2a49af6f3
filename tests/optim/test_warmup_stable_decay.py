"""The rates of warm-up, constant part and decay, against the definition written out."""

import copy

import numpy as np
import pytest
import torch
from fairseq.optim.lr_scheduler import build_lr_scheduler
from omegaconf import OmegaConf

from fairseq_electra.errors import InputError
from fairseq_electra.optim.electra_adam import ElectraAdam, ElectraAdamConfig

PEAK = 0.5


def scheduler_for(max_update=0, lr=(PEAK,), **options):
    """Built as fairseq builds it: out of a whole configuration, whose entries it interpolates."""
    adam = ElectraAdam(
        OmegaConf.merge(OmegaConf.structured(ElectraAdamConfig), {"lr": list(lr)}),
        [torch.nn.Parameter(torch.zeros(2, 2))],
    )
    cfg = OmegaConf.create(
        {
            "optimization": {"max_update": max_update, "lr": list(lr)},
            "lr_scheduler": {"_name": "warmup_stable_decay", "lr": "${optimization.lr}", **options},
        }
    )
    scheduler = build_lr_scheduler(cfg.lr_scheduler, adam)
    scheduler.step_update(0)
    return scheduler, cfg


def written_out(total, warmup, decay, shape, end=0.0):
    """Hägele et al. 2024, equation 1 and section 3, as an array: the rates after 0, 1, ..., total updates."""
    rates = np.full(total + 1, PEAK)
    for n in range(warmup):
        rates[n] = PEAK * n / warmup
    begin = total - decay
    for n in range(begin + 1, total + 1):
        left = 1 - (n - begin) / decay if shape == "linear" else 1 - ((n - begin) / decay) ** 0.5
        rates[n] = end + (PEAK - end) * left
    return rates.tolist()


def resumed(state, at, **options):
    """Restored in the order in which Trainer.load_checkpoint does it."""
    scheduler, cfg = scheduler_for(**options)
    scheduler.load_state_dict(copy.deepcopy(state))
    scheduler.step_update(at)
    scheduler.step_begin_epoch(1)
    return scheduler, cfg


def rates_of(scheduler, updates):
    found = []
    for update in updates:
        returned = scheduler.step_update(update)
        assert returned == scheduler.optimizer.get_lr()
        found.append(returned)
    return found


@pytest.mark.parametrize("shape", ["linear", "1-sqrt"])
@pytest.mark.parametrize(
    ("warmup", "given", "decay", "end"),
    [
        (7, 0.25, 10, 0.0),
        (7, 10, 10, 0.05),
        (0, 1, 1, 0.0),
        (30, 10, 10, 0.0),
        (0, 40, 40, 0.1),
        (7, 0, 0, 0.0),
        (7, 0.001, 1, 0.0),
    ],
)
def test_the_rate_of_every_update_is_the_definitions(shape, warmup, given, decay, end):
    scheduler, cfg = scheduler_for(
        total_num_update=40,
        warmup_updates=warmup,
        decay_updates=given,
        decay_shape=shape,
        end_learning_rate=end,
    )
    expected = written_out(40, warmup, decay, shape, end)
    assert rates_of(scheduler, range(41)) == pytest.approx(expected, rel=1e-12, abs=1e-15)
    assert rates_of(scheduler, [41, 100]) == pytest.approx(expected[-1:] * 2)  # of an update too many
    assert cfg.optimization.max_update == 40  # the run ends with its schedule


def test_the_two_shapes_half_way_and_at_the_ends():
    linear, root = (
        scheduler_for(total_num_update=20, decay_updates=16, decay_shape=shape)[0]
        for shape in ("linear", "1-sqrt")
    )
    assert rates_of(linear, [4, 8, 12, 20]) == [PEAK, 0.75 * PEAK, 0.5 * PEAK, 0]
    assert rates_of(root, [4, 8, 13, 20]) == [PEAK, 0.5 * PEAK, 0.25 * PEAK, 0]


def test_the_length_of_the_run_may_be_given_by_max_update_alone_and_a_shorter_one_holds():
    scheduler, cfg = scheduler_for(max_update=40, warmup_updates=7)
    assert rates_of(scheduler, range(41)) == pytest.approx(written_out(40, 7, 4, "linear"))
    assert cfg.optimization.max_update == 40
    _, cfg = scheduler_for(max_update=12, total_num_update=40)
    assert cfg.optimization.max_update == 12


OPTIONS = {"warmup_updates": 7, "decay_shape": "1-sqrt"}
BRANCH = {**OPTIONS, "start_decay": True}


@pytest.mark.parametrize("at", [3, 7, 20, 30, 31, 36, 40])
def test_a_resumed_schedule_is_the_undisturbed_one(at):
    options = {**OPTIONS, "total_num_update": 40, "decay_updates": 10}
    whole, _ = scheduler_for(**options)
    expected = rates_of(whole, range(41))
    whole.step_update(at)
    again, _ = resumed(whole.state_dict(), at, **options)
    assert rates_of(again, range(at, 41)) == expected[at:]


@pytest.mark.parametrize("decay_updates", [0.25, 10])
def test_a_decay_started_at_a_checkpoint_is_that_of_a_run_planned_so(decay_updates):
    long, _ = scheduler_for(total_num_update=1000, **OPTIONS)
    rates_of(long, range(31))
    branch, cfg = resumed(
        long.state_dict(), 30, max_update=1000, total_num_update=1000, decay_updates=decay_updates, **BRANCH
    )
    planned, _ = scheduler_for(total_num_update=40, decay_updates=10, **OPTIONS)
    expected = rates_of(planned, range(41))
    assert rates_of(branch, range(30, 41)) == expected[30:]
    assert cfg.optimization.max_update == 40  # not the 1000 of the long run
    for at in (30, 31, 35, 40):  # killed there
        branch.step_update(at)
        again, cfg = resumed(branch.state_dict(), at, max_update=1000, decay_updates=decay_updates, **BRANCH)
        assert rates_of(again, range(at, 41)) == expected[at:]
        assert cfg.optimization.max_update == 40


def test_a_decay_that_has_begun_continues_as_it_began_whatever_the_options_say():
    planned, _ = scheduler_for(total_num_update=40, decay_updates=10, **OPTIONS)
    expected = rates_of(planned, range(41))
    planned.step_update(33)
    again, cfg = resumed(planned.state_dict(), 33, total_num_update=100, decay_updates=20, **OPTIONS)
    assert rates_of(again, range(33, 41)) == expected[33:]
    assert cfg.optimization.max_update == 40
    long, _ = scheduler_for(total_num_update=1000, **OPTIONS)
    branch, _ = resumed(long.state_dict(), 30, decay_updates=10, **BRANCH)
    branch.step_update(33)
    again, cfg = resumed(branch.state_dict(), 33, total_num_update=1000, **OPTIONS)  # without --start-decay
    assert rates_of(again, range(33, 41)) == expected[33:]
    assert cfg.optimization.max_update == 40


def test_a_constant_part_may_be_made_longer_on_resuming():
    short, _ = scheduler_for(total_num_update=40, decay_updates=10, **OPTIONS)
    short.step_update(30)
    longer, _ = resumed(short.state_dict(), 30, total_num_update=80, decay_updates=10, **OPTIONS)
    assert rates_of(longer, range(30, 81)) == pytest.approx(written_out(80, 7, 10, "1-sqrt")[30:])


def test_a_decay_can_start_within_the_warm_up_and_from_another_schedulers_checkpoint():
    branch, cfg = resumed({"best": None}, 4, warmup_updates=8, decay_updates=2, start_decay=True)
    assert rates_of(branch, [4, 5, 6]) == [PEAK / 2, PEAK / 4, 0]
    assert cfg.optimization.max_update == 6


def test_after_reset_lr_scheduler_the_decay_starts_too():
    branch, cfg = scheduler_for(decay_updates=10, **BRANCH)
    branch.step_update(30)  # Trainer.load_checkpoint tells the update, and no more
    assert cfg.optimization.max_update == 40 and rates_of(branch, [40]) == [0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "must know how many updates the run has, got 0; give --max-update or --total-num-update"),
        ({"total_num_update": -5}, "must know how many updates the run has, got -5"),
        (
            {"max_update": 40, "warmup_updates": 35, "decay_updates": 6},
            (
                "--warmup-updates 35 and a decay of 6 updates are longer than the run of 40 updates; shorten"
                " one of them"
            ),
        ),
        ({"max_update": 40, "decay_updates": 41}, "a decay of 41 updates are longer than the run of 40"),
        ({"max_update": 40, "warmup_updates": -1}, "--warmup-updates must be 0 or more, got -1"),
        (
            {"max_update": 40, "decay_updates": -0.1},
            "--decay-updates must be a share below 1 or a whole number of updates, got -0.1",
        ),
        ({"max_update": 40, "decay_updates": 1.5}, "got 1.5"),
        ({"max_update": 40, "decay_updates": float("nan")}, "got nan"),
        (
            {"max_update": 40, "end_learning_rate": 0.6},
            "--end-learning-rate must lie between 0 and --lr 0.5, got 0.6",
        ),
        ({"max_update": 40, "end_learning_rate": -0.1}, "got -0.1"),
        ({"max_update": 40, "lr": (0.1, 0.2)}, "has one peak; give one --lr, got 0.1, 0.2"),
        ({"start_decay": True, "decay_updates": 0}, "--start-decay with --decay-updates 0 has nothing to do"),
    ],
)
def test_a_schedule_that_cannot_be_meant_is_refused(options, message):
    with pytest.raises(InputError) as caught:
        scheduler_for(**options)
    assert message in str(caught.value)


def test_a_decay_that_cannot_start_is_refused():
    with pytest.raises(
        InputError, match="--start-decay found no checkpoint to resume from; name one with --continue-once"
    ):
        scheduler_for(**BRANCH)[0].step_begin_epoch(1)
    planned, _ = scheduler_for(total_num_update=40, decay_updates=10)
    planned.step_update(31)
    with pytest.raises(
        InputError,
        match="already within a decay, from update 30 to 40; give a checkpoint of update 30 or before",
    ):
        resumed(planned.state_dict(), 31, **BRANCH)


def test_a_decay_that_would_have_begun_before_the_checkpoint_is_refused_but_not_after_a_reset():
    long, _ = scheduler_for(total_num_update=1000, **OPTIONS)
    long.step_update(35)
    with pytest.raises(
        InputError, match="would begin before the checkpoint, which is of update 35; give --start-decay"
    ):
        resumed(long.state_dict(), 35, total_num_update=40, decay_updates=10, **OPTIONS)
    fresh, _ = scheduler_for(total_num_update=40, decay_updates=10, **OPTIONS)
    assert rates_of(fresh, [35]) == pytest.approx([written_out(40, 7, 10, "1-sqrt")[35]])


def test_a_run_that_ended_with_its_decay_is_not_made_longer_in_silence():
    ended, _ = scheduler_for(total_num_update=20, decay_updates=5, **OPTIONS)
    ended.step_update(20)
    resumed(ended.state_dict(), 20, total_num_update=20, decay_updates=5, **OPTIONS)  # nothing left to do
    with pytest.raises(
        InputError, match="from update 15 to 20, and this line asks for 40; go on from a check"
    ):
        resumed(ended.state_dict(), 20, total_num_update=40, decay_updates=5, **OPTIONS)
    within, _ = scheduler_for(total_num_update=20, decay_updates=5, **OPTIONS)
    within.step_update(17)
    resumed(within.state_dict(), 17, total_num_update=40, decay_updates=5, **OPTIONS)  # goes on as it began
