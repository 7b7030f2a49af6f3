"""A run that is resumed within an epoch reads the rows that are left of it, whatever its batches are now."""

import io
import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fairseq import trainer
from fairseq.data import (
    FairseqDataset,
    IdDataset,
    NestedDictionaryDataset,
    RawLabelDataset,
    SortDataset,
    iterators,
)
from fairseq.data.iterators import CountingIterator, GroupedIterator
from fairseq.tasks import FairseqTask

from fairseq_electra.finetuning.rows import TaskRows
from fairseq_electra.tasks._rows import RowsDataset
from tests.helpers.fairseq_source import stock_source
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import assert_same_weights, train_here, weights

NUMBER = 107  # rows of a fine-tuning task
SIZES = np.random.default_rng(0).integers(5, 60, NUMBER)
RUN = [*TINY_NET, "--num-workers", "0", "--no-epoch-checkpoints"]


class Examples(TaskRows):
    """Rows of our own tasks, of which a batch has the numbers alone."""

    def collater(self, samples):
        return {"id": torch.tensor(samples)} if samples else {}


def sentences() -> FairseqDataset:
    """What fairseq's own tasks for sentences iterate over."""
    rows = NestedDictionaryDataset(
        {"id": IdDataset(), "target": RawLabelDataset([0] * NUMBER)}, sizes=[SIZES]
    )
    return SortDataset(rows, sort_order=[np.random.default_rng(1).permutation(NUMBER)])


@pytest.fixture(params=["rows", "packed rows", "examples", "sentences"])
def make_rows(request, make_task):
    """Make the dataset of a training, a new one each time."""
    return {
        "rows": lambda: make_task().load_dataset("train"),
        "packed rows": lambda: make_task(pack=True, tokens_per_sample=32).load_dataset("train"),
        "examples": lambda: RowsDataset(Examples(SIZES), seed=1, shuffle=True),
        "sentences": sentences,
    }[request.param]


def readers(make_rows, rows=8, processes=1, state=None, epoch=1, **more) -> list:
    """Make fairseq's iterator of each process, resumed from a checkpoint's state where there is one."""
    found = []
    for rank in range(processes):
        task = FairseqTask(SimpleNamespace())
        itr = task.get_batch_iterator(
            make_rows(), max_sentences=rows, num_shards=processes, shard_id=rank, seed=3, epoch=epoch, **more
        )
        if state is not None:
            stream = io.BytesIO()
            torch.save(state, stream)
            itr.load_state_dict(torch.load(io.BytesIO(stream.getvalue()), weights_only=True))
        found.append(itr)
    return found


def read(itrs: list, batches: int | None = None, shuffle: bool = True) -> list[list[int]]:
    """Read so many batches of the epoch, or all, by each process."""
    epochs = [itertools.islice(itr.next_epoch_itr(shuffle=shuffle), batches) for itr in itrs]
    return [sample["id"].tolist() for epoch in epochs for sample in epoch if sample]


def numbers(*parts: list[list[int]]) -> list[int]:
    return sorted(itertools.chain.from_iterable(itertools.chain.from_iterable(parts)))


OTHER = [
    {"rows": 16},
    {"rows": 4},
    {"processes": 2},
    {"rows": 12, "processes": 3},
    {"rows": None, "max_tokens": 500},
]


@pytest.mark.parametrize("other", OTHER, ids=str)
def test_every_row_of_the_epoch_is_read_once_whatever_batches_take_over(make_rows, other):
    everything = list(range(len(make_rows())))
    first = readers(make_rows)
    before = read(first, 5)
    later = readers(make_rows, state=first[0].state_dict(), **other)
    after = read(later)
    assert len(before) == 5 and numbers(before, after) == everything
    assert numbers(read(later)) == everything and later[0].epoch == 2


def test_batches_may_change_again_and_again(make_rows):
    itrs, parts = readers(make_rows), []
    for batches, other in (
        (3, {"rows": 4, "processes": 2}),
        (2, {"rows": 5}),
        (0, {"rows": 16}),
        (1, {"processes": 3}),
        (None, {}),
    ):
        parts.append(read(itrs, batches))
        itrs = readers(make_rows, state=itrs[0].state_dict(), **other) if batches is not None else itrs
    assert [len(part) for part in parts[:-1]] == [3, 4, 0, 1]
    assert numbers(*parts) == list(range(len(make_rows())))


