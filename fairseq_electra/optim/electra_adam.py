"""Adam as ELECTRA uses it."""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, List, NamedTuple, cast

import torch
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.optim import FairseqOptimizer, register_optimizer
from omegaconf import II, OmegaConf
from torch import Tensor, nn
from torch.optim.adamw import adamw

from fairseq_electra.errors import InputError
from fairseq_electra.optim.depths import layers_below_head
from fairseq_electra.optim.gradients import Gradients, has_generators_rate
from fairseq_electra.optim.loss_scale import LossScale
from fairseq_electra.optim.update_clipping import clipped_rates, clipped_steps, update_rms

LONG_AGO = 1e9  # a step count at which bias correction is 1 in float32


@dataclass
class ElectraAdamConfig(FairseqDataclass):
    """Options of ``--optimizer electra_adam``."""

    adam_betas: Any = field(
        default=None,
        metadata={
            "help": (
                "decay rates of the two moments; default on a command line: (0.9, 0.98) in pre-training, else"
                " (0.9, 0.999), Adam's own"
            )
        },
    )
    adam_eps: float = field(default=1e-6, metadata={"help": "added to the root of the second moment"})
    weight_decay: float = field(
        default=0.01, metadata={"help": "decoupled, times the learning rate; not on biases and LayerNorm"}
    )
    bias_correction: Any = field(
        default=None,
        metadata={
            "help": (
                "{on,off}: correct Adam's moments for starting at 0, as its paper does. ELECTRA's code "
                "does not, so its first hundred "
                "updates are 3 to 6.6 times as large as --lr says; default: on"
            ),
            "argparse_const": "on",
        },
    )
    layer_decay: float = field(
        default=1.0,
        metadata={
            "help": (
                "learning rate of each layer as a share of that of the layer above it; the paper fine-tunes"
                " with .8"
            )
        },
    )
    layer_decay_once_more: bool = field(
        default=False,
        metadata={"help": "as the original's code: one more --layer-decay for all that lies below the head"},
    )
    loss_reduction: ChoiceEnum(["mean", "sum"]) = field(  # type: ignore[valid-type]
        default="mean",
        metadata={
            "help": (
                "gradient of the mean of a batch's losses, or of their sum, as in the original's code for"
                " fine-tuning: --clip-norm 1 then clips nearly every update"
            )
        },
    )
    generator_lr: float = field(
        default=1.0,
        metadata={
            "help": (
                "pre-training: learning rate of the generator, as a share of --lr; embeddings that are shared"
                " have --lr itself"
            )
        },
    )
    clip_updates: bool = field(
        default=False,
        metadata={
            "help": (
                "StableAdamW: divide the learning rate of a tensor by the RMS of its gradients over the roots"
                " of their second moments, where that is above 1; made to replace --clip-norm"
            )
        },
    )
    lr: List[float] = II("optimization.lr")


class _Moments(NamedTuple):
    """A parameter and what goes with it; all tensors are written over by a step."""

    parameter: nn.Parameter
    first: Tensor
    second: Tensor
    step: Tensor  # ()


