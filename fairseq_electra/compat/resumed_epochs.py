"""A resumed run reads the rows of the epoch that are left, even if its batches are different now.

data/iterators.py::EpochBatchIterator.load_state_dict skips as many batches as were read, whatever rows they
hold now. With another --batch-size or number of processes, some rows are read twice in that epoch and others
never, or the run ends with "please report this to the fairseq developers".

Here a checkpoint records the stretches of the epoch so far. A stretch was read with the same options: it has
the options that divide the rows into batches, and the number of batches that each process has read. From the
stretches and the order of the rows, the rows that are left are computed again.
"""

import functools
import hashlib
import inspect
import logging
from typing import Any

import numpy as np

logger = logging.getLogger(__name__)
# arguments of FairseqTask.get_batch_iterator that determine the rows of each batch of each process
BATCHING = (
    "max_tokens",
    "max_sentences",
    "required_batch_size_multiple",
    "num_shards",
    "seed",
    "grouped_shuffling",
)
# batching: a value for each of BATCHING; shuffle: whether batches are shuffled; iterations: batches of each
# process
Stretch = dict[str, Any]


def record_batching() -> None:
    """Record the options of tasks/fairseq_task.py::FairseqTask.get_batch_iterator in its iterator."""
    from fairseq.tasks import FairseqTask

    plain = FairseqTask.get_batch_iterator
    signature = inspect.signature(plain)

    @functools.wraps(plain)
    def get_batch_iterator(self, *args, **kwargs):
        given = signature.bind(self, *args, **kwargs)
        given.apply_defaults()
        iterator = plain(self, *args, **kwargs)
        if not hasattr(iterator, "batching"):  # fairseq may return the one of an earlier epoch
            iterator.batching = {name: given.arguments.get(name) for name in BATCHING}
        return iterator

    FairseqTask.get_batch_iterator = get_batch_iterator


def resume_with_unread_rows() -> None:
    """Change data/iterators.py::EpochBatchIterator.state_dict, load_state_dict and next_epoch_itr."""
    from fairseq.data.iterators import EpochBatchIterator
    from fairseq.logging import metrics

    plain_state, plain_load, plain_next = (
        EpochBatchIterator.state_dict,
        EpochBatchIterator.load_state_dict,
        EpochBatchIterator.next_epoch_itr,
    )

    def state_dict(self):
        state = plain_state(self)
        if hasattr(self, "batching"):
            state |= {"rows": _fingerprint(self), "batching": self.batching, "stretches": _stretches(self)}
            if self.end_of_epoch():
                state["stretches"] = []
        return state

    def load_state_dict(self, state_dict):
        present = _stretch(state_dict)
        read = [stretch for stretch in (*state_dict.get("stretches", []), present) if stretch["iterations"]]
        self.epoch, self.shuffle = state_dict["epoch"], present["shuffle"]
        if not hasattr(self, "batching") or not read:
            plain_load(self, state_dict)
            return
        if state_dict.get("rows") != _fingerprint(self):
            _warn_of_restarted_epoch(
                self, "rows" in state_dict, sum(stretch["iterations"] for stretch in read)
            )
            plain_load(self, state_dict | {"iterations_in_epoch": 0})
            metrics.reset_meters("train")  # the epoch's record is of the rows that it reads from here on
        elif present["batching"] == self.batching:
            _skip_read_rows(self, state_dict["stretches"])
            plain_load(self, state_dict)
        else:
            _skip_read_rows(self, read)
            plain_load(self, state_dict | {"iterations_in_epoch": 0})

    def next_epoch_itr(self, shuffle=True, *args, **kwargs):
        if self._next_epoch_itr is not None:
            shuffle = self.shuffle  # that of the epoch in which the run was resumed, for the next checkpoint
        elif hasattr(self, "epoch_batch_sampler"):
            self.epoch_batch_sampler.shuffle = shuffle  # fairseq keeps that of the first epoch
        if self._next_epoch_itr is None and _stretches(self) and self.next_epoch_idx != self.epoch:
            self.stretches, self._frozen_batches = [], self.batches_of_epoch
        return plain_next(self, shuffle, *args, **kwargs)

    EpochBatchIterator.state_dict, EpochBatchIterator.load_state_dict = state_dict, load_state_dict
    EpochBatchIterator.next_epoch_itr = next_epoch_itr


