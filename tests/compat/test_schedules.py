"""Learning rates that cannot be meant are refused, or warned of."""

import math
from types import SimpleNamespace

import pytest
from fairseq.optim.lr_scheduler import polynomial_decay_schedule

from fairseq_electra.compat.schedules import check_schedule
from fairseq_electra.errors import InputError
from tests.helpers.fairseq_source import stock_source
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import refusal


def run_of(schedule="polynomial_decay", batches=100, done=0, sharded=False, **options):
    """A trainer, and an iterator over so many batches."""
    optimization = {
        "max_update": 0,
        "max_epoch": 0,
        "update_freq": [1],
        "stop_time_hours": 0,
        "stop_min_lr": -1.0,
    }
    decay = (
        {"warmup_updates": 0, "total_num_update": 100.0, "end_learning_rate": 0.0}
        if schedule == "polynomial_decay"
        else {}
    )
    names = {name for name in options if name in optimization}
    cfg = SimpleNamespace(
        optimization=SimpleNamespace(**(optimization | {name: options[name] for name in names})),
        lr_scheduler=SimpleNamespace(
            _name=schedule, **(decay | {name: value for name, value in options.items() if name not in names})
        ),
    )
    task = SimpleNamespace(has_sharded_data=lambda split: sharded)
    return SimpleNamespace(
        cfg=cfg, task=task, get_num_updates=lambda: done, is_data_parallel_master=True
    ), range(batches)


def test_fairseq_still_knows_nothing_of_the_end_of_a_run_in_its_schedule():
    assert "max_update" not in stock_source(polynomial_decay_schedule).replace("optimization.max_update", "")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"max_update": 600},
            "--total-num-update 100: the learning rate is 0 in the last 500 of 600 updates; give",
        ),
        ({"max_update": 101, "max_epoch": 2}, "the last 1 of 101 updates"),
        ({"max_update": 150, "done": 120}, "the last 50 of 150 updates"),
    ],
)
def test_a_run_beyond_the_end_of_its_schedule_is_refused(options, sentence):
    with pytest.raises(InputError, match=sentence):
        check_schedule(*run_of(**options))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"max_epoch": 3}, "the learning rate is 0 in the last 200 of 300 updates"),
        ({"max_epoch": 3, "update_freq": [4, 2]}, "the last 25 of 125 updates"),
        ({}, "the learning rate is 0 in all updates after that"),
        ({"max_update": 600, "stop_time_hours": 2}, "the last 500 of 600 updates"),
        (
            {"max_update": 10, "warmup_updates": 10},
            "the warm-up takes 10 updates and the run 10: the learning rate never reaches --lr",
        ),
        ({"max_epoch": 1, "warmup_updates": 1000}, "the warm-up takes 1,000 updates and the run 100"),
        (
            {"schedule": "inverse_sqrt", "max_update": 300, "warmup_updates": 4000},
            "takes 4,000 updates and the run 300",
        ),
        ({"schedule": "tri_stage", "max_update": 300, "warmup_steps": 400}, "takes 400 updates"),
    ],
)
def test_what_may_be_meant_is_warned_of(caplog, options, sentence):
    check_schedule(*run_of(**options))
    assert sentence in caplog.text and len(caplog.records) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"max_update": 100, "warmup_updates": 10},
        {"max_update": 10},
        {"max_update": 600, "end_learning_rate": 1e-6},
        {"max_update": 600, "stop_min_lr": 0.0},
        {"max_epoch": 1},
        {"max_epoch": 1, "batches": 108},
        {"max_epoch": 3, "done": 50},
        {"max_epoch": 3, "sharded": True},
        {"schedule": "fixed", "max_update": 600},
        {"schedule": "fixed", "warmup_updates": 600},
        {"schedule": "warmup_stable_decay", "max_update": math.inf, "warmup_updates": 5},
    ],
    ids=str,
)
def test_what_is_meant_is_left_alone(caplog, options):
    check_schedule(*run_of(**options))
    assert not caplog.records


def test_fairseq_train_refuses_before_anything_is_trained(tmp_path, data_bin):
    said = refusal(
        data_bin,
        tmp_path / "save",
        *TINY_NET,
        *["--disable-validation", "--max-update", 101, "--num-workers", 0],
    )
    assert said.startswith("--total-num-update 100: the learning rate is 0 in the last 1 of 101 updates")
    assert not list((tmp_path / "save").iterdir())
