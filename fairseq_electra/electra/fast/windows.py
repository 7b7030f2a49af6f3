"""Attention within a window in time and memory that grow with the length of the row, not with its square."""

from typing import NamedTuple

import torch
from torch import Tensor

from fairseq_electra.electra.packed import PackedDocuments
from fairseq_electra.electra.row_blocks import in_blocks, with_neighbours
from fairseq_electra.electra.scaled_dot_product import BLOCKED
from fairseq_electra.electra.scaled_dot_product import attend as attend_by_formula

SMALLEST_BLOCK = 32  # products of smaller matrices cost more than they save


class WindowBlocks(NamedTuple):
    """Blocks of b queries, each with the 3 b keys of its own block and of the two beside it.

    No block is shorter than half a window, so these keys hold all that the queries may see. Shapes depend on
    those of the batch alone, so torch.compile makes one graph.

    Source: Beltagy et al. 2020 (arXiv 2004.05150), appendix A, whose chunks overlap in the same way.
    """

    mask: Tensor  # (B or 1, N, 1, b, 3 b), added to the scores of the N blocks of each row

    @classmethod
    def of(
        cls,
        hidden: Tensor,
        window: int,
        padding_mask: Tensor | None = None,
        documents: PackedDocuments | None = None,
    ) -> "WindowBlocks":
        """Say which keys the queries of each block see.

        Arguments as :func:`fairseq_electra.electra.scaled_dot_product.mask_to_add`.
        """
        length, device = hidden.shape[1], hidden.device
        size = block_size(window)
        distance = torch.arange(size, device=device)[:, None] - torch.arange(-size, 2 * size, device=device)
        outside_row = torch.zeros(1, length, dtype=torch.bool, device=device)
        if padding_mask is not None:
            outside_row = padding_mask
        blocked = with_neighbours(outside_row, size, True)[:, :, None] | (distance.abs() > window // 2)
        if documents is not None:
            numbers = documents.numbers
            blocked = blocked | (
                in_blocks(numbers, size)[..., None] != with_neighbours(numbers, size, -1)[:, :, None]
            )
        return cls((blocked.to(hidden.dtype) * BLOCKED).unsqueeze(2))

    def attend(self, query: Tensor, key: Tensor, value: Tensor, probability: float) -> Tensor:
        """Attend within the window; arguments as those of :func:`attend_by_formula`.

        Returns:
            Shape: (B, T, H, D).
        """
        length, size = query.shape[1], self.mask.shape[-2]
        keys, values = (with_neighbours(x, size) for x in (key, value))
        mixed = attend_by_formula(in_blocks(query, size), keys, values, self.mask, probability)
        return mixed.flatten(1, 2)[:, :length]


def block_size(window: int) -> int:
    """Return the number of queries of a block, b."""
    return max(window // 2, SMALLEST_BLOCK)
