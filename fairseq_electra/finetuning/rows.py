"""The rows of a task: their lengths, and the batches that are made of them."""

from abc import ABC, abstractmethod

import numpy as np


class TaskRows(ABC):
    """Rows of a split or in memory; a batch is made when it is needed.

    Args:
        sizes: length of each row in tokens. Shape: (N,).
    """

    def __init__(self, sizes: np.ndarray):
        self.sizes = np.asarray(sizes)

    def __len__(self) -> int:
        return len(self.sizes)

    @abstractmethod
    def collater(self, samples: list[int]) -> dict:
        """Make a batch of the rows with these numbers."""
