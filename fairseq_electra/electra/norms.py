"""The kinds of normalization layers: ``--norm-kind``. Where they stand is ``--norm``."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_electra.electra.fast.cross_entropy import loss_dtype
from fairseq_electra.electra.sizes import LAYER_NORM_EPS, EncoderSizes


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * gain: LayerNorm without its mean and without a bias.

    It computes in float32 where its input has 16 bits. The parameter is not called ``weight``, so that the
    weights of a LayerNorm are not loaded by mistake.

    Args:
        size: size of the last dimension.
        eps: added to the mean of the squares.

    Source: Zhang and Sennrich 2019 (arXiv 1910.07467), equation 4.
    """

    def __init__(self, size: int, eps: float = LAYER_NORM_EPS):
        super().__init__()
        self.eps = eps
        self.gain = nn.Parameter(torch.ones(size))

    @property
    def weight(self) -> Tensor:
        """The gain, by the name that a LayerNorm has for it. Shape: (size,)."""
        return self.gain

    def forward(self, values: Tensor) -> Tensor:
        """Normalize the last dimension. Shape and type kept."""
        exact = values.to(loss_dtype(values.dtype))
        gain = self.gain.to(exact.dtype)
        return F.rms_norm(exact, gain.shape, gain, self.eps).to(values.dtype)


class LayerNorm(nn.LayerNorm):
    """LayerNorm that computes in float32 where its input has 16 bits, on a CPU too.

    There PyTorch sums the gradients of weight and bias in 16 bits: over 2,048 tokens the bias gets half of
    its gradient. Its kernel for GPUs sums in float32, and is faster than this one.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalize the last dimension. Shape and type kept, but for the types of autocast on a GPU."""
        exact = loss_dtype(input.dtype)
        if input.device.type != "cpu" or input.dtype == exact:
            return super().forward(input)
        weight, bias = self.weight.to(exact), None if self.bias is None else self.bias.to(exact)
        return F.layer_norm(input.to(exact), self.normalized_shape, weight, bias, self.eps).to(input.dtype)


Norm = LayerNorm | RMSNorm


def norm_of(sizes: EncoderSizes, size: int) -> Norm:
    """Make the normalization layer of ``--norm-kind`` and ``--norm-eps`` for vectors of ``size`` numbers."""
    if sizes.norm_kind == "rmsnorm":
        return RMSNorm(size, sizes.norm_eps)
    return LayerNorm(size, eps=sizes.norm_eps, bias=sizes.norm_kind == "layernorm")


def normalize(hidden: Tensor, norm: Norm) -> Tensor:
    """Normalize in the type of the layer's weights, not that of the residual stream. Shape kept."""
    return norm(hidden.to(norm.weight.dtype))
