"""Documents that share a packed row: each token's position in its document, and the tokens that it sees."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class PackedDocuments(NamedTuple):
    """Documents of packed rows; padding at the end of a row counts as a document."""

    ends: Tensor  # (B, D), position behind each document, T in spare slots; the last is T
    numbers: Tensor  # (B, T), number of each token's document within its row
    positions: Tensor  # (B, T), position of each token within its document

    @classmethod
    def of(cls, ends: Tensor, length: int) -> "PackedDocuments":
        """Compute numbers and positions.

        Args:
            ends: position behind each document, ascending in each row. Shape: (B, D).
            length: length of the rows in tokens, T.
        """
        columns = (
            torch.arange(length, device=ends.device, dtype=ends.dtype).expand(len(ends), length).contiguous()
        )
        numbers = torch.searchsorted(ends, columns, right=True)
        return cls(ends, numbers, columns - F.pad(ends, (1, 0)).gather(1, numbers))

    def different_documents(self) -> Tensor:
        """Return True for pairs of tokens of different documents. Shape: (B, 1, T, T)."""
        return (self.numbers[:, :, None] != self.numbers[:, None, :]).unsqueeze(1)

    def bounds(self) -> Tensor:
        """Return the start of each document, and the end of the last, in the flattened batch.

        Returns:
            int32. Shape: (B * D + 1,).
        """
        rows, length = self.numbers.shape
        starts = torch.arange(0, rows * length, length, device=self.ends.device, dtype=torch.int32)
        return F.pad((self.ends.to(torch.int32) + starts[:, None]).flatten(), (1, 0))
