"""The kinds of normalization layers: ``--norm-kind``. Where they stand is ``--norm``."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_electra.electra.fast.cross_entropy import loss_dtype

LAYER_NORM_EPS = 1e-12  # BERT's; PyTorch's default is 1e-5


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * gain: LayerNorm without its mean and without a bias.

    It computes in float32 where its input has 16 bits. The parameter is not called ``weight``, so that the
    weights of a LayerNorm are not loaded by mistake.

    Args:
        size: size of the last dimension.

    Source: Zhang and Sennrich 2019 (arXiv 1910.07467), equation 4.
    """

    def __init__(self, size: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(size))

    @property
    def weight(self) -> Tensor:
        """The gain, by the name that a LayerNorm has for it. Shape: (size,)."""
        return self.gain

    def forward(self, values: Tensor) -> Tensor:
        """Normalize the last dimension. Shape and type kept."""
        exact = values.to(loss_dtype(values.dtype))
        gain = self.gain.to(exact.dtype)
        return F.rms_norm(exact, gain.shape, gain, LAYER_NORM_EPS).to(values.dtype)


Norm = nn.LayerNorm | RMSNorm


def norm_of(kind: str, size: int) -> Norm:
    """Make the normalization layer that ``--norm-kind`` names, for vectors of ``size`` numbers."""
    if kind == "rmsnorm":
        return RMSNorm(size)
    return nn.LayerNorm(size, eps=LAYER_NORM_EPS, bias=kind == "layernorm")


def normalize(hidden: Tensor, norm: Norm) -> Tensor:
    """Normalize in the type of the layer's weights, not that of the residual stream. Shape kept."""
    return norm(hidden.to(norm.weight.dtype))
