"""A change to fairseq's start of a run: learning rates that cannot be meant are not trained with in silence."""

import logging
import math

from fairseq_electra.errors import InputError

logger = logging.getLogger(__name__)
WARMUPS = ("warmup_updates", "warmup_steps")  # the second: tri_stage
TOLERANCE = 0.1  # of a run whose updates follow from its epochs: recipes round


def check_schedule(trainer, epoch_itr) -> None:
    """Refuse a rate of 0 in the last updates of a run; warn of a warm-up that is longer than the run.

    fairseq's schedulers know nothing of --max-update and --max-epoch.

    Args:
        trainer: fairseq's, with its learning-rate scheduler.
        epoch_itr: fairseq's, of the epoch to begin with.

    Raises:
        InputError: --max-update goes beyond the end of a schedule that ends at 0. Where epochs, hours or nothing at all end the run, it is
            warned of.
    """
    options, updates = trainer.cfg.optimization, updates_of_run(trainer, epoch_itr)
    ends_there = bool(options.max_update) and updates == options.max_update and options.stop_time_hours <= 0
    idle = idle_updates(trainer.cfg, updates)
    if idle > (0 if ends_there or math.isinf(updates) else TOLERANCE * updates):
        which = "all updates behind that" if math.isinf(updates) else f"the last {idle:,.0f} of {updates:,.0f} updates"
        sentence = (
            f"--total-num-update {trainer.cfg.lr_scheduler.total_num_update:.0f}: the learning rate is 0 in {which}; "
            "give the run's number of updates, or an --end-learning-rate above 0"
        )
        if ends_there:
            raise InputError(sentence)
        _warn(trainer, sentence)
    warmup = max((getattr(trainer.cfg.lr_scheduler, name, 0) or 0 for name in WARMUPS), default=0)
    if warmup >= updates:
        _warn(trainer, f"the warm-up takes {warmup:,} updates and the run {updates:,.0f}: the learning rate never comes up to --lr")


def updates_of_run(trainer, epoch_itr) -> float:
    """Find how many updates a run will have done at its end; infinite where that is not known.

    What its epochs have is known at its first start, with a single data folder; a run that is resumed has been looked at before.
    """
    options = trainer.cfg.optimization
    by_updates = options.max_update or math.inf
    if not options.max_epoch:
        return by_updates
    if trainer.get_num_updates() or trainer.task.has_sharded_data("train"):
        return by_updates if options.max_update else math.nan
    of_epochs = [*options.update_freq[: options.max_epoch]]
    of_epochs += of_epochs[-1:] * (options.max_epoch - len(of_epochs))
    return min(by_updates, sum(math.ceil(len(epoch_itr) / update_freq) for update_freq in of_epochs))


def idle_updates(cfg, updates: float) -> float:
    """Count the updates with a rate of 0 at the end of a run of so many; 0 where its scheduler has none, or --stop-min-lr ends it."""
    schedule = cfg.lr_scheduler
    if getattr(schedule, "_name", None) != "polynomial_decay" or schedule.end_learning_rate > 0 or cfg.optimization.stop_min_lr >= 0:
        return 0
    return max(0, updates - schedule.total_num_update)


def _warn(trainer, sentence: str) -> None:
    if trainer.is_data_parallel_master:
        logger.warning(sentence)
