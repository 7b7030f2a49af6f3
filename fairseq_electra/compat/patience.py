"""``--patience`` and ``--best-checkpoint-metric`` take the validations before a restart into account.

fairseq_cli/train.py::should_stop_early, ``should_stop_early.num_runs += 1``, counts within a process, so a
run that is restarted more often than --patience never stops early. And a checkpoint does not record which
metric its best score is of, and on which text: under another --best-checkpoint-metric, or on other text, no
later score might ever be better, and checkpoint_best.pt would never be written again. Here checkpoints record
all of these.
"""

import logging
import sys
from typing import Any

from fairseq_electra.compat.same_run import validation_data_of
from fairseq_electra.compat.task_state import extend_checkpoints

logger = logging.getLogger(__name__)
COUNTERS = ("best", "num_runs")  # attributes of should_stop_early: the best score, and validations since then


def keep_patience_across_restarts() -> None:
    """Change trainer.py::Trainer.state_dict and load_checkpoint."""
    extend_checkpoints(write_counters, read_counters)


def reset() -> None:
    """Reset the counters of an earlier run in the same process, as a sweep has."""
    from fairseq import checkpoint_utils

    vars(checkpoint_utils.save_checkpoint).pop("best", None)
    for name in COUNTERS:
        _counters().pop(name, None)


def write_counters(trainer, state: dict) -> None:
    """Record the metric, and what --patience has counted; see :func:`extend_checkpoints`."""
    state["extra_state"]["best_metric"] = _metric(trainer)
    if trainer.cfg.checkpoint.patience > 0:
        state["extra_state"]["patience"] = {
            name: value for name, value in _counters().items() if name in COUNTERS
        }


def read_counters(trainer, extra_state: dict, reset_meters: bool) -> None:
    """Restore the counters, or warn that the metric is another one now; see :func:`extend_checkpoints`."""
    if reset_meters or trainer.cfg.checkpoint.reset_optimizer:
        return
    now = _metric(trainer)
    before = now | extra_state.get("best_metric", {})  # older checkpoints record less
    if before == now:
        _counters().update(extra_state.get("patience", {}))
    elif "best" in extra_state:
        del extra_state["best"]
        other = f"{before['name']}, not of --best-checkpoint-metric {now['name']}"
        if before["name"] == now["name"]:
            other = "other validation text, or rows of another length"
        if trainer.is_data_parallel_master:
            logger.warning(f"the best score so far is of {other}; the next validation counts as best")


def reason_to_end(cfg) -> str:
    """Explain that --patience has ended the run.

    Args:
        cfg: fairseq's options of checkpoints.

    Returns:
        The reason; empty if --patience has not ended the run.
    """
    counted = _counters().get("num_runs", 0)
    if not 0 < cfg.patience <= counted:
        return ""
    return f"already {counted} validations without a better {cfg.best_checkpoint_metric} (--patience)"


def _metric(trainer) -> dict[str, Any]:
    cfg = trainer.cfg.checkpoint
    return {
        "name": str(cfg.best_checkpoint_metric),
        "maximize": bool(cfg.maximize_best_checkpoint_metric),
        "text": validation_data_of(trainer),
        "tokens_per_sample": getattr(trainer.cfg.task, "tokens_per_sample", None),
    }


def _counters() -> dict[str, Any]:
    """Return the attributes of fairseq's function; ``python -m`` has it in the module ``__main__``."""
    for name in ("__main__", "fairseq_cli.train"):
        function = getattr(sys.modules.get(name), "should_stop_early", None)
        if function is not None:
            return vars(function)
    return {}
