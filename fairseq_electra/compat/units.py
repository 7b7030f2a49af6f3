"""A change to fairseq's checkpoints: they say in which units their best score is."""

import logging

from fairseq_electra.compat.task_state import extend_checkpoints
from fairseq_electra.pretraining.metrics import IN_PER_CENT

logger = logging.getLogger(__name__)
UNITS = "nats, per cent"
# metrics that had other units in checkpoints that do not say: bits of fairseq's tasks for sentences, shares of 1 in pre-training
CHANGED = {
    "sentence_prediction": ("loss", "nll_loss"),
    "sentence_ranking": ("loss", "nll_loss"),
    "electra_pretraining": IN_PER_CENT,
}


def forget_best_in_other_units() -> None:
    """trainer.py::Trainer.load_checkpoint: hands back the best score so far, in the units of the release that wrote it.

    Compared with today's, any loss below 1.44 times the best would count as better, and replace checkpoint_best.pt.
    """

    def put(trainer, state: dict) -> None:
        state["extra_state"]["units"] = UNITS

    def take(trainer, extra_state: dict, reset_meters: bool) -> None:
        metric = trainer.cfg.checkpoint.best_checkpoint_metric
        if "best" in extra_state and "units" not in extra_state and metric in CHANGED.get(trainer.cfg.task._name, ()):
            best = extra_state.pop("best")
            if trainer.is_data_parallel_master:
                logger.warning(f"the best {metric} so far, {best:g}, has the units of an older release; the next validation counts as best")

    extend_checkpoints("says_units", put, take)
