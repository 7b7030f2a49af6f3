"""Recurrence over the parts of a row: a part also sees the states of the part before, without gradient."""

from typing import NamedTuple

import torch
from torch import Tensor

from fairseq_electra.electra.row_blocks import in_blocks, with_neighbours
from fairseq_electra.electra.scaled_dot_product import BLOCKED, attend


class Recurrence(NamedTuple):
    """A row as parts of N tokens; each layer's tokens attend to their own part and to the one before.

    The states of the part before are the layer's input there, and get no gradient. So a token sees further
    with every layer, at a cost linear in the length of the row.

    Deviation: Transformer-XL keeps the states of the row before from one update to the next. Here the parts
    are of one row, so rows stay shuffled, a run resumes exactly, and states are never those of older weights.

    Source: Dai et al. 2019 (Transformer-XL, arXiv 1901.02860), section 3.2.
    """

    mask: Tensor  # (B, P, 1, 1, 2 N), added to the scores: blocks padding, and what would be before the row

    @classmethod
    def of(cls, hidden: Tensor, padding_mask: Tensor | None, length: int) -> "Recurrence":
        """Divide rows into parts; the last one is filled up.

        Args:
            hidden: the hidden states that will attend. Shape: (B, T, C).
            padding_mask: True at padding; None: there is none. Shape: (B, T).
            length: tokens of a part, N.
        """
        blocked = hidden.new_zeros(hidden.shape[:2])
        if padding_mask is not None:
            blocked = padding_mask.to(hidden.dtype)
        both = with_neighbours(blocked, length, 1.0)[:, :, : 2 * length]
        return cls(both[:, :, None, None, :] * BLOCKED)

    def attend(
        self, query: Tensor, own: tuple[Tensor, Tensor], before: tuple[Tensor, Tensor], probability: float
    ) -> Tensor:
        """Attend within parts and to the parts before them.

        Args:
            query: vectors of H heads. Shape, which the result has too: (B, T, H, D).
            own: keys and values that get gradients. Shape: (B, T, H, D) each.
            before: the same of the states without gradient, at their own places. Shape: (B, T, H, D) each.
            probability: probability of dropping an attention weight.
        """
        length, size = query.shape[1], self.mask.shape[-1] // 2
        key, value = (
            torch.cat([with_neighbours(old, size)[:, :, :size], in_blocks(new, size)], 2)
            for old, new in zip(before, own, strict=True)
        )
        mixed = attend(in_blocks(query, size), key, value, self.mask, probability)
        return mixed.flatten(1, 2)[:, :length]
