r"""A learning rate that warms up, stays constant and decays (WSD): one run serves several budgets.

A cosine or a polynomial must know the length of the run from its first update. Here only the decay does, and
it can start from any checkpoint of the constant part::

    fairseq-train ... --lr-scheduler warmup_stable_decay --warmup-updates 1000 --max-update 100000 \
        --save-dir long
    fairseq-train ... --lr-scheduler warmup_stable_decay --warmup-updates 1000 --start-decay \
        --continue-once long/checkpoint_3_40000.pt --save-dir budget_of_40000
"""

import logging
import math
from dataclasses import dataclass, field
from typing import List, NamedTuple, Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.optim.lr_scheduler import FairseqLRScheduler, register_lr_scheduler
from omegaconf import II, OmegaConf

from fairseq_electra.errors import InputError

logger = logging.getLogger(__name__)
# what is left of the rate when a share t of the decay is done
SHAPES = {"linear": lambda t: 1 - t, "1-sqrt": lambda t: 1 - math.sqrt(t)}


@dataclass
class WarmupStableDecayConfig(FairseqDataclass):
    """Options of ``--lr-scheduler warmup_stable_decay``, named as those of polynomial_decay."""

    warmup_updates: int = field(
        default=0, metadata={"help": "updates in which the learning rate rises linearly from 0 to --lr"}
    )
    total_num_update: Optional[float] = field(
        default=None, metadata={"help": "update at which the decay and the run end; default: --max-update"}
    )
    decay_updates: float = field(
        default=0.1,
        metadata={
            "help": (
                "length of the decay: a share of the run below 1, or a number of updates; 0: none, constant"
                " to the end"
            )
        },
    )
    decay_shape: ChoiceEnum(list(SHAPES)) = field(  # type: ignore[valid-type]
        default="linear",
        metadata={
            "help": "t being the share of the decay that is done, the rate falls as 1 - t, or as 1 - sqrt(t)"
        },
    )
    end_learning_rate: float = field(default=0.0, metadata={"help": "learning rate at the end of the decay"})
    start_decay: bool = field(
        default=False,
        metadata={
            "help": (
                "start the decay at the checkpoint that this run resumes from (--continue-once or "
                "--restore-file); the run ends "
                "with it, --max-update and --total-num-update are not used"
            )
        },
    )
    max_update: int = II("optimization.max_update")
    lr: List[float] = II("optimization.lr")


class Decay(NamedTuple):
    """A decay: its first update, its number of updates, and whether --start-decay started it."""

    start: int
    updates: int
    by_option: bool

    @property
    def end(self) -> int:
        """Update after which the rate is that of the end."""
        return self.start + self.updates