def test_batches_that_were_shuffled_in_groups_are_known_too(make_rows):
    """As --grouped-shuffling has it."""
    first = readers(make_rows, processes=2, grouped_shuffling=True)
    before = read(first, 3)
    after = read(readers(make_rows, state=first[0].state_dict()))
    assert numbers(before, after) == list(range(len(make_rows())))


def test_batches_that_took_over_are_resumed_to_the_last(make_rows):
    state = _state_after(readers(make_rows), 5)
    whole = read(readers(make_rows, state=state, rows=4))
    state = _state_after(readers(make_rows, state=state, rows=4), 3)
    assert read(readers(make_rows, state=state, rows=4)) == whole[3:]


def _state_after(itrs: list, batches: int, **more) -> dict:
    read(itrs, batches, **more)
    return itrs[0].state_dict()


def test_an_epoch_in_order_goes_on_in_order(make_rows):
    """As --curriculum has it."""
    itrs = readers(make_rows, epoch=2)
    before = read(itrs, 2, shuffle=False)
    after = read(readers(make_rows, rows=5, epoch=2, state=itrs[0].state_dict()), shuffle=False)
    everything = [row for batch in readers(make_rows, epoch=2)[0].frozen_batches for row in batch]
    assert [row for batch in before + after for row in batch] == everything


@pytest.mark.parametrize("pack", [False, True])
def test_an_epoch_behind_one_in_order_is_shuffled_and_resumed_as_such(make_task, pack):
    """The same iterator serves both epochs, as it does in pre-training."""

    def make_rows():
        return make_task(pack=pack).load_dataset("train")

    (itr,) = itrs = readers(make_rows)
    in_order = read(itrs, shuffle=False)
    first = read(itrs, 3)
    later = readers(make_rows, state=itr.state_dict(), epoch=2)
    second = read(later)
    assert itr.epoch == 2 and numbers(first, second) == numbers(in_order) and first + second != in_order


def test_an_epoch_in_order_is_remembered_as_such_where_the_option_has_changed(make_rows):
    itrs = readers(make_rows, state=_state_after(readers(make_rows), 2, shuffle=False))
    before = read(itrs, 1, shuffle=True)
    everything = read(readers(make_rows), shuffle=False)
    assert (
        before == everything[2:3]
        and read(readers(make_rows, state=itrs[0].state_dict()), shuffle=True) == everything[3:]
    )


@pytest.mark.parametrize(
    "other", [{"tokens_per_sample": 96}, {"seed": 2}, {"pack": True}, {"rows": "blocks"}], ids=str
)
def test_where_rows_are_others_the_epoch_begins_anew_and_the_log_says_so(make_task, other, caplog):
    state = _state_after(readers(lambda: make_task().load_dataset("train"), epoch=2), 5)
    later = readers(lambda: make_task(**other).load_dataset("train"), state=state, epoch=2)
    assert numbers(read(later)) == list(range(len(later[0].dataset))) and later[0].epoch == 2
    assert (
        "epoch 2 starts again, after 5 batches of it: its rows are not those of the checkpoint" in caplog.text
    )


def test_a_checkpoint_that_does_not_say_what_was_read_begins_the_epoch_anew(make_rows, caplog):
    old = {"version": 2, "epoch": 1, "iterations_in_epoch": 5, "shuffle": True}
    assert numbers(read(readers(make_rows, state=old))) == list(range(len(make_rows())))
    assert "epoch 1 starts again, after 5 batches of it: the checkpoint is of an older release" in caplog.text
    caplog.clear()
    itrs = readers(make_rows, state=old | {"epoch": 2, "iterations_in_epoch": 0}, epoch=2)
    assert read(itrs) == read(readers(make_rows, epoch=2)) and "starts again" not in caplog.text


