"""fairseq's dataset of the rows of a task: adds their order in each epoch."""

import numpy as np
from fairseq.data import FairseqDataset

from fairseq_electra.finetuning.rows import TaskRows

# rows of a shuffled epoch that are sorted by length among themselves: batches with a third of the padding
ROWS_SORTED = 2048


class RowsDataset(FairseqDataset):
    """Rows in an order; the methods are fairseq's.

    Args:
        rows: the rows.
        seed: random seed of their order.
        shuffle: give every epoch another order; else the rows are ordered by length.
    """

    def __init__(self, rows: TaskRows, seed: int = 1, shuffle: bool = False):
        self.rows, self.sizes, self.seed, self.shuffle = rows, rows.sizes, seed, shuffle
        self._epoch = 1

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> int:
        return int(index)

    def collater(self, samples: list[int]) -> dict:
        """Make a batch of the rows with these numbers."""
        return self.rows.collater(samples)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order is wanted."""
        self._epoch = epoch

    @property
    def can_reuse_epoch_itr_across_epochs(self) -> bool:
        """Whether all epochs have one order."""
        return not self.shuffle

    def num_tokens(self, index: int) -> int:
        """Return the length of a row in tokens."""
        return int(self.sizes[index])

    def num_tokens_vec(self, indices: np.ndarray) -> np.ndarray:
        """Return the lengths of rows in tokens."""
        return self.sizes[indices]

    def size(self, index: int) -> int:
        """Return the length of a row in tokens."""
        return int(self.sizes[index])

    def ordered_indices(self) -> np.ndarray:
        """Return the numbers of the rows in the order of this epoch."""
        if not self.shuffle:
            return np.argsort(self.sizes, kind="stable")
        order = np.random.default_rng([self.seed, self._epoch]).permutation(len(self))
        for first in range(0, len(order), ROWS_SORTED):
            chunk = order[first : first + ROWS_SORTED]
            chunk[:] = chunk[np.argsort(self.sizes[chunk], kind="stable")]
        return order
