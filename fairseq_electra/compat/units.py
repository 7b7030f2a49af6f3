"""The best score of a checkpoint is compared with scores in the same units alone.

trainer.py::Trainer.load_checkpoint returns the best score so far in the units of the release that wrote it.
Compared with scores of today, any loss below 1.44 times the best would count as better, and replace
checkpoint_best.pt. Here checkpoints record their units, and a best score in other units is dropped.
"""

import logging

from fairseq_electra.compat.task_state import extend_checkpoints
from fairseq_electra.pretraining.metrics import IN_PER_CENT

logger = logging.getLogger(__name__)
UNITS = "nats, per cent"
# metrics that had other units in checkpoints without a record: bits in fairseq's tasks for sentences, and
# shares of 1 in pre-training
CHANGED = {
    "sentence_prediction": ("loss", "nll_loss"),
    "sentence_ranking": ("loss", "nll_loss"),
    "electra_pretraining": IN_PER_CENT,
}


def drop_best_score_in_old_units() -> None:
    """Change trainer.py::Trainer.state_dict and load_checkpoint."""

    def write(trainer, state: dict) -> None:
        state["extra_state"]["units"] = UNITS

    def read(trainer, extra_state: dict, reset_meters: bool) -> None:
        metric = trainer.cfg.checkpoint.best_checkpoint_metric
        if (
            "best" in extra_state
            and "units" not in extra_state
            and metric in CHANGED.get(trainer.cfg.task._name, ())
        ):
            best = extra_state.pop("best")
            if trainer.is_data_parallel_master:
                logger.warning(
                    f"the best {metric} so far, {best:g}, has the units of an older release; the next"
                    " validation counts as best"
                )

    extend_checkpoints(write, read)
