"""Update clipping: a tensor whose gradients have outgrown their second moments takes a smaller step.

The second moments follow the gradients with a delay. Where gradients grow within a few updates, AdamW divides
them by moments that are still small, and the step is too large. For each tensor

    RMS = root of the mean of g^2 / max(v, eps^2),

with g the gradient and v the second moment that the step divides by, is about 1 as long as v is right; where
it is above 1, the tensor's learning rate is divided by it. The weight decay follows the rate, as it always
does. AdamW with this rule is StableAdamW.

Source: Wortsman et al. 2023 (arXiv 2304.13013), StableAdamW; the rule is that of Adafactor (Shazeer and Stern
2018, arXiv 1804.04235). warner-benjamin/optimi optimi/stableadamw.py, with which ModernBERT was trained,
computes the same.
"""

from typing import Any

import torch
from torch import Tensor


@torch.no_grad()
def clipped_steps(
    params: list[Tensor],
    grads: list[Tensor],
    first: list[Tensor],
    second: list[Tensor],
    steps: list[Tensor],
    lr: float,
    options: dict[str, Any],
) -> None:
    """Do a step of PyTorch's fused AdamW with update clipping.

    Args:
        params: in float32, on one device; they and all other tensors are written over.
        grads: the gradients, which are divided by ``grad_scale`` of the options.
        first: the first moments.
        second: the second moments.
        steps: the number of the step, for each tensor. Shapes: ().
        lr: the learning rate of those that are not clipped.
        options: further arguments of ``torch._fused_adamw_``.
    """
    if options["grad_scale"] is not None:
        torch._foreach_div_(grads, options["grad_scale"])
        options = options | {"grad_scale": None}
    rates = clipped_rates(lr, update_rms_at_once(grads, second, steps, options["beta2"], options["eps"]))
    # a call for each tensor, as the kernel takes one rate; a rate on the device is read by the kernel alone
    for p, grad, m, v, step, rate in zip(params, grads, first, second, steps, rates.unbind(), strict=True):
        torch._fused_adamw_([p], [grad], [m], [v], [], [step], lr=rate, **options)


def update_rms(grad: Tensor, second: Tensor, step: Tensor, beta2: float, eps: float) -> Tensor:
    """Compute the RMS of one tensor in the step to come.

    Args:
        grad: its gradient. Any shape.
        second: its second moments before the step. Shape as ``grad``.
        step: the number of the step, from 1; of long ago where moments are not corrected. Shape: ().
        beta2: decay rate of the second moments.
        eps: of Adam.

    Returns:
        Shape: ().
    """
    squares = grad.square()
    after = (beta2 * second + (1 - beta2) * squares) / (1 - beta2 ** step.double())
    return (squares / after.clamp(min=_smallest(eps))).mean().sqrt()


def update_rms_at_once(
    grads: list[Tensor], second: list[Tensor], steps: list[Tensor], beta2: float, eps: float
) -> Tensor:
    """Compute :func:`update_rms` of N tensors in float32, without waiting for the device.

    An operation runs on all tensors at once, and one copy of them is the only memory that it takes. On one
    core a step of electra_tiny takes 8 ms instead of 3, and one of electra_small 51 instead of 13.

    Args:
        grads: the gradients.
        second: the second moments before the step.
        steps: the number of the step, for each tensor. Shapes: ().
        beta2: decay rate of the second moments.
        eps: of Adam.

    Returns:
        Shape: (N,), float32.
    """
    correction = 1 - beta2 ** torch.stack(steps).double()  # v is the moment divided by it
    smallest = (correction * _smallest(eps)).float()
    after = torch._foreach_mul(second, beta2)
    torch._foreach_addcmul_(after, grads, grads, 1 - beta2)
    torch._foreach_clamp_min_(after, list(smallest.unbind()))
    torch._foreach_rsqrt_(after)
    torch._foreach_mul_(after, grads)
    norms = torch._foreach_norm(after)
    torch._foreach_div_(norms, [grad.numel() ** 0.5 for grad in grads])
    return torch.stack(norms) * correction.sqrt().float()


def clipped_rates(lr: float, rms: Tensor) -> Tensor:
    """Divide a learning rate by each RMS above 1. Shape kept."""
    return lr / rms.clamp(min=1)


def _smallest(eps: float) -> float:
    """Square ``eps``; not 0 in float32, so that a gradient of 0 never counts."""
    return max(eps**2, torch.finfo(torch.float32).tiny)
