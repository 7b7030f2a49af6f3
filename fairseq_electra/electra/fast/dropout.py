"""Dropout that costs little on a CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 2**16


def dropout(values: Tensor, probability: float, training: bool) -> Tensor:
    """Set values to zero at random and scale up the others, so that the mean stays. Shape kept.

    On a CPU PyTorch draws one double per value, which takes a tenth of a training step. Here four values
    share one draw of 64 bits, 16 for each, in a quarter of the time. The draws come from PyTorch's own
    generator, so seeds and resumed runs work as usual.

    Args:
        values: any shape, any float type.
        probability: probability of setting a value to zero; on a CPU rounded to a multiple of 2^-16.
        training: if False, the values are returned as they are.

    Source: Srivastava et al. 2014, section 4; the scaling is done in training instead of in use.
    """
    dropped = round(probability * LEVELS)
    if not training or dropped == 0:
        return values
    if values.device.type != "cpu" or dropped == LEVELS:
        return F.dropout(values, probability)
    draw = torch.ops.fairseq_electra.draw_int16 if torch.compiler.is_compiling() else draw_int16
    # a comparison in place, on float32: a mask of bool takes twice the time
    keep = draw(values.detach()).to(torch.float32)
    keep = keep.ge_(dropped - LEVELS // 2).mul_(LEVELS / (LEVELS - dropped))
    return values * keep.to(values.dtype)


def draw_int16(values: Tensor) -> Tensor:
    """Draw uniform 16-bit numbers from PyTorch's generator. Shape: that of ``values``, which are not read."""
    draws = torch.empty((values.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    return draws.view(torch.int16)[: values.numel()].view(values.shape)


# An operator of its own for compiled graphs, since torch.compile would replace random_ by its own slow
# generator. The tag keeps the compiler from drawing again in the backward pass; the argument keeps it from
# merging the draws of two layers.
torch.library.define(
    "fairseq_electra::draw_int16", "(Tensor values) -> Tensor", tags=(torch.Tag.nondeterministic_seeded,)
)
torch.library.impl("fairseq_electra::draw_int16", "CPU")(draw_int16)


@torch.library.register_fake("fairseq_electra::draw_int16")
def _(values: Tensor) -> Tensor:
    return torch.empty(values.shape, dtype=torch.int16)


class Dropout(nn.Module):
    """:func:`dropout` as a module."""

    def __init__(self, probability: float):
        super().__init__()
        self.probability = probability

    def forward(self, values: Tensor) -> Tensor:
        """Apply dropout. Shape kept."""
        return dropout(values, self.probability, self.training)
