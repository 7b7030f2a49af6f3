"""Changes to fairseq's search for the best checkpoint: a run that is started again still knows how it went before."""

import logging
import sys
from typing import Any

from fairseq_electra.compat.task_state import extend_checkpoints

logger = logging.getLogger(__name__)
FIGURES = ("best", "num_runs")  # what should_stop_early keeps: best score, and validations since


def remember_patience() -> None:
    """fairseq_cli/train.py::should_stop_early, ``should_stop_early.num_runs += 1``: each process begins to count for --patience.

    A run that is started again more often than that never stopped early. And a checkpoint does not say which metric its best score is of:
    under another --best-checkpoint-metric no later score might ever beat it, and checkpoint_best.pt never be written again.
    """
    extend_checkpoints("remembers_patience", note_progress, recall_progress)


def forget() -> None:
    """Forget what the run before, of the same process, has left: the runs of a sweep are made one after the other."""
    from fairseq import checkpoint_utils

    vars(checkpoint_utils.save_checkpoint).pop("best", None)
    for name in FIGURES:
        _counted().pop(name, None)


def note_progress(trainer, state: dict) -> None:
    """Write down which metric decides, and what --patience has counted; see :func:`extend_checkpoints`."""
    state["extra_state"]["best_metric"] = _metric(trainer)
    if trainer.cfg.checkpoint.patience > 0:
        state["extra_state"]["patience"] = {name: value for name, value in _counted().items() if name in FIGURES}


def recall_progress(trainer, extra_state: dict, reset_meters: bool) -> None:
    """Go on with them, or say that the metric is another one now; see :func:`extend_checkpoints`."""
    if reset_meters or trainer.cfg.checkpoint.reset_optimizer:
        return
    before = extra_state.get("best_metric", _metric(trainer))  # older checkpoints do not say
    if before == _metric(trainer):
        _counted().update(extra_state.get("patience", {}))
    elif "best" in extra_state:
        del extra_state["best"]
        if trainer.is_data_parallel_master:
            logger.warning(
                f"the best score so far is of {before['name']}, not of --best-checkpoint-metric {_metric(trainer)['name']} as it is now; "
                "the next validation counts as best"
            )


def reason_to_end(cfg) -> str:
    """Say that --patience has ended the run; empty: it has not. ``cfg``: fairseq's options of checkpoints."""
    counted = _counted().get("num_runs", 0)
    if not 0 < cfg.patience <= counted:
        return ""
    return f"already {counted} validations without a better {cfg.best_checkpoint_metric} (--patience)"


def _metric(trainer) -> dict[str, Any]:
    cfg = trainer.cfg.checkpoint
    return {"name": str(cfg.best_checkpoint_metric), "maximize": bool(cfg.maximize_best_checkpoint_metric)}


def _counted() -> dict[str, Any]:
    """Return what fairseq counts with: attributes of a function, in the program itself where it was started by ``python -m``."""
    for name in ("__main__", "fairseq_cli.train"):
        function = getattr(sys.modules.get(name), "should_stop_early", None)
        if function is not None:
            return vars(function)
    return {}
