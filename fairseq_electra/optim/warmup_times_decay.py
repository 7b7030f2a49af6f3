"""The learning rate of the original's code: the decay begins at the first update, under the warm-up."""

from dataclasses import dataclass, field
from typing import List, Optional

from fairseq.dataclass import FairseqDataclass
from fairseq.optim.lr_scheduler import FairseqLRScheduler, register_lr_scheduler
from omegaconf import II

from fairseq_electra.errors import InputError


@dataclass
class WarmupTimesDecayConfig(FairseqDataclass):
    """Options of ``--lr-scheduler warmup_times_decay``, named as those of polynomial_decay."""

    warmup_updates: float = field(
        default=0.0,
        metadata={"help": "length of the warm-up: a share of the run below 1, or a number of updates"},
    )
    total_num_update: Optional[float] = field(
        default=None, metadata={"help": "update at which the rate is 0; default: --max-update"}
    )
    power: float = field(default=1.0, metadata={"help": "exponent of the decay; 1: linear"})
    max_update: int = II("optimization.max_update")
    lr: List[float] = II("optimization.lr")


@register_lr_scheduler("warmup_times_decay", dataclass=WarmupTimesDecayConfig)
class WarmupTimesDecay(FairseqLRScheduler):
    """The product of a linear warm-up and a polynomial decay to 0 that spans the whole run.

    fairseq's polynomial_decay reaches --lr at the end of the warm-up, and decays from there; this one has
    decayed a little by then, and never reaches it.

    Args:
        cfg: its options.
        optimizer: whose learning rate is set; as with all schedulers of fairseq, that of update n + 1 is
            ``rate(n)``.

    Source: google-research/electra model/optimization.py::create_optimizer.
    """

    def __init__(self, cfg: WarmupTimesDecayConfig, optimizer):
        super().__init__(cfg, optimizer)
        if len(cfg.lr) != 1:
            raise InputError(
                "--lr-scheduler warmup_times_decay has one peak; give one --lr, got"
                f" {', '.join(map(str, cfg.lr))}"
            )
        if cfg.warmup_updates < 0 or cfg.power < 0:
            raise InputError(
                f"--warmup-updates and --power must be 0 or more, got {cfg.warmup_updates:g} and"
                f" {cfg.power:g}"
            )
        self.peak = cfg.lr[0]
        self.total = cfg.max_update if cfg.total_num_update is None else cfg.total_num_update
        if self.total < 1:
            raise InputError(
                "--lr-scheduler warmup_times_decay must know how many updates the run has, got"
                f" {self.total:g}; give --max-update or --total-num-update"
            )
        given = cfg.warmup_updates
        self.warmup = given * self.total if given < 1 else given

    def rate(self, update: int) -> float:
        """Return the learning rate after so many updates."""
        left = max(0.0, 1 - update / self.total) ** self.cfg.power
        return self.peak * left * (min(1.0, update / self.warmup) if self.warmup else 1.0)

    def step_update(self, num_updates: int) -> float:
        """Set the learning rate of the next update; ``num_updates`` are done."""
        self.optimizer.set_lr(self.rate(num_updates))
        return self.optimizer.get_lr()
