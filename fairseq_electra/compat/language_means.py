"""A run on several languages is judged by the mean of their validations.

fairseq_cli/train.py::validate, ``tracking_best = subset_idx == 0``, chooses the best checkpoint, and counts
for --patience, by the first of several validation sets. Under --languages that would be one language. Here
the mean over the sets is logged as ``valid``, and stands first in what validate returns, which decides.
"""

import functools
import sys
from typing import Any

from fairseq_electra.compat.replacing import replaced

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
        if len(subsets) < 2 or not getattr(cfg.task, "languages", None):
            return plain(cfg, trainer, task, epoch_itr, subsets)
        found = []

        def get_valid_stats(cfg, trainer, stats, tracking_best):
            found.append(plain_stats(cfg, trainer, stats, False))
            return found[-1]

        with replaced(module, "get_valid_stats", get_valid_stats):
            losses = plain(cfg, trainer, task, epoch_itr, subsets)
        means = mean_of(found, task.logged_metrics(trainer.get_model(), subsets))
        stats = plain_stats(cfg, trainer, means, True)
        _print(cfg, epoch_itr.epoch, stats)
        return [stats[cfg.checkpoint.best_checkpoint_metric], *losses]

    module.validate = validate


def mean_of(stats: list[dict], names: tuple[str, ...]) -> dict[str, float]:
    """Return the means of metrics over validation sets, each of which counts alike."""
    return {name: round(sum(each[name] for each in stats) / len(stats), 4) for name in names}


def _print(cfg, epoch: int, stats: dict) -> None:
    from fairseq.logging import progress_bar

    bar = progress_bar.progress_bar(
        [],
        log_format=cfg.common.log_format,
        epoch=epoch,
        prefix=f"valid on '{MEAN}', the mean of the subsets",
        tensorboard_logdir=cfg.common.tensorboard_logdir,
        default_log_format="simple" if cfg.common.no_progress_bar else "tqdm",
    )
    bar.print(stats, tag=MEAN, step=stats["num_updates"])
