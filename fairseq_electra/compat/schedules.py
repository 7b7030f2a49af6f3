"""A learning-rate schedule that does not fit the run is refused, or warned of, before training.

fairseq's schedulers (optim/lr_scheduler/) ignore --max-update and --max-epoch, so a run may train its last
updates with a rate of 0, or end within its warm-up. compat/starts.py calls :func:`check_schedule`.
"""

import logging
import math

from fairseq_electra.errors import InputError

logger = logging.getLogger(__name__)
WARMUPS = ("warmup_updates", "warmup_steps")  # the second is that of tri_stage
END_AT_ZERO = ("polynomial_decay", "warmup_times_decay")  # at --total-num-update, unless told otherwise
TOLERANCE = 0.1  # share of the updates, where epochs determine their number: recipes round it


def check_schedule(trainer, epoch_itr) -> None:
    """Refuse a rate of 0 in the last updates of a run; warn of a warm-up that is longer than the run.

    Args:
        trainer: fairseq's trainer, with its learning-rate scheduler.
        epoch_itr: fairseq's iterator of the first epoch.

    Raises:
        InputError: --max-update exceeds the end of a schedule that ends at 0. Where epochs, hours or nothing
            at all end the run, it is a warning.
    """
    options, updates = trainer.cfg.optimization, updates_of_run(trainer, epoch_itr)
    by_max_update = (
        bool(options.max_update) and updates == options.max_update and options.stop_time_hours <= 0
    )
    idle = idle_updates(trainer.cfg, updates)
    if idle > (0 if by_max_update or math.isinf(updates) else TOLERANCE * updates):
        which = (
            "all updates after that"
            if math.isinf(updates)
            else f"the last {idle:,.0f} of {updates:,.0f} updates"
        )
        sentence = (
            f"--total-num-update {trainer.cfg.lr_scheduler.total_num_update:.0f}: the learning rate is 0 in "
            f"{which}; "
            "give the run's number of updates, or an --end-learning-rate above 0"
        )
        if by_max_update:
            raise InputError(sentence)
        _warn(trainer, sentence)
    warmup = max((getattr(trainer.cfg.lr_scheduler, name, 0) or 0 for name in WARMUPS), default=0)
    if warmup >= updates:
        _warn(
            trainer,
            f"the warm-up takes {warmup:,.0f} updates and the run {updates:,.0f}: the learning rate never"
            " reaches --lr",
        )


def updates_of_run(trainer, epoch_itr) -> float:
    """Compute the number of updates that a run will have done at its end; infinite where it is unknown.

    The length of an epoch is known at the first start, with a single data folder. A resumed run was checked
    then.
    """
    options = trainer.cfg.optimization
    by_updates = options.max_update or math.inf
    if not options.max_epoch:
        return by_updates
    if trainer.get_num_updates() or trainer.task.has_sharded_data("train"):
        return by_updates if options.max_update else math.nan
    per_epoch = [*options.update_freq[: options.max_epoch]]
    per_epoch += per_epoch[-1:] * (options.max_epoch - len(per_epoch))
    return min(by_updates, sum(math.ceil(len(epoch_itr) / update_freq) for update_freq in per_epoch))


def idle_updates(cfg, updates: float) -> float:
    """Return the number of updates with a rate of 0 at the end of a run; 0 also where --stop-min-lr ends it.

    Args:
        cfg: fairseq's configuration.
        updates: Number of updates of the run.
    """
    schedule = cfg.lr_scheduler
    if (
        getattr(schedule, "_name", None) not in END_AT_ZERO
        or getattr(schedule, "end_learning_rate", 0) > 0
        or cfg.optimization.stop_min_lr >= 0
        or schedule.total_num_update is None  # it ends with the run
    ):
        return 0
    return max(0, updates - schedule.total_num_update)


def _warn(trainer, sentence: str) -> None:
    if trainer.is_data_parallel_master:
        logger.warning(sentence)
