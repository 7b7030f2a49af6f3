"""A scale for losses, so that gradients in float16 neither vanish nor overflow; found by trying."""

import torch
from torch import Tensor

INITIAL = 4.0  # losses are sums over a batch, so their gradients are large already
SMALLEST = 2.0**-14  # gradients that overflow even so are not a matter of their scale
INTERVAL = 2000  # updates without an overflow after which the scale is doubled


class LossScale:
    """A scale that halves when gradients overflow, and doubles after :data:`INTERVAL` updates without.

    Args:
        device: of the losses.
        state: of :meth:`state_dict`; None: start anew.

    Attributes:
        scale: what losses are multiplied with, a power of two. Shape: (), float32.
        since: updates since the last change. Shape: (), float32.

    Source: Micikevicius et al. 2018 (arXiv 1710.03740) section 3.2; the rule is that of torch.amp.GradScaler.
    """

    def __init__(self, device: torch.device, state: dict[str, float] | None = None):
        state = state or {"scale": INITIAL, "since": 0.0}
        self.scale = torch.full((), state["scale"], device=device)
        self.since = torch.full((), state["since"], device=device)

    def update(self, overflowed: Tensor) -> None:
        """Set the scale of the next update. ``overflowed``: 1 if gradients did, else 0. Shape: ()."""
        since = self.since + 1
        full = since >= INTERVAL
        self.scale = torch.where(
            overflowed > 0, self.scale / 2, torch.where(full, self.scale * 2, self.scale)
        )
        self.since = torch.where((overflowed > 0) | full, torch.zeros_like(since), since)

    def state_dict(self) -> dict[str, float]:
        """Return what a resumed run needs."""
        return {"scale": self.scale.item(), "since": self.since.item()}
