"""Rotary position embeddings (Su et al. 2021, arXiv 2104.09864)."""

import torch
from torch import Tensor

from fairseq_electra.electra.fast.cross_entropy import loss_dtype
from fairseq_electra.electra.sizes import ROTARY_BASE


def rotary_angles(
    num_positions: int, head_size: int, device: torch.device, base: float = ROTARY_BASE
) -> Tensor:
    """Return cosine and sine of t / base^(2i / head_size), the angle of pair i at position t.

    Returns:
        float64. Shape: (T, head_size / 2, 2).

    Source: Su et al. 2021, section 3.2.2.
    """
    frequency = base ** (-torch.arange(0, head_size, 2, device=device, dtype=torch.float64) / head_size)
    angle = torch.arange(num_positions, device=device, dtype=torch.float64)[:, None] * frequency
    return torch.stack([angle.cos(), angle.sin()], -1)


def rotate(vectors: Tensor, angles: Tensor) -> Tensor:
    """Rotate the neighbouring pairs (0, 1), (2, 3), ... of each head, as RoFormer does.

    Args:
        vectors: queries or keys. Shape, which the result has too: (B, T, ..., head size).
        angles: result of :func:`rotary_angles`. Shape: (T, head size / 2, 2) for all rows alike, or
            (B, T, head size / 2, 2) for each row.
    """
    pairs = vectors.to(loss_dtype(vectors.dtype)).unflatten(-1, (-1, 2))
    angles = angles.to(pairs.dtype).reshape(
        -1, vectors.shape[1], *(1,) * (vectors.dim() - 3), *angles.shape[-2:]
    )
    if torch.compiler.is_compiling():  # torch.compile does not support complex numbers
        (x, y), (cos, sin) = pairs.unbind(-1), angles.unbind(-1)
        rotated = torch.stack([x * cos - y * sin, x * sin + y * cos], -1)
    else:
        rotated = torch.view_as_real(torch.view_as_complex(pairs) * torch.view_as_complex(angles))
    return rotated.flatten(-2).to(vectors.dtype)
