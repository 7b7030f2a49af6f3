"""A change to fairseq's start of a run: the metric that chooses the best checkpoint is one that validation logs."""

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.kinds import KINDS

NEITHER = ("replaced_rate", "gen_entropy", "threshold")  # more is neither better nor worse


def check_before_training() -> None:
    """fairseq_cli/train.py::validate, ``stats[cfg.checkpoint.best_checkpoint_metric]``: is looked up at the end of the first validation.

    A name that is misspelt, or not logged, ended the run in a KeyError there.
    """
    from fairseq.trainer import Trainer

    plain = Trainer.__init__
    if getattr(plain, "checks_metric", False):
        return

    def initialize(self, *args, **kwargs):
        plain(self, *args, **kwargs)
        if not self.cfg.dataset.disable_validation:
            check_metric(self.cfg.checkpoint, logged_metrics(self))

    initialize.checks_metric = True  # type: ignore[attr-defined]
    Trainer.__init__ = initialize


def check_metric(cfg, logged: tuple[str, ...] | None) -> None:
    """Refuse a metric that is not logged, and a direction that would keep the worst checkpoint.

    Args:
        cfg: fairseq's options of checkpoints.
        logged: names of the metrics; None: they are not known.
    """
    name, option = cfg.best_checkpoint_metric, "--maximize-best-checkpoint-metric"
    if logged is None:
        return
    if name not in logged:
        raise InputError(f"--best-checkpoint-metric {name}: validation logs {', '.join(logged)}; name one of these")
    less_is_better = name.endswith("loss")
    if name not in NEITHER and cfg.maximize_best_checkpoint_metric == less_is_better:
        worst, remedy = ("largest", "leave out") if less_is_better else ("smallest", "add")
        raise InputError(f"--best-checkpoint-metric {name}: the best checkpoint would be that with the {worst} {name}; {remedy} {option}")


def logged_metrics(trainer) -> tuple[str, ...] | None:
    """Name the metrics of a validation that can choose a checkpoint, in the tasks of this package and fairseq's tasks for sentences."""
    task, criterion = trainer.task, trainer.cfg.criterion
    if hasattr(task, "logged_metrics"):
        return task.logged_metrics(trainer.get_model(), trainer.cfg.dataset.valid_subset.split(","))
    kind = KINDS.get(str(getattr(criterion, "_name", None)))
    return None if kind is None else kind.logged_metrics(criterion)
