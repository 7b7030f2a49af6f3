"""The updates of a resumed epoch are counted from the batch at which it is resumed.

- data/iterators.py::GroupedIterator, ``math.ceil(len(iterable) / float(chunk_size))``, counts updates from
  the start of the epoch. Where another --update-freq takes over within an epoch, the number may be one too
  small: the last batches are left out, and the epoch counts as unfinished and is read once more. Here the
  batches that are left are counted.
- The same class, and EpochBatchIterator._get_iterator_for_epoch, leave out the last batches with
  --skip-remainder-batch, even where nothing else is left; fairseq_cli/train.py::train needs one update. Here
  these batches are read then.
"""

import functools


def count_remaining_updates() -> None:
    """Change data/iterators.py::GroupedIterator.__init__ and EpochBatchIterator._get_iterator_for_epoch."""
    from fairseq.data.iterators import EpochBatchIterator, GroupedIterator

    plain, plain_epoch = GroupedIterator.__init__, EpochBatchIterator._get_iterator_for_epoch

    @functools.wraps(plain)
    def initialize(self, iterable, chunk_size, skip_remainder_batch=False):
        read = getattr(iterable, "n", 0)
        full_groups, remainder = divmod(len(iterable) - read, chunk_size)
        plain(self, iterable, chunk_size)
        skip_remainder_batch = skip_remainder_batch and full_groups > 0
        self.total = self.n + full_groups + bool(remainder and not skip_remainder_batch)
        if skip_remainder_batch:
            iterable.take(read + full_groups * chunk_size)

    @functools.wraps(plain_epoch)
    def _get_iterator_for_epoch(self, epoch, shuffle, fix_batches_to_gpus=False, offset=0):
        skips = self.skip_remainder_batch
        self.skip_remainder_batch = skips and len(self) - offset > 1
        try:
            return plain_epoch(self, epoch, shuffle, fix_batches_to_gpus, offset)
        finally:
            self.skip_remainder_batch = skips

    GroupedIterator.__init__, EpochBatchIterator._get_iterator_for_epoch = initialize, _get_iterator_for_epoch
