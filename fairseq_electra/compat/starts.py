"""The checkpoint to start from is checked before training, and a run that has ended is not trained further.

- checkpoint_utils.py::load_checkpoint trains from random weights where the file of --restore-file does not
  exist. Here that is refused.
- fairseq_cli/train.py::train checks --max-update and --stop-time-hours after an update only, so a run that
  has ended, started again, would do one more update and save it. Here it ends at once.
- A run of a sweep (``fairseq-hydra-train -m``) would be compared with the best score of the runs before it,
  and end by their --patience. Here both are reset.
- --stop-time-hours counts the hours of the checkpoint, even where a new training loads only its weights. Here
  they start at 0 then.
- fairseq_cli/hydra_train.py takes entries that no option of fairseq has, and does nothing with them. Here
  ``+as=...`` is refused.
"""

import functools
import logging
import math
from pathlib import Path

from fairseq_electra.checkpoints import checkpoint_in, missing_checkpoint
from fairseq_electra.compat import patience, schedules
from fairseq_electra.errors import InputError
from fairseq_electra.originals import OF_COMMAND_LINES
from fairseq_electra.resuming import LAST_CHECKPOINT

logger = logging.getLogger(__name__)
RESETS = ("reset_optimizer", "reset_lr_scheduler", "reset_meters", "reset_dataloader")


class NothingLeft:
    """The epoch iterator that fairseq-train gets where there is nothing to train.

    Its loop runs while ``next_epoch_idx <= max_epoch``, which is false for nan, also where no last epoch is
    given.
    """

    next_epoch_idx = math.nan


def check_before_training() -> None:
    """Change checkpoint_utils.py::load_checkpoint."""
    from fairseq import checkpoint_utils

    plain = checkpoint_utils.load_checkpoint

    @functools.wraps(plain)
    def load_checkpoint(cfg, trainer, **passthrough_args):
        patience.reset()
        if "as" in trainer.cfg:
            raise InputError(OF_COMMAND_LINES)
        check_start(cfg, trainer.checkpoint_suffix)
        extra_state, epoch_itr = plain(cfg, trainer, **passthrough_args)
        # a fine-tuning, or --reset-optimizer: earlier hours are those of another training
        if not trainer.get_num_updates():
            trainer._previous_training_time = 0
        ended = reason_to_end(trainer, epoch_itr)
        if not ended:
            schedules.check_schedule(trainer, epoch_itr)
            return extra_state, epoch_itr
        if trainer.is_data_parallel_master:
            logger.info(
                f"{ended}: nothing is left to train, nothing is saved; a larger value continues the run"
            )
        return extra_state, NothingLeft()

    checkpoint_utils.load_checkpoint = load_checkpoint


def check_start(cfg, suffix: str) -> None:
    """Refuse a checkpoint to start from that does not exist, and options that contradict each other.

    Args:
        cfg: fairseq's options of checkpoints.
        suffix: Suffix of the names of this process's checkpoints.

    Raises:
        InputError: The checkpoint does not exist, or the options contradict each other.
    """
    if cfg.finetune_from_model and cfg.restore_file != LAST_CHECKPOINT:
        raise InputError(
            "--finetune-from-model and --restore-file both name a checkpoint to start from; leave out one of"
            " them"
        )
    for name in RESETS:
        if cfg.finetune_from_model and cfg[name]:
            option = f"--{name.replace('_', '-')}"
            raise InputError(
                f"--finetune-from-model loads only the weights, as {option} would; leave {option} out"
            )
    source = find_source(cfg, suffix)
    if source is not None:
        check_checkpoint(*source, folder=cfg.save_dir)


def find_source(cfg, suffix: str) -> tuple[str, str] | None:
    """Find what a run starts from, as fairseq's load_checkpoint does.

    Args:
        cfg: fairseq's options of checkpoints.
        suffix: Suffix of the names of this process's checkpoints.

    Returns:
        The path of a checkpoint, and the option that gives it; None for random weights.
    """
    if cfg.restore_file != LAST_CHECKPOINT:
        return cfg.restore_file.replace(".pt", f"{suffix}.pt"), "--restore-file"
    last = Path(cfg.save_dir, LAST_CHECKPOINT.replace(".pt", f"{suffix}.pt"))
    if last.exists() or last.is_symlink():  # a broken link is not a first start
        return str(last), "--save-dir"
    given = {
        "--continue-once": getattr(cfg, "continue_once", None),
        "--finetune-from-model": cfg.finetune_from_model,
    }
    return next(((path, option) for option, path in given.items() if path is not None), None)


def check_checkpoint(path: str, option: str = "", folder: str = "") -> None:
    """Refuse a path that is not a file.

    Args:
        path: The path of a checkpoint.
        option: The option that gives it.
        folder: A folder in which the file may be meant.

    Raises:
        InputError: There is no such file, or it is a folder.
    """
    from fairseq.file_io import PathManager

    if PathManager.isfile(path):
        return
    if Path(path).is_dir():
        checkpoint = checkpoint_in(Path(path))
        given = f"{option} {path}".strip()
        if checkpoint is None:
            raise InputError(f"{given} is a folder: {missing_checkpoint(Path(path))}; give a checkpoint")
        raise InputError(f"{given} is a folder; give a checkpoint in it, such as {checkpoint}")
    other = Path(folder, path)
    remedy = f"did you mean {other}?" if folder and other.is_file() else "check the path"
    raise InputError(f"no such checkpoint: {path}{f' ({option})' if option else ''}; {remedy}")


def reason_to_end(trainer, epoch_itr) -> str:
    """Explain which option had ended a run before it was started again; the same in every process.

    Args:
        trainer: fairseq's trainer, with the state of the checkpoint.
        epoch_itr: fairseq's iterator of the epoch to continue with.

    Returns:
        The reason; empty if the run has not ended.
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