def test_the_record_of_an_epoch_that_begins_anew_is_of_what_was_read_since(tmp_path, data_bin):
    save, half = tmp_path / "save", [*RUN, "--disable-validation", "--tokens-per-sample"]
    train_here(data_bin, save, *half, 64, "--max-update", "8", "--lr", "1e-2")
    log = train_here(data_bin, save, *half, 32, "--max-epoch", "1", "--lr", "1e-9")
    assert "epoch 1 starts again, after 8 batches of it" in log.text
    steps = [record for record in log.records if record["subset"] == "train_inner"]
    (epoch,) = (json.loads(line.split(" | ")[-1]) for line in log.text.splitlines() if "| train | {" in line)
    tokens = [step["wpb"] for step in steps]
    expected = np.average([step["masked_lm_loss"] for step in steps], weights=tokens)
    assert float(epoch["train_masked_lm_loss"]) == pytest.approx(expected, abs=0.02)
    assert float(epoch["train_wpb"]) == pytest.approx(np.mean(tokens), abs=0.1)


def test_fairseq_still_skips_batches_by_their_number():
    text = stock_source(iterators)
    assert "offset=itr_pos" in text and "please " in text and '"iterations_in_epoch": iter_in_epoch' in text


@pytest.mark.parametrize(
    ("read_before", "length", "freq"), [(5, 14, 2), (4, 9, 3), (4, 8, 2), (0, 7, 3), (6, 7, 4), (5, 5, 2)]
)
def test_another_update_freq_within_an_epoch_groups_all_batches_that_are_left(read_before, length, freq):
    def groups(**more):
        itr = CountingIterator(range(read_before, length), start=read_before)
        found = GroupedIterator(itr, freq, **more)
        return list(found), itr.has_next(), found.has_next(), len(found)

    found, unfinished, more, total = groups()
    assert (
        [batch for group in found for batch in group] == list(range(read_before, length))
        and not unfinished
        and not more
    )
    assert total == -(-read_before // freq) + len(found)
    whole, unfinished, more, _ = groups(skip_remainder_batch=True)
    assert (
        whole == ([group for group in found if len(group) == freq] or found) and not unfinished and not more
    )


@pytest.mark.parametrize(("rows", "batches"), [(200, 1), (NUMBER, 1), (50, 2)])
def test_the_only_batch_of_an_epoch_is_no_remainder(rows, batches):
    itrs = readers(sentences, rows=rows, skip_remainder_batch=True)
    assert len(read(itrs)) == batches and len(read(itrs)) == batches


def test_the_only_batch_that_is_left_of_a_resumed_epoch_is_no_remainder():
    first = readers(sentences, rows=10, skip_remainder_batch=True)
    before = read(first, 4)
    after = read(readers(sentences, rows=100, state=first[0].state_dict(), skip_remainder_batch=True))
    assert numbers(before, after) == list(range(NUMBER))


def test_fairseq_still_leaves_out_the_last_batch_whatever_its_size():
    assert "total_num_itrs = len(itr) - 1\n            itr.take(total_num_itrs)" in stock_source(iterators)


def test_fairseq_still_counts_updates_from_the_begin_of_the_epoch():
    assert "math.ceil(len(iterable) / float(chunk_size))" in stock_source(iterators)


def test_a_run_that_is_resumed_with_other_batches_trains_on_each_row_once(tmp_path, data_bin, make_task):
    options = [*RUN, "--disable-validation", "--max-epoch", 1]
    logs = [
        train_here(data_bin, tmp_path / "save", *options, *more)
        for more in (["--max-update", 3], ["--batch-size", 12])
    ]
    sizes = [[record["bsz"] for record in log.records if record["subset"] == "train_inner"] for log in logs]
    rows = len(make_task().load_dataset("train"))
    assert (
        sizes[0] == [8, 8, 8] and sum(sizes[0] + sizes[1]) == rows and sizes[1].count(12) == (rows - 24) // 12
    )
    assert f"epoch 1 continues with the {rows - 24} of its {rows} rows" in logs[1].text


def test_a_validation_on_the_training_rows_leaves_the_training_alone(tmp_path, data_bin):
    options = [*RUN, "--max-epoch", 2, "--valid-subset", "train", "--train-subset", "train"]
    plain = train_here(data_bin, tmp_path / "plain", *options, "--disable-validation")
    found = train_here(data_bin, tmp_path / "found", *options, "--validate-interval-updates", 3)
    assert found.losses == plain.losses
    assert_same_weights(weights(tmp_path / "plain"), weights(tmp_path / "found"))


def test_fairseq_still_gives_a_validation_on_the_training_rows_their_dataset():
    assert "dataset=self.task.dataset(subset)" in stock_source(trainer)