@register_lr_scheduler("warmup_stable_decay", dataclass=WarmupStableDecayConfig)
class WarmupStableDecay(FairseqLRScheduler):
    """Linear warm-up, constant learning rate, then a decay, linear or as 1 - sqrt.

    A decay that has begun is part of the checkpoint and continues as it began, whatever the options of the
    resumed run say.

    Args:
        cfg: its options.
        optimizer: whose learning rate is set; as with all schedulers of fairseq, that of update n + 1 is
            ``rate(n)``.

    Source: Hägele et al. 2024 (arXiv 2405.18392), section 3 and equation 1; a decay of 10 to 20 % of the run
    suffices.
    """

    def __init__(self, cfg: WarmupStableDecayConfig, optimizer):
        super().__init__(cfg, optimizer)
        _check(cfg)
        self.peak, self.num_updates = cfg.lr[0], 0
        self._checks_next_update = self._continues = False  # of the first update after a checkpoint
        self.decay: Optional[Decay] = None
        self._asked_end = 0  # of the options; 0: they name none
        if not cfg.start_decay:
            total = int(cfg.max_update if cfg.total_num_update is None else cfg.total_num_update)
            if total < 1:
                raise InputError(
                    "--lr-scheduler warmup_stable_decay must know how many updates the run has, got "
                    f"{total}; give --max-update or "
                    "--total-num-update"
                )
            updates = _count(cfg.decay_updates, total * cfg.decay_updates)
            if cfg.warmup_updates + updates > total:
                raise InputError(
                    f"--warmup-updates {cfg.warmup_updates} and a decay of {updates} updates are longer than "
                    f"the run of {total} updates; "
                    "shorten one of them or give a larger --total-num-update"
                )
            self.decay = Decay(total - updates, updates, False) if updates else None
            self._asked_end = total
            self._end_run(total)

    def rate(self, update: int) -> float:
        """Return the learning rate after so many updates."""
        if self.decay is None or update <= self.decay.start:
            return (
                self.peak * min(1.0, update / self.cfg.warmup_updates)
                if self.cfg.warmup_updates
                else self.peak
            )
        done = min(1.0, (update - self.decay.start) / self.decay.updates)
        end = self.cfg.end_learning_rate
        return end + (self.rate(self.decay.start) - end) * SHAPES[str(self.cfg.decay_shape)](done)

    def step_begin_epoch(self, epoch: int) -> None:
        """Refuse --start-decay where no checkpoint was loaded; the rate does not depend on the epoch."""
        if self.cfg.start_decay and self.decay is None:
            raise InputError(
                "--start-decay found no checkpoint to resume from; name one with --continue-once or"
                " --restore-file"
            )

    def step_update(self, num_updates: int) -> float:
        """Set the learning rate of the next update.

        Args:
            num_updates: done so far. fairseq tells it here first when it resumes, after
                :meth:`load_state_dict`.
        """
        self.num_updates = num_updates
        if self.cfg.start_decay and self.decay is None and num_updates > 0:
            share = self.cfg.decay_updates
            # a share of the run that ends with this decay
            of_whole = num_updates * share / (1 - share) if share < 1 else 0.0
            self._continue(Decay(num_updates, _count(share, of_whole), True))
        if self._checks_next_update and self.decay is not None and num_updates > self.decay.start:
            raise InputError(
                f"a decay from update {self.decay.start} to {self.decay.end} would begin before the "
                "checkpoint, which is of update "
                f"{num_updates}; give --start-decay to start it there, or a larger --total-num-update"
            )
        if self._continues and self.decay is not None and self.decay.end <= num_updates < self._asked_end:
            raise InputError(
                f"the run ended with its decay, from update {self.decay.start} to {self.decay.end}, and this"
                f" line asks for {self._asked_end}; go on from a checkpoint of update {self.decay.start} or"
                " before with --continue-once, or begin another schedule with --reset-lr-scheduler"
            )
        self._checks_next_update = self._continues = False
        self.optimizer.set_lr(self.rate(num_updates))
        return self.optimizer.get_lr()

    def state_dict(self) -> dict:
        """Return fairseq's own state and the decay, once it has begun."""
        begun = self.decay is not None and (self.decay.by_option or self.num_updates > self.decay.start)
        return {
            **super().state_dict(),
            "decay": self.decay._asdict() if self.decay is not None and begun else None,
        }

    def load_state_dict(self, state_dict: dict) -> None:
        """Continue a decay that had begun; the state may be another scheduler's."""
        super().load_state_dict(state_dict)
        self._checks_next_update = state_dict.get("decay") is None
        if self._checks_next_update:
            return
        begun = Decay(**state_dict["decay"])
        if self.cfg.start_decay and not begun.by_option:
            raise InputError(
                f"--start-decay: the checkpoint is already within a decay, from update {begun.start} to "
                f"{begun.end}; "
                f"give a checkpoint of update {begun.start} or before"
            )
        self._continues = True
        self._continue(begun)

    def _continue(self, decay: Decay) -> None:
        self.decay = decay
        self._end_run(decay.end, whatever=decay.by_option)
        logger.info(f"the learning rate decays from update {decay.start} to {decay.end}, where the run ends")

    def _end_run(self, update: int, whatever: bool = False) -> None:
        """End the run at an update, or at --max-update if that is earlier and not ``whatever``."""
        run = self.cfg._get_parent() if OmegaConf.is_config(self.cfg) else None
        if run is not None and "optimization" in run:
            given = run.optimization.max_update
            run.optimization.max_update = update if whatever or not given else min(given, update)


def _count(given: float, of_share: float) -> int:
    """Updates of a decay, given as a share or as a number."""
    return max(1, round(of_share)) if 0 < given < 1 else int(given)


def _check(cfg: WarmupStableDecayConfig) -> None:
    if len(cfg.lr) != 1:
        raise InputError(
            "--lr-scheduler warmup_stable_decay has one peak; give one --lr, got"
            f" {', '.join(map(str, cfg.lr))}"
        )
    if cfg.warmup_updates < 0:
        raise InputError(f"--warmup-updates must be 0 or more, got {cfg.warmup_updates}")
    if not 0 <= cfg.end_learning_rate <= cfg.lr[0]:
        raise InputError(
            f"--end-learning-rate must lie between 0 and --lr {cfg.lr[0]}, got {cfg.end_learning_rate}"
        )
    given = cfg.decay_updates
    if not 0 <= given < math.inf or (given >= 1 and given != int(given)):
        raise InputError(
            f"--decay-updates must be a share below 1 or a whole number of updates, got {given}; a tenth of"
            " the run: .1"
        )
    if cfg.start_decay and given == 0:
        raise InputError(
            "--start-decay with --decay-updates 0 has nothing to do; give the length of the decay, such as .1"
        )
