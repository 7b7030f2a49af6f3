"""Dropout that costs little on a CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 2**16


def dropout(values: Tensor, probability: float, training: bool) -> Tensor:
    """Zero values at random and scale up the others, so that the mean stays. Shape kept.

    On a CPU PyTorch draws one double per value, a tenth of a training step. Here four values share one draw of 64 bits, 16 for each:
    a quarter of the time. The draws come from PyTorch's own generator, so seeds and resumed runs work as ever.

    Args:
        values: any shape, any float type.
        probability: of a zero; on a CPU rounded to a multiple of 2^-16.
        training: nothing happens when False.

    Source: Srivastava et al. 2014 section 4, scaled in training.
    """
    dropped = round(probability * LEVELS)
    if not training or dropped == 0:
        return values
    if values.device.type != "cpu" or dropped == LEVELS:
        return F.dropout(values, probability)
    draw = torch.ops.fairseq_electra.draw_int16 if torch.compiler.is_compiling() else draw_int16
    # int16 to float32 and a comparison in place: the quickest way, a mask of bool takes twice the time
    keep = draw(values.detach()).to(torch.float32)
    keep = keep.ge_(dropped - LEVELS // 2).mul_(LEVELS / (LEVELS - dropped))
    return values * keep.to(values.dtype)


def draw_int16(values: Tensor) -> Tensor:
    """Draw numbers of 16 bits, uniformly, from PyTorch's generator for CPUs. Shape: that of the values, which do not matter."""
    draws = torch.empty((values.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    return draws.view(torch.int16)[: values.numel()].view(values.shape)


# For compiled graphs an operator of its own, since a compiler would else draw every value by its slow way. The tag keeps it from being
# run again for the backward pass; that it takes the values keeps the draws of two layers from being found equal and made once.
torch.library.define(
    "fairseq_electra::draw_int16", "(Tensor values) -> Tensor", tags=(torch.Tag.nondeterministic_seeded,)
)
torch.library.impl("fairseq_electra::draw_int16", "CPU")(draw_int16)


@torch.library.register_fake("fairseq_electra::draw_int16")
def _(values: Tensor) -> Tensor:
    return torch.empty(values.shape, dtype=torch.int16)


class Dropout(nn.Module):
    """:func:`dropout` as a layer."""

    def __init__(self, probability: float):
        super().__init__()
        self.probability = probability

    def forward(self, values: Tensor) -> Tensor:
        """Apply it. Shape kept."""
        return dropout(values, self.probability, self.training)
