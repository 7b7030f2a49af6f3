"""The rates of the schedule that decays under its warm-up, against the original's formula."""

import numpy as np
import pytest
from fairseq.optim.lr_scheduler import build_lr_scheduler
from omegaconf import OmegaConf

from fairseq_electra.errors import InputError
from tests.helpers.components import optimizer_for, parameters

PEAK = 0.5


def scheduler_for(max_update=0, lr=(PEAK,), **options):
    """Built as fairseq builds it: out of a whole configuration, whose entries it interpolates."""
    cfg = OmegaConf.create(
        {
            "optimization": {"max_update": max_update, "lr": list(lr)},
            "lr_scheduler": {"_name": "warmup_times_decay", "lr": "${optimization.lr}", **options},
        }
    )
    return build_lr_scheduler(cfg.lr_scheduler, optimizer_for(parameters()))


def create_optimizer(step, total, proportion, steps, power):
    """Transcription of google-research/electra model/optimization.py::create_optimizer's learning rate."""
    rate = PEAK * (1 - np.minimum(step, total) / total) ** power
    warmup = max(total * proportion, steps)
    return rate * np.minimum(1.0, step / warmup) if warmup else rate


@pytest.mark.parametrize("power", [1.0, 0.5])
@pytest.mark.parametrize(
    ("given", "proportion", "steps"), [(10, 0, 10), (0.1, 0.1, 0), (0.13, 0.13, 0), (0, 0, 0)]
)
def test_the_rate_of_every_update_is_the_originals(power, given, proportion, steps):
    scheduler = scheduler_for(max_update=100, warmup_updates=given, power=power)
    expected = create_optimizer(np.arange(103), 100, proportion, steps, power)
    found = [scheduler.step_update(update) for update in range(103)]
    assert found == pytest.approx(expected.tolist())
    assert found[-3:] == [0, 0, 0] and max(found) <= PEAK


def test_the_end_is_total_num_update_where_it_is_given():
    scheduler = scheduler_for(max_update=50, total_num_update=100)
    assert scheduler.step_update(50) == scheduler.optimizer.get_lr() == pytest.approx(PEAK / 2)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "must know how many updates the run has, got 0; give --max-update"),
        ({"max_update": 10, "lr": (0.1, 0.2)}, r"has one peak; give one --lr, got 0\.1, 0\.2"),
        ({"max_update": 10, "warmup_updates": -1}, "must be 0 or more, got -1 and 1"),
        ({"max_update": 10, "power": -2}, "must be 0 or more, got 0 and -2"),
    ],
)
def test_what_makes_no_schedule_is_refused(options, sentence):
    with pytest.raises(InputError, match=sentence):
        scheduler_for(**options)