@register_optimizer("electra_adam", dataclass=ElectraAdamConfig)
class ElectraAdam(FairseqOptimizer):
    """Fused AdamW without decay of vectors, a learning rate for each layer, and optional bias correction.

    Args:
        cfg: its options.
        params: the network's parameters. Those with one dimension (biases, LayerNorm) are not decayed. With
            ``layer_decay`` the learning rate of one that lies d layers below the head is ``lr * layer_decay
            ** d`` (:mod:`fairseq_electra.optim.depths`).

    Attributes:
        gradients: of the update in hand; None where some parameter is not in float32, or lies on another
            device.

    Source: google-research/electra model/optimization.py::AdamWeightDecayOptimizer, _get_layer_lrs; there d
    is larger by one.
    """

    def __init__(self, cfg: ElectraAdamConfig, params: Iterable[nn.Parameter]):
        super().__init__(cfg)
        if not 0 < cfg.layer_decay <= 1:
            raise InputError(
                f"--layer-decay must lie in (0, 1], got {cfg.layer_decay}; the paper: .8 (small, base) or .9"
                " (large), 1: none"
            )
        self.bias_correction = _is_on(cfg.bias_correction)
        params = [p for p in params if p.requires_grad]
        if len(params) == 1 and params[0].dim() == 1:
            raise InputError(
                "electra_adam cannot tell weights from biases in one flat tensor; add --fp16-no-flatten-grads"
            )
        if not 0 <= cfg.generator_lr < math.inf:
            raise InputError(
                f"--generator-lr must be 0 or more, got {cfg.generator_lr}; 1: that of the discriminator"
            )
        if cfg.generator_lr != 1 and not any(map(has_generators_rate, params)):
            raise InputError(
                f"--generator-lr {cfg.generator_lr} is for models with a generator of their own that is"
                " trained; leave it out"
            )
        if not 0 <= cfg.weight_decay < math.inf:
            raise InputError(f"--weight-decay must be 0 or more, got {cfg.weight_decay}; 0: none")
        if not 0 < cfg.adam_eps < math.inf:
            raise InputError(f"--adam-eps must be above 0, got {cfg.adam_eps}; the paper has 1e-6")
        groups: dict[tuple[int, bool, float], dict] = {}
        for p in params:
            below, is_matrix = self._layers_below_head(p), p.dim() > 1
            decay, scale = cfg.weight_decay if is_matrix else 0.0, cfg.layer_decay**below
            scale *= cfg.generator_lr if has_generators_rate(p) else 1
            group = groups.setdefault(
                (below, not is_matrix, scale), {"params": [], "weight_decay": decay, "lr_scale": scale}
            )
            group["params"].append(p)
        ordered = [groups[key] for key in sorted(groups)]
        self._optimizer = torch.optim.AdamW(ordered, fused=True, **self.optimizer_config)
        self.set_lr(self.optimizer_config["lr"])
        self._half = any(p.dtype in (torch.bfloat16, torch.float16) for p in params)
        # PyTorch's fused step always corrects by 1 - beta^step: from a step of long ago on, that is 1
        start = 0.0 if self.bias_correction else LONG_AGO
        for p in params:
            kind = torch.promote_types(p.dtype, torch.float32)
            self._optimizer.state[p] = {
                "step": torch.full((), start, dtype=torch.float32, device=p.device),
                "exp_avg": torch.zeros_like(p, dtype=kind, memory_format=torch.preserve_format),
                "exp_avg_sq": torch.zeros_like(p, dtype=kind, memory_format=torch.preserve_format),
            }
        alike = {(p.dtype, p.device) for p in params}
        self.gradients = Gradients(params) if len(alike) == 1 and params[0].dtype == torch.float32 else None
        self._saved_scale: dict[str, float] | None = None
        self._moments: list[list[_Moments]] = []
        self._collect_moments()

    def _collect_moments(self) -> None:
        """Collect each group's tensors once: looking up 400 of them in every update is slow."""
        state, names = self._optimizer.state, ("exp_avg", "exp_avg_sq", "step")
        self._moments = [
            [_Moments(p, *(state[p][name] for name in names)) for p in group["params"]]
            for group in self.param_groups
        ]

    def _layers_below_head(self, p: nn.Parameter) -> int:
        if self.cfg.layer_decay == 1:
            return 0
        below = layers_below_head(p)
        return below + 1 if below and self.cfg.layer_decay_once_more else below

    def set_lr(self, lr: float) -> None:
        """Set the head's learning rate, and with it every layer's."""
        for group in self.param_groups:
            group["lr"] = lr * group["lr_scale"]

    def get_lr(self) -> float:
        """Return the head's learning rate."""
        group = max(self.param_groups, key=lambda group: group["lr_scale"])
        return group["lr"] / group["lr_scale"]

    @property
    def supports_memory_efficient_fp16(self) -> bool:
        """Half-precision weights without a float32 copy: the moments stay float32."""
        return True

    def scale_losses(self) -> None:
        """Scale losses from now on, and skip steps whose gradients overflow; idempotent."""
        if self.gradients is None:
            raise InputError(
                "--autocast fp16 needs weights in float32; leave out --fp16, --bf16 and the like"
            )
        if self.gradients.loss_scale is None:
            self.gradients.loss_scale = LossScale(self.gradients.device, self._saved_scale)
            self.gradients.restart()

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients of a loss, scaled where losses are."""
        scaled = self.gradients is not None and self.gradients.loss_scale is not None
        super().backward(loss * self.gradients.loss_scale.scale if scaled else loss)  # type: ignore[union-attr]

    def multiply_grads(self, c) -> None:
        """Let the next :meth:`step` multiply the gradients by a number or a tensor of shape ()."""
        if self.gradients is None:
            super().multiply_grads(c)
        else:
            self.gradients.factor = self.gradients.factor * c

    def clip_grad_norm(self, max_norm: float, aggregate_norm_fn=None) -> Tensor:
        """Let the next :meth:`step` clip the gradients; arguments and result as FairseqOptimizer's."""
        if self.gradients is None or aggregate_norm_fn is not None:
            self._multiply_now()
            return super().clip_grad_norm(max_norm, aggregate_norm_fn)
        return self.gradients.clip(max_norm)

    def _multiply_now(self) -> None:
        if self.gradients is not None:
            super().multiply_grads(self.gradients.factor)
            self.gradients.factor = 1.0

    def zero_grad(self) -> None:
        """Clear the gradients, and what was to happen to them."""
        for own in self._moments:
            for moments in own:
                moments.parameter.grad = None
        if self.gradients is not None:
            self.gradients.restart()

    def step(self, closure=None, scale: float = 1.0, groups=None) -> None:
        """Do one step; weights in half precision are widened one at a time."""
        if scale != 1.0:
            self.multiply_grads(1.0 / scale)
        if self.gradients is not None:
            self._step_at_once(self.gradients)
            return
        if not self._half and not self.cfg.clip_updates:
            super().step(closure, 1.0, groups)
            return
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._step_wide(p, p.grad, group)

    @torch.no_grad()
    def _step_at_once(self, gradients: Gradients) -> None:
        """Do one step of torch.optim.AdamW, without its bookkeeping."""
        divisor, dropped = gradients.divisor(), gradients.dropped if gradients.may_be_dropped else None
        for group, everything in zip(self.param_groups, self._moments, strict=True):
            present = [
                (grad, *moments) for moments in everything if (grad := moments.parameter.grad) is not None
            ]
            if not present:
                continue
            grads, params, first, second, steps = map(list, zip(*present, strict=True))
            if self.bias_correction:
                torch._foreach_add_(steps, 1.0 if dropped is None else [1.0 - dropped] * len(steps))
            options = _fused_options(group) | {"grad_scale": divisor, "found_inf": dropped}
            if self.cfg.clip_updates:
                clipped_steps(params, grads, first, second, steps, group["lr"], options)
            else:
                torch._fused_adamw_(params, grads, first, second, [], steps, lr=group["lr"], **options)
        if gradients.loss_scale is not None:
            gradients.loss_scale.update(gradients.dropped)
        gradients.restart()

    @torch.no_grad()
    def _step_wide(self, p: nn.Parameter, grad: torch.Tensor, group: dict) -> None:
        state = self._optimizer.state[p]
        second, step = state["exp_avg_sq"], state["step"]
        wide, grad, lr = p.to(second.dtype), grad.to(second.dtype), group["lr"]
        if self.cfg.clip_updates:
            # adamw counts the step itself
            lr = clipped_rates(lr, update_rms(grad, second, step + 1, group["betas"][1], group["eps"]))
        adamw(
            *([wide], [grad], [state["exp_avg"]], [second], [], [step]),
            fused=True,
            lr=lr,
            **_fused_options(group),
        )
        p.copy_(wide)

    @property
    def optimizer_config(self) -> dict[str, Any]:
        """The options that win over a checkpoint's on resume."""
        lr, betas = self.cfg.lr, cast(Any, self.cfg.adam_betas or (0.9, 0.999))
        if isinstance(betas, str):
            try:
                betas = [float(beta) for beta in betas.strip("()[]").split(",")]
            except ValueError:
                betas = []
        elif OmegaConf.is_config(betas):
            betas = OmegaConf.to_container(betas)
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise InputError(
                "--adam-betas must be two numbers in [0, 1), such as '(0.9, 0.999)', got"
                f" {self.cfg.adam_betas!r}"
            )
        return {
            "lr": next(iter(lr)) if isinstance(lr, Collection) else lr,
            "betas": tuple(betas),
            "eps": self.cfg.adam_eps,
        }

    def state_dict(self) -> dict:
        """Return groups and moments, and the loss scale where there is one."""
        state = super().state_dict()
        if self.gradients is not None and self.gradients.loss_scale is not None:
            state["scaled_losses"] = self.gradients.loss_scale.state_dict()
        return state

    def load_state_dict(self, state_dict: dict, optimizer_overrides: dict | None = None) -> None:
        """Load the moments; options, weight decays and shares of the learning rate stay those of this run.

        Moments that were gathered without bias correction have no step count: they stay uncorrected, as by
        then they are unbiased.

        Raises:
            InputError: ``--generator-lr`` or ``--layer-decay`` puts the parameters into other groups, so that
            moments would be mistaken.
        """
        before, now = (_groups(groups) for groups in (state_dict["param_groups"], self.param_groups))
        if before != now:
            given = ", ".join(
                f"--{name.replace('_', '-')} {getattr(self.cfg, name):g}"
                for name in ("generator_lr", "layer_decay")
            )
            raise InputError(
                f"the checkpoint's optimizer has {len(before)} groups of parameters, {given} makes "
                f"{len(now)} or others: go on with the "
                "values that the run began with, or give --reset-optimizer, which begins moments and "
                "schedule anew"
            )
        own = [{name: group[name] for name in ("weight_decay", "lr_scale")} for group in self.param_groups]
        super().load_state_dict(state_dict, {**self.optimizer_config, **(optimizer_overrides or {})})
        for group, options in zip(self.param_groups, own, strict=True):
            group.update(options)
        self.set_lr(self.param_groups[0]["lr"])  # fairseq has given all groups the same
        if not self.bias_correction:
            for state in self._optimizer.state.values():
                state["step"].fill_(LONG_AGO)
        self._collect_moments()
        self._saved_scale = state_dict.get("scaled_losses")


def _groups(groups: list[dict]) -> list[tuple[int, bool, bool]]:
    """Describe each group: its length, and whether it learns more slowly or faster than the head."""
    scales = [group.get("lr_scale", 1.0) for group in groups]
    return [(len(group["params"]), scale < 1, scale > 1) for group, scale in zip(groups, scales, strict=True)]


def _fused_options(group: dict) -> dict[str, Any]:
    """Return what PyTorch's fused AdamW is told of a group, besides the learning rate."""
    return {
        "amsgrad": False,
        "beta1": group["betas"][0],
        "beta2": group["betas"][1],
        "weight_decay": group["weight_decay"],
        "eps": group["eps"],
        "maximize": False,
    }


def _is_on(bias_correction: Any) -> bool:
    # YAML: on is true
    found = {"none": True, "on": True, "true": True, "off": False, "false": False}.get(
        str(bias_correction).lower()
    )
    if found is None:
        raise InputError(f"--bias-correction must be on or off, got {bias_correction!r}")
    return found
