"""A run that is broken off and started again is the undisturbed run, to the last bit."""

import functools
import operator

import pytest
import torch

from tests.helpers.small_model import TINY_NET
from tests.helpers.training import assert_same_weights, train, train_and_kill, weights


def samples(task, workers, epochs, resume_at=None):
    """Return all batches of the epochs from fairseq's iterator, saved and restored at ``resume_at``.

    ``resume_at`` is the number of an epoch and of a batch in it; without it nothing is restored.
    """
    dataset = task.load_dataset("train")

    def iterator():
        return task.get_batch_iterator(
            dataset, max_sentences=8, num_workers=workers, seed=1, epoch=1, data_buffer_size=0
        )

    itr, found = iterator(), []
    while len(found) < epochs:
        epoch_itr, batches = itr.next_epoch_itr(), []
        epoch = itr.epoch
        for number, sample in enumerate(epoch_itr, start=1):
            batches.append(sample)
            if (epoch, number) == resume_at:
                state = itr.state_dict()
                dataset = task.load_dataset("train")
                task.dataset_to_epoch_iter = {}
                itr = task.get_batch_iterator(
                    dataset,
                    max_sentences=8,
                    num_workers=workers,
                    seed=1,
                    epoch=state["epoch"],
                    data_buffer_size=0,
                )
                itr.load_state_dict(state)
                batches += list(itr.next_epoch_itr())
                break
        found.append(batches)
    return found


def flat(epochs):
    return [[{"id": b["id"], "target": b["target"], **b["net_input"]} for b in epoch] for epoch in epochs]


def same(left, right):
    assert [len(epoch) for epoch in left] == [len(epoch) for epoch in right]
    for a, b in zip(
        functools.reduce(operator.iadd, left, []), functools.reduce(operator.iadd, right, []), strict=True
    ):
        for key in a:
            assert torch.equal(a[key], b[key]), key


@pytest.mark.parametrize("workers", [1, 4])
def test_three_epochs_are_the_same_for_any_number_of_workers(make_task, workers):
    expected = flat(samples(make_task(), 0, 3))
    masks = [
        {int(i): row for b in epoch for i, row in zip(b["id"], b["masked_positions"], strict=True)}
        for epoch in expected
    ]
    assert sum(
        (masks[0][i] != masks[1][i]).any() and (masks[1][i] != masks[2][i]).any() for i in masks[0]
    ) > 0.9 * len(masks[0])
    same(flat(samples(make_task(), workers, 3)), expected)


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.long)])
def test_restart_in_the_second_epoch(make_task, workers):
    expected = flat(samples(make_task(), 0, 3))
    same(flat(samples(make_task(), workers, 3, resume_at=(2, 3))), expected)


LONG_RUN = [
    *TINY_NET,
    *["--dropout", "0.1", "--max-update", "40", "--save-interval-updates", "5", "--disable-validation"],
    "--no-epoch-checkpoints",
]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, data_bin):
    """The log and the folder of a run of three epochs and more that nobody breaks off."""
    folder = tmp_path_factory.mktemp("undisturbed") / "save"
    log = train(data_bin, folder, *LONG_RUN, "--num-workers", 0)
    assert max(record["epoch"] for record in log.records) >= 3
    return log, folder


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.long)])
def test_killed_and_restarted_equals_undisturbed(tmp_path, data_bin, undisturbed, workers):
    whole, folder = undisturbed
    updates_an_epoch = int(max(r["num_updates"] for r in whole.records if r["epoch"] == 1))
    train_and_kill(
        data_bin, tmp_path / "killed", *LONG_RUN, "--num-workers", workers, at_update=updates_an_epoch + 7
    )
    resumed = train(data_bin, tmp_path / "killed", *LONG_RUN, "--num-workers", workers)
    assert "Loaded checkpoint" in resumed.text
    assert resumed.losses == whole.losses[-len(resumed.losses) :]
    assert 0 < len(resumed.losses) < 40
    assert_same_weights(weights(tmp_path / "killed"), weights(folder))


def test_batches_are_reshuffled_every_epoch(make_task):
    epochs = samples(make_task(), 0, 2)
    assert [b["id"].tolist() for b in epochs[0]] != [b["id"].tolist() for b in epochs[1]]


@pytest.mark.long
def test_the_moving_average_of_the_weights_is_kept_and_resumed(tmp_path, data_bin):
    more = [*TINY_NET, "--store-ema", "--ema-decay", "0.5", "--num-workers", 0]
    train(data_bin, tmp_path / "save", *more, "--max-update", "2")
    log = train(data_bin, tmp_path / "save", *more, "--max-update", "3")
    assert "Loaded checkpoint" in log.text
    state = torch.load(tmp_path / "save" / "checkpoint_last.pt", weights_only=True)
    average = state["extra_state"]["ema"]
    name = "discriminator_head.dense.weight"
    assert average.keys() >= state["model"].keys() - {"dictionary_version"}
    assert 0 < (average[name] - state["model"][name]).abs().max() < 0.1