def _stretches(iterator) -> list[Stretch]:
    """Return the stretches of this epoch that were read before the current batches."""
    return getattr(iterator, "stretches", [])


def _stretch(state: dict) -> Stretch:
    return {
        "batching": state.get("batching"),
        "shuffle": state.get("shuffle", True),
        "iterations": state.get("iterations_in_epoch", 0),
    }


def _fingerprint(iterator) -> str:
    """Return a hash of the numbers of the epoch's rows, in order, and of their lengths."""
    if not hasattr(iterator, "fingerprint"):
        rows = np.concatenate([np.zeros(0, np.int64), *iterator.frozen_batches])
        sizes = np.ascontiguousarray(getattr(iterator.dataset, "sizes", ()))
        iterator.fingerprint = hashlib.sha256(rows.data).hexdigest() + hashlib.sha256(sizes.data).hexdigest()
    return iterator.fingerprint


def _warn_of_restarted_epoch(iterator, known: bool, batches: int) -> None:
    reason = (
        "its rows are not those of the checkpoint, or have another order (other data, --tokens-per-sample,"
        " --seed or the like)"
    )
    if not known:
        reason = "the checkpoint is of an older release, which did not record which rows were read"
    if iterator.shard_id == 0:
        logger.warning(f"epoch {iterator.epoch} starts again, after {batches:,} batches of it: {reason}")


def _skip_read_rows(iterator, stretches: list[Stretch]) -> None:
    """Divide the rows that are left after some stretches of the epoch into its batches."""
    if not stretches:
        return
    iterator.stretches, iterator.batches_of_epoch = stretches, iterator.frozen_batches
    rows = np.concatenate(iterator.frozen_batches)
    unread = rows_left(iterator.dataset, rows, iterator.epoch, stretches)
    iterator._frozen_batches = tuple(_batches(iterator.dataset, unread, iterator.batching))
    if iterator.shard_id == 0:
        logger.info(
            f"epoch {iterator.epoch} continues with the {len(unread):,} of its {len(rows):,} rows that were"
            " not read yet"
        )


def rows_left(dataset, rows: np.ndarray, epoch: int, stretches: list[Stretch]) -> np.ndarray:
    """Find the rows of an epoch that were not read yet.

    Args:
        dataset: The dataset of the rows.
        rows: All rows of the epoch, in the order in which they are divided into batches. Shape: (number of
            rows,).
        epoch: Number of the epoch, from 1.
        stretches: The stretches that were read, in order.

    Returns:
        The rows that are left, in the same order.
    """
    for stretch in stretches:
        batches = _in_order(_batches(dataset, rows, stretch["batching"]), epoch, stretch)
        read = batches[: stretch["iterations"] * stretch["batching"]["num_shards"]]
        rows = rows[~np.isin(rows, np.concatenate(read))]
    return rows


def _batches(dataset, rows: np.ndarray, batching: dict[str, Any]) -> list:
    names = ("max_tokens", "max_sentences", "required_batch_size_multiple")
    return dataset.batch_by_size(rows, **{name: batching[name] for name in names})


def _in_order(batches: list, epoch: int, stretch: Stretch) -> list:
    """Shuffle batches as fairseq does (data/iterators.py::EpochBatchIterator)."""
    from fairseq.data.data_utils import numpy_seed

    batching = stretch["batching"]
    if not stretch["shuffle"]:
        return batches
    shards = batching["num_shards"] if batching["grouped_shuffling"] else 1
    end = len(batches) // shards * shards
    groups = [batches[first : first + shards] for first in range(0, end, shards)]
    with numpy_seed(batching["seed"] + epoch):
        np.random.shuffle(groups)
    return [batch for group in groups for batch in group]
