"""The command line of the further training keeps what the earlier one had chosen."""

import pytest

from fairseq_electra.adaptation.training import Recipe, kept_options, training_arguments
from fairseq_electra.checkpoints import read_checkpoint
from fairseq_electra.speedrun.machine import Machine
from tests.helpers.paths import USER_DIR
from tests.helpers.training import configuration

CPU = Machine("cpu", "simulated", False, 2)


@pytest.fixture
def cfg(checkpoint):
    return read_checkpoint(checkpoint)["cfg"]


def test_kept_options_are_none_for_defaults(cfg):
    assert kept_options(cfg) == []


@pytest.mark.parametrize(
    ("group", "changes", "options"),
    [
        ("task", {"mask_prob": 0.25}, ["--mask-prob", "0.25"]),
        (
            *("task", {"mask_prob": 0.3, "mask_prob_schedule": "linear:.2@100"}),
            ["--mask-prob", "0.2"],  # the schedule has ended
        ),
        ("task", {"mask_prob_schedule": "uniform"}, ["--mask-prob-schedule", "uniform"]),
        (
            *("task", {"mask_whole_words": True, "rows": "blocks"}),
            ["--rows", "blocks", "--mask-whole-words"],
        ),
        ("criterion", {"disc_weight": 20.0}, ["--disc-weight", "20.0"]),
        ("criterion", {"z_loss": 1e-4}, ["--z-loss", "0.0001"]),
        ("model", {"temperature": 0.5}, ["--temperature", "0.5"]),
        ("model", {"temperature": 0.5, "temperature_schedule": "linear:1@100"}, []),
        ("model", {"disallow_correct": True}, ["--disallow-correct"]),
    ],
)
def test_kept_options_are_those_that_were_changed(cfg, group, changes, options):
    cfg[group] |= changes
    assert kept_options(cfg) == options


def test_training_arguments_are_read_by_fairseq_train(cfg, tmp_path):
    cfg["task"] |= {"mask_whole_words": True, "mask_spans": 3.0, "leave_unmasked_prob": 0.1}
    cfg["criterion"] |= {"disc_weight": 20.0}
    cfg["model"] |= {"objective": "frozen_generator"}
    recipe, splits = Recipe(updates=205, rows=4, tokens=48, lr=2e-4), ["valid", "general"]
    start = tmp_path / "start.pt"
    arguments = training_arguments(tmp_path / "data", start, tmp_path / "save", splits, recipe, cfg, CPU)
    read = configuration([*arguments, "--user-dir", USER_DIR])
    assert read.task.mask_whole_words and read.task.mask_spans == 3 and read.task.leave_unmasked_prob == 0.1
    assert (read.task.tokens_per_sample, read.dataset.batch_size) == (48, 4)
    assert read.criterion.disc_weight == 20 and read.model.generator_from == str(start)
    assert read.checkpoint.finetune_from_model == str(start) and read.model.model_size is None
    assert read.optimization.max_update == 205 and read.optimization.lr == [2e-4]
    schedule = read.lr_scheduler
    assert (schedule.warmup_updates, schedule.total_num_update) == (20, 205)
    # ten checkpoints with validations, the last at the end or behind it
    assert read.checkpoint.save_interval_updates == read.dataset.validate_interval_updates == 21
    assert read.dataset.valid_subset == "valid,general" and read.common.cpu
