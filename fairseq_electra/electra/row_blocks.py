"""Rows as blocks of equal length."""

import torch
import torch.nn.functional as F
from torch import Tensor


def in_blocks(values: Tensor, size: int, filler: float = 0) -> Tensor:
    """Cut rows into blocks, the last of which is filled up. Shape: (B, T, ...) -> (B, N, size, ...)."""
    return _filled_up(values, 0, -values.shape[1] % size, filler).unflatten(1, (-1, size))


def with_neighbours(values: Tensor, size: int, filler: float = 0) -> Tensor:
    """Put each block between the two beside it; those beyond the row are full of ``filler``.

    Shape: (B, T, ...) -> (B, N, 3 * size, ...).
    """
    blocks = _filled_up(values, size, -values.shape[1] % size + size, filler).unflatten(1, (-1, size))
    return torch.cat([blocks[:, :-2], blocks[:, 1:-1], blocks[:, 2:]], 2)


def _filled_up(values: Tensor, before: int, behind: int, filler: float) -> Tensor:
    return F.pad(values, (0, 0) * (values.dim() - 2) + (before, behind), value=filler)
