"""Fewer masks in a batch that was masked at a higher rate.

A batch is made before it is known at which update it will be read, so a rate that changes by update cannot
be used where rows are masked. Rows are masked at the highest rate instead, and at the update some masks are
taken back. A row then has the masks that :class:`~fairseq_electra.electra.masking.Masking` gives it at the
lower rate: tokens are masked in a random order, of which a lower rate uses a shorter part.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fairseq_electra.electra.masking import NO_CANDIDATE, columns_before


def slot_ranks(draws: np.ndarray, positions: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Find where in the random order of a row's tokens the masked ones are.

    Args:
        draws: the random numbers that ordered the tokens. Shape: (B, T), uint32.
        positions: positions of the masked tokens, ascending. Shape: (B, K).
        counts: masked tokens of each row; further slots are spare. Shape: (B,).

    Returns:
        the rank of each masked token, from 0; K in spare slots. Shape: (B, K), int64.
    """
    num_slots = positions.shape[1]
    used = columns_before(counts, num_slots)
    order = np.where(used, np.take_along_axis(draws, positions, 1), NO_CANDIDATE).argsort(1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(num_slots)[None], 1)
    return np.where(used, ranks, num_slots)


class Masks(NamedTuple):
    """The masks of a batch. Spare slots may be anywhere."""

    src_tokens: Tensor  # (B, T), what the generator sees
    positions: Tensor  # (B, K), positions of the masked tokens; 0 in spare slots
    target: Tensor  # (B, K), the original tokens there; padding in spare slots


def keep_masks(masks: Masks, keep: Tensor, pad: int) -> Masks:
    """Show the original tokens again at masked positions that are not kept.

    Args:
        masks: the masks of a batch.
        keep: which slots are kept. Shape: (B, K), bool.
        pad: id of padding.
    """
    tokens, positions, target = masks
    dropped = ~keep & (target != pad)
    # a spare slot writes back the token at position 0, which is never masked
    there = torch.where(dropped, target.to(tokens.dtype), tokens.gather(1, positions))
    return Masks(
        tokens.scatter(1, positions, there),
        positions.masked_fill(~keep, 0),
        target.masked_fill(~keep, pad),
    )
