"""``--best-checkpoint-metric`` is checked before training.

fairseq_cli/train.py::validate, ``stats[cfg.checkpoint.best_checkpoint_metric]``, looks it up at the end of
the first validation. A name that is misspelt, or is not logged, ends the run there with a KeyError. Here the
trainer checks that validation logs the metric, and that the best checkpoint is not the worst one.
"""

import functools

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.kinds import KINDS

NEITHER = ("replaced_rate", "gen_entropy", "threshold")  # larger is neither better nor worse


def check_best_metric() -> None:
    """Change trainer.py::Trainer.__init__."""
    from fairseq.trainer import Trainer

    plain = Trainer.__init__

    @functools.wraps(plain)
    def initialize(self, *args, **kwargs):
        plain(self, *args, **kwargs)
        if not self.cfg.dataset.disable_validation:
            check_metric(self.cfg.checkpoint, logged_metrics(self))

    Trainer.__init__ = initialize


def check_metric(cfg, logged: tuple[str, ...] | None) -> None:
    """Refuse a metric that is not logged, and a direction that would keep the worst checkpoint.

    Args:
        cfg: fairseq's options of checkpoints.
        logged: Names of the metrics that validation logs; None: unknown.

    Raises:
        InputError: The metric cannot choose the best checkpoint.
    """
    name, option = cfg.best_checkpoint_metric, "--maximize-best-checkpoint-metric"
    if logged is None:
        return
    if name not in logged:
        raise InputError(
            f"--best-checkpoint-metric {name}: validation logs {', '.join(logged)}; name one of these"
        )
    less_is_better = name.endswith("loss")
    if name not in NEITHER and cfg.maximize_best_checkpoint_metric == less_is_better:
        worst, remedy = ("largest", "leave out") if less_is_better else ("smallest", "add")
        raise InputError(
            f"--best-checkpoint-metric {name}: the checkpoint with the {worst} {name} would count as the"
            f" best; {remedy} {option}"
        )


def logged_metrics(trainer) -> tuple[str, ...] | None:
    """Return the metrics of a validation that can choose a checkpoint.

    They are known for the tasks of this package and for fairseq's tasks for sentences; None for other tasks.
    """
    task, criterion = trainer.task, trainer.cfg.criterion
    if hasattr(task, "logged_metrics"):
        return task.logged_metrics(trainer.get_model(), trainer.cfg.dataset.valid_subset.split(","))
    kind = KINDS.get(str(getattr(criterion, "_name", None)))
    return None if kind is None else kind.logged_metrics(criterion)
