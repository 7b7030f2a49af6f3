"""All gradients of an update at once: their norms, and what they are still to be multiplied with."""

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fairseq_electra.optim.depths import ATTRIBUTE
from fairseq_electra.optim.loss_scale import SMALLEST, LossScale

GENERATOR, DISCRIMINATOR = "gen_gnorm", "disc_gnorm"
# beginnings of the names of parameters; embeddings that both networks may use belong to neither
PREFIXES = {
    "": ("embeddings.", "generator_embeddings."),
    GENERATOR: ("generator.", "generator_head.", "generator_baseline.", "noise_model."),
    DISCRIMINATOR: ("discriminator.", "discriminator_head.", "language_head."),
}
AT_GENERATORS_RATE = (*PREFIXES[GENERATOR], "generator_embeddings.")
MARK = re.compile("network:([a-z_]*):(generator)?")


def mark_networks(model: nn.Module) -> None:
    """Store on every parameter its network, and whether it learns at the generator's rate.

    A noise model counts as the generator. Parameters that only the generator uses, its own embeddings
    included, learn at its rate.

    Raises:
        ValueError: a parameter belongs to no part that is known here.
    """
    for name, parameter in model.named_parameters():
        network = next((each for each, prefixes in PREFIXES.items() if name.startswith(prefixes)), None)
        if network is None:
            raise ValueError(f"{name}: say in PREFIXES to which network this part of the model belongs")
        own = "generator" if name.startswith(AT_GENERATORS_RATE) else ""
        setattr(parameter, ATTRIBUTE, f"network:{network}:{own}")


def network_of(parameter: nn.Parameter) -> str:
    """Return the network that :func:`mark_networks` has stored; empty: neither, or it has stored nothing."""
    mark = MARK.fullmatch(str(getattr(parameter, ATTRIBUTE, "")))
    return mark[1] if mark else ""


def has_generators_rate(parameter: nn.Parameter) -> bool:
    """Tell whether :func:`mark_networks` has stored that a parameter learns at the generator's rate."""
    mark = MARK.fullmatch(str(getattr(parameter, ATTRIBUTE, "")))
    return mark is not None and mark[2] is not None


class Gradients:
    """The gradients of one update.

    They are read once, for their norms, and once by the optimizer's step, which multiplies each with
    :attr:`factor` on the fly: the number of masked tokens, clipping and the loss scale in one. Nothing here
    waits for the device.

    Args:
        params: in float32, all on one device; those of a model that :func:`mark_networks` has marked are told
            apart.

    Attributes:
        factor: what the gradients are still to be multiplied with; a number, or a tensor on their device.
        norms: after :meth:`clip`, by its name in the log: ``gnorm`` of all gradients, ``gen_gnorm`` and
            ``disc_gnorm`` of those of generator and discriminator with their heads. The embeddings count in
            ``gnorm`` alone, whether the networks share them or not. Before clipping, as fairseq's. An update
            that overflowed has those of the one before it. Shapes: ().
        drop_nonfinite: do no step with gradients that are not finite, nor any step after that.
        loss_scale: where losses are scaled; then only the step whose gradients overflow is not done.
        dropped: 1 where a step is not done. Shape: (), float32, on the device.
    """

    def __init__(self, params: list[nn.Parameter]):
        self._networks: dict[str, list[nn.Parameter]] = {network: [] for network in PREFIXES}
        for p in params:
            self._networks[network_of(p)].append(p)
        self.device = params[0].device
        self.norms: dict[str, Tensor] = {}
        self.drop_nonfinite = False
        self.loss_scale: LossScale | None = None
        self.dropped = torch.zeros((), device=self.device)
        self.restart()

    def restart(self) -> None:
        """Begin an update."""
        self.factor: float | Tensor = 1.0 if self.loss_scale is None else self.loss_scale.scale.reciprocal()

    @property
    def may_be_dropped(self) -> bool:
        """Whether the step depends on :attr:`dropped`."""
        return self.drop_nonfinite or self.loss_scale is not None

    @property
    def hopeless(self) -> Tensor:
        """1 if the run must end: a step was skipped, or the loss scale is too small. Shape: (), float32."""
        return self.dropped if self.loss_scale is None else (self.loss_scale.scale < SMALLEST).float()

    @torch.no_grad()
    def clip(self, max_norm: float) -> Tensor:
        """Find the norms, and let :attr:`factor` scale the gradients down to ``max_norm`` (0: not at all).

        Returns:
            ``gnorm``. Shape: ().

        Source: fairseq utils.py::clip_grad_norm_. Deviation: the norm of the networks' norms, to which
        rounding makes a difference.
        """
        gradients = {
            network: [grad for p in params if (grad := p.grad) is not None]
            for network, params in self._networks.items()
        }
        found = {network: _norm(torch._foreach_norm(own)) for network, own in gradients.items() if own}
        if not found:
            return torch.zeros((), device=self.device)
        own = torch.stack(list(found.values())) * self.factor
        total = torch.linalg.vector_norm(own)
        norms = {
            "gnorm": total,
            **{name: norm for name, norm in zip(found, own.unbind(), strict=True) if name},
        }
        if max_norm > 0:
            self.factor = self.factor * (float(max_norm) / (total + 1e-6)).clamp_(max=1)
        if self.may_be_dropped:
            dropped = (~torch.isfinite(total)).float()
            self.dropped = dropped if self.loss_scale is not None else torch.maximum(self.dropped, dropped)
        if self.loss_scale is not None:
            before = {name: self.norms.get(name, torch.zeros_like(norm)) for name, norm in norms.items()}
            norms = {name: torch.where(self.dropped > 0, before[name], norm) for name, norm in norms.items()}
        self.norms = norms
        return norms["gnorm"]

    def divisor(self) -> Tensor | None:
        """Return the divisor of the optimizer's step, 1 / :attr:`factor`; None for 1. Shape: (), float32."""
        if isinstance(self.factor, Tensor):
            return self.factor.to(self.device, torch.float32).reciprocal()
        return None if self.factor == 1 else torch.full((), 1 / self.factor, device=self.device)


def _norm(norms: Sequence[Tensor]) -> Tensor:
    return torch.linalg.vector_norm(torch.stack(tuple(norms)))
