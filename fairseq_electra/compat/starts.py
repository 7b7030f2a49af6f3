"""Changes to fairseq's start of a run: the checkpoint that was asked for is there, and a run that has ended is not trained on."""

import functools
import logging
import math
from pathlib import Path

from fairseq_electra.checkpoints import CHECKPOINTS, without
from fairseq_electra.compat import patience, schedules
from fairseq_electra.errors import InputError

logger = logging.getLogger(__name__)
LAST = "checkpoint_last.pt"  # default of --restore-file, which stands for the one in --save-dir
RESETS = ("reset_optimizer", "reset_lr_scheduler", "reset_meters", "reset_dataloader")


class NothingLeft:
    """What fairseq-train gets for an epoch's iterator where there is nothing to train.

    Its loop asks ``next_epoch_idx <= max_epoch``, which nan answers with no, also where there is no last epoch.
    """

    next_epoch_idx = math.nan


def look_before_training() -> None:
    """checkpoint_utils.py::load_checkpoint: trains from random weights where the file of --restore-file is not there.

    And fairseq_cli/train.py::train looks at --max-update and --stop-time-hours behind an update only: a run that has ended, started
    again, would do one more and save it. And a run of a sweep (``fairseq-hydra-train -m``) would be compared with the best score of the
    runs before it, and end by their --patience. To --stop-time-hours the hours of the checkpoint count, also where a new training
    takes its weights alone.
    """
    from fairseq import checkpoint_utils

    plain = checkpoint_utils.load_checkpoint

    @functools.wraps(plain)
    def load_checkpoint(cfg, trainer, **passthrough_args):
        patience.forget()
        check_start(cfg, trainer.checkpoint_suffix)
        extra_state, epoch_itr = plain(cfg, trainer, **passthrough_args)
        if not trainer.get_num_updates():  # a fine-tuning, or --reset-optimizer: the hours before it were another training's
            trainer._previous_training_time = 0
        ended = reason_to_end(trainer, epoch_itr)
        if not ended:
            schedules.check_schedule(trainer, epoch_itr)
            return extra_state, epoch_itr
        if trainer.is_data_parallel_master:
            logger.info(f"{ended}: nothing is left to train, nothing is saved; a larger one lets the run go on")
        return extra_state, NothingLeft()

    checkpoint_utils.load_checkpoint = load_checkpoint


def check_start(cfg, suffix: str) -> None:
    """Refuse a checkpoint to start from that is not there, and two ways to start.

    Args:
        cfg: fairseq's options of checkpoints.
        suffix: of the names of this process's checkpoints.
    """
    if cfg.finetune_from_model and cfg.restore_file != LAST:
        raise InputError("--finetune-from-model and --restore-file both name a checkpoint to start from; leave out one of them")
    for name in RESETS:
        if cfg.finetune_from_model and cfg[name]:
            option = f"--{name.replace('_', '-')}"
            raise InputError(f"--finetune-from-model takes the weights alone, as {option} would; leave {option} out")
    source = source_of(cfg, suffix)
    if source is not None:
        check_checkpoint(*source, folder=cfg.save_dir)


def source_of(cfg, suffix: str) -> tuple[str, str] | None:
    """Find what a run starts from, as fairseq's load_checkpoint does: a path, and the option that names it; None: from nothing."""
    if cfg.restore_file != LAST:
        return cfg.restore_file.replace(".pt", f"{suffix}.pt"), "--restore-file"
    last = Path(cfg.save_dir, LAST.replace(".pt", f"{suffix}.pt"))
    if last.exists() or last.is_symlink():  # a link to a file that is gone is no first start
        return str(last), "--save-dir"
    given = {"--continue-once": getattr(cfg, "continue_once", None), "--finetune-from-model": cfg.finetune_from_model}
    return next(((path, option) for option, path in given.items() if path is not None), None)


def check_checkpoint(path: str, option: str = "", folder: str = "") -> None:
    """Refuse a path that is no file.

    Args:
        path: of a checkpoint.
        option: that names it.
        folder: where a file of that name may be meant.
    """
    from fairseq.file_io import PathManager

    if PathManager.isfile(path):
        return
    if Path(path).is_dir():
        found = next((Path(path) / name for name in CHECKPOINTS if Path(path, name).is_file()), None)
        named = f"{option} {path}".strip()
        if found is None:
            raise InputError(f"{named} is a folder: {without(Path(path))}; name a checkpoint")
        raise InputError(f"{named} is a folder; name a checkpoint in it, such as {found}")
    meant = Path(folder, path)
    remedy = f"perhaps {meant} is meant" if folder and meant.is_file() else "check the path"
    raise InputError(f"no such checkpoint: {path}{f' ({option})' if option else ''}; {remedy}")


def reason_to_end(trainer, epoch_itr) -> str:
    """Say by which option a run has ended before it was started again; empty: it has not. Every process says the same.

    Args:
        trainer: fairseq's, with the checkpoint's state.
        epoch_itr: fairseq's, of the epoch to go on with.
    """
    options, updates = trainer.cfg.optimization, trainer.get_num_updates()
    if not updates:
        return ""
    if options.max_update and updates >= options.max_update:
        return f"already at {updates:,} of {options.max_update:,} updates (--max-update)"
    if options.max_epoch and epoch_itr.next_epoch_idx > options.max_epoch:
        return f"already at the end of {options.max_epoch} of {options.max_epoch} epochs (--max-epoch)"
    hours = trainer._previous_training_time / 3600
    if 0 < options.stop_time_hours < hours:
        return f"already trained for {hours:.2f} of {options.stop_time_hours:g} hours (--stop-time-hours)"
    return patience.reason_to_end(trainer.cfg.checkpoint)
