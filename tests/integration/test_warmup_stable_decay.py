"""fairseq-train with warm-up, constant part and decay, resumed at each boundary.

The decay is also started from a checkpoint.
"""

import shutil

import pytest

from tests.helpers.small_model import TINY_NET
from tests.helpers.training import assert_same_weights, command, refusal, run_here, train_here, weights

SCHEDULE = [
    *TINY_NET,
    *"--lr-scheduler warmup_stable_decay --warmup-updates 3 --decay-updates 12 --decay-shape 1-sqrt"
    " --dropout 0.1".split(),
    *"--save-interval-updates 1 --disable-validation --no-epoch-checkpoints --num-workers 0".split(),
]
PLANNED = [*SCHEDULE, "--total-num-update", 20]  # and no --max-update


@pytest.fixture(scope="module")
def planned(tmp_path_factory, data_bin):
    """The log and the folder of a run of 3 updates of warm-up, 5 at the peak and 12 of decay."""
    folder = tmp_path_factory.mktemp("planned") / "save"
    return train_here(data_bin, folder, *PLANNED), folder


def checkpoint_of(folder, update):
    (path,) = folder.glob(f"checkpoint_*_{update}.pt")
    return path


def interrupted(folder, source, update):
    """A folder as a process leaves it that was killed behind this update."""
    folder.mkdir()
    shutil.copy(checkpoint_of(source, update), folder / "checkpoint_last.pt")
    return folder


def rates(log):
    return [record["lr"] for record in log.records if record["subset"] == "train_inner"]


def test_the_run_ends_with_its_schedule(planned):
    log, _ = planned
    assert log.updates == len(log.losses) == 20
    assert rates(log)[2:8] == [1e-3] * 6 and rates(log)[10] == pytest.approx(0.5e-3) and rates(log)[-1] == 0


@pytest.mark.parametrize(
    "update", [3, 8, 9, 13], ids=["end of the warm-up", "start of the decay", "its first update", "within it"]
)
def test_a_run_resumed_at_a_boundary_is_the_undisturbed_one(tmp_path, data_bin, planned, update):
    whole, folder = planned
    save_dir = interrupted(tmp_path / "save", folder, update)
    log = train_here(data_bin, save_dir, *PLANNED)
    assert log.losses == whole.losses[update:] and rates(log) == rates(whole)[update:]
    assert_same_weights(weights(save_dir), weights(folder))


def test_a_decay_started_at_a_checkpoint_is_the_planned_one_and_is_resumed(tmp_path, data_bin, planned):
    """The long run is the planned one's beginning; the branch's line is given twice, as after a kill."""
    whole, folder = planned
    train_here(data_bin, tmp_path / "long", *SCHEDULE, "--total-num-update", 1000, "--max-update", 10)
    branch = [
        *SCHEDULE,
        "--start-decay",
        "--continue-once",
        checkpoint_of(tmp_path / "long", 8),
        "--max-update",
        1000,
    ]
    log = train_here(data_bin, tmp_path / "branch", *branch)
    assert log.losses == whole.losses[8:] and rates(log) == rates(whole)[8:]
    assert "the learning rate decays from update 8 to 20, where the run ends" in log.text
    assert_same_weights(weights(tmp_path / "branch"), weights(folder))
    again = train_here(data_bin, interrupted(tmp_path / "again", tmp_path / "branch", 13), *branch)
    assert again.losses == whole.losses[13:] and rates(again) == rates(whole)[13:]
    assert_same_weights(weights(tmp_path / "again"), weights(folder))


def test_restore_file_starts_the_decay_too(tmp_path, data_bin, planned):
    whole, folder = planned
    log = train_here(
        data_bin, tmp_path / "branch", *SCHEDULE, "--start-decay", "--restore-file", checkpoint_of(folder, 8)
    )
    assert log.losses == whole.losses[8:]


def test_max_update_alone_plans_the_schedule(tmp_path, data_bin):
    given = [*command(data_bin, tmp_path / "save", *SCHEDULE, "--max-update", 16)[3:]]
    at = given.index("--total-num-update")
    log = run_here(given[:at] + given[at + 2 :], tmp_path / "save")
    assert (
        rates(log)[2:4] == [1e-3] * 2
        and rates(log)[6] == pytest.approx(0.5e-3)
        and rates(log)[-1] == 0
        and log.updates == 16
    )


def test_a_decay_without_a_checkpoint_or_length_is_refused_and_nothing_is_saved(tmp_path, data_bin):
    assert "--start-decay found no checkpoint to resume from" in refusal(
        data_bin, tmp_path / "save", *SCHEDULE, "--start-decay"
    )
    assert "longer than the run of 14 updates" in refusal(
        data_bin, tmp_path / "save", *SCHEDULE, "--total-num-update", 14
    )
    assert list((tmp_path / "save").glob("*.pt")) == []
