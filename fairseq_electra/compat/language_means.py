"""A run on several languages is judged by the mean of their validations.

fairseq_cli/train.py::validate, ``tracking_best = subset_idx == 0``, chooses the best checkpoint, and counts
for --patience, by the first of several validation sets. Under --languages that would be one language. Here
the mean over them is logged as ``valid``, and stands first in what validate returns, which decides.
"""

import functools
import logging
import math
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fairseq_electra.compat.replacing import replaced
from fairseq_electra.pretraining.languages import parse_languages

logger = logging.getLogger(__name__)

MEAN = "valid"  # the name of the mean in the log


def judge_by_mean_of_languages() -> None:
    """Change fairseq_cli/train.py::validate, also where ``python -m`` has it in the module ``__main__``."""
    from fairseq_cli import train

    for module in {train, sys.modules["__main__"]}:
        if hasattr(module, "validate_and_save"):
            _change(module)


def _change(module: Any) -> None:
    plain, plain_stats = module.validate, module.get_valid_stats

    @functools.wraps(plain)
    def validate(cfg, trainer, task, epoch_itr, subsets):
        if len(parse_languages(getattr(cfg.task, "languages", None))) < 2 or len(subsets) < 2:
            return plain(cfg, trainer, task, epoch_itr, subsets)
        found = []

        def get_valid_stats(cfg, trainer, stats, tracking_best):
            found.append(plain_stats(cfg, trainer, stats, False))
            return found[-1]

        with replaced(module, "get_valid_stats", get_valid_stats):
            losses = plain(cfg, trainer, task, epoch_itr, subsets)
        names = task.logged_metrics(trainer.get_model(), subsets)
        means = mean_of(dict(zip(subsets, found, strict=True)), names)
        stats = plain_stats(cfg, trainer, means, True)
        _print(cfg, epoch_itr.epoch, stats)
        return [stats[cfg.checkpoint.best_checkpoint_metric], *losses]

    module.validate = validate


def mean_of(stats: Mapping[str, Mapping[str, float | None]], names: Iterable[str]) -> dict[str, float]:
    """Return the means of metrics over languages, each of which counts alike.

    A validation in which a metric is no finite number, as in too little text, is left out of its mean; a
    warning says so.

    Args:
        stats: the metrics of each validation set, by its name, such as ``en/valid``. Sets of one language
            count together as much as one set of another.
        names: the metrics.
    """
    means = {}
    for name in names:
        of_languages: dict[str, list[float]] = {}
        for subset, found in stats.items():
            value = found.get(name)
            if value is None or not math.isfinite(value):
                _warn_of_missing(subset, name)
            else:
                of_languages.setdefault(str(Path(subset).parent), []).append(value)
        each = [sum(values) / len(values) for values in of_languages.values()]
        means[name] = round(sum(each) / len(each), 4) if each else math.nan
    return means


@functools.cache
def _warn_of_missing(subset: str, name: str) -> None:
    logger.warning(
        f"{subset} has no number for {name}, so the mean of the languages leaves it out; give more text there"
    )


def _print(cfg, epoch: int, stats: dict) -> None:
    """Log the mean as fairseq_cli/train.py::validate logs each validation."""
    from fairseq.distributed import utils as distributed_utils
    from fairseq.logging import progress_bar

    common, is_master = cfg.common, distributed_utils.is_master(cfg.distributed_training)
    bar = progress_bar.progress_bar(
        [],
        log_format=common.log_format,
        log_interval=common.log_interval,
        epoch=epoch,
        prefix=f"valid on '{MEAN}', the mean of the languages",
        aim_repo=common.aim_repo if is_master else None,
        aim_run_hash=common.aim_run_hash if is_master else None,
        aim_param_checkpoint_dir=cfg.checkpoint.save_dir,
        tensorboard_logdir=common.tensorboard_logdir if is_master else None,
        default_log_format="simple" if common.no_progress_bar else "tqdm",
        wandb_project=common.wandb_project if is_master else None,
        wandb_run_name=os.environ.get("WANDB_NAME", Path(cfg.checkpoint.save_dir).name),
    )
    bar.print(stats, tag=MEAN, step=stats["num_updates"])
