"""What the datasets of our own tasks have in common: rows of known length, and their order."""

import numpy as np
from fairseq.data import FairseqDataset

ROWS_SORTED = 2048  # of a shuffled epoch, by length among themselves: batches with a third of the padding


class TaskRows(FairseqDataset):
    """Rows that are made when a batch is.

    Args:
        sizes: tokens of each. Shape: (N,).
        seed: of their order.
        shuffle: every epoch another order; else by length.
    """

    def __init__(self, sizes: np.ndarray, seed: int, shuffle: bool):
        self.sizes, self.seed, self.shuffle = np.asarray(sizes), seed, shuffle
        self._epoch = 1

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> int:
        return int(index)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of rows (fairseq calls this)."""
        self._epoch = epoch

    @property
    def can_reuse_epoch_itr_across_epochs(self) -> bool:
        """Orders differ from epoch to epoch."""
        return not self.shuffle

    def num_tokens(self, index: int) -> int:
        """Tokens of a row."""
        return int(self.sizes[index])

    def num_tokens_vec(self, indices: np.ndarray) -> np.ndarray:
        """Tokens of rows."""
        return self.sizes[indices]

    def size(self, index: int) -> int:
        """Tokens of a row."""
        return int(self.sizes[index])

    def ordered_indices(self) -> np.ndarray:
        """Order of rows in this epoch."""
        if not self.shuffle:
            return np.argsort(self.sizes, kind="stable")
        order = np.random.default_rng([self.seed, self._epoch]).permutation(len(self))
        for first in range(0, len(order), ROWS_SORTED):
            chunk = order[first : first + ROWS_SORTED]
            chunk[:] = chunk[np.argsort(self.sizes[chunk], kind="stable")]
        return order
