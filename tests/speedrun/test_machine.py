"""Options for a device, and room on the disk."""

import shutil

import pytest
from fairseq import options

from fairseq_electra.electra.parameters import pretraining_parameters
from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.recipes import SHORT_RUNS, networks
from fairseq_electra.speedrun import machine
from fairseq_electra.speedrun.machine import Machine, bytes_needed, check_disk
from fairseq_electra.speedrun.plan import Pace, make_plan
from fairseq_electra.speedrun.pretraining import training_arguments
from tests.helpers.paths import USER_DIR


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
@pytest.mark.parametrize("bf16", [True, False])
@pytest.mark.parametrize("size", SHORT_RUNS)
def test_fairseq_train_takes_the_arguments_of_every_plan(tmp_path, kind, bf16, size):
    plan = make_plan(size, 32, 300, Pace(8, 0.2, 2))
    given = training_arguments(tmp_path, tmp_path / "save", plan, Machine(kind, "one", bf16, 2))
    parsed = options.parse_args_and_arch(
        options.get_training_parser(), input_args=[*given, "--user-dir", str(USER_DIR)]
    )
    assert (
        parsed.max_update == int(parsed.total_num_update) == plan.updates and parsed.arch == f"electra_{size}"
    )
    assert parsed.cpu == (kind == "cpu") and getattr(parsed, "compile", False) == (kind == "cuda")
    assert getattr(parsed, "autocast", "none") == ("bf16" if bf16 else "none")
    assert parsed.bias_correction and parsed.batch_size == 32 and parsed.warmup_updates == plan.warmup


def test_a_disk_that_is_too_small_is_named_with_both_numbers(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda place: usage._replace(free=50_000_000))
    check_disk(tmp_path / "new" / "folder", 49_000_000)
    with pytest.raises(InputError, match=r"new/folder needs 123 MB .* has only 50 MB free; free some space"):
        check_disk(tmp_path / "new" / "folder", 123_000_000)


def test_bytes_needed_are_mostly_checkpoints_with_their_moments():
    tiny, base = (bytes_needed(*networks(size), 8192, 1_000_000, 0) for size in ("tiny", "base"))
    assert tiny == 2_000_000 + (4 * 12 + 8) * pretraining_parameters(*networks("tiny"), 8192)
    assert base > 30 * tiny
    assert bytes_needed(*networks("tiny"), 8192, 1_000_000, 2) > tiny
