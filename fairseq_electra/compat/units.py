"""A change to fairseq's checkpoints: they say in which units their best score is."""

import functools
import logging

logger = logging.getLogger(__name__)
UNITS = "nats, per cent"
# metrics that had other units in checkpoints that do not say: bits of fairseq's tasks for sentences, shares of 1 in pre-training
CHANGED = {
    "sentence_prediction": ("loss", "nll_loss"),
    "sentence_ranking": ("loss", "nll_loss"),
    "electra_pretraining": (
        *("masked_lm_accuracy", "mask_token_accuracy", "sampled_masked_lm_accuracy"),
        *("disc_accuracy", "disc_precision", "disc_recall"),
    ),
}


def forget_best_in_other_units() -> None:
    """trainer.py::Trainer.load_checkpoint: hands back the best score so far, in the units of the release that wrote it.

    Compared with today's, any loss below 1.44 times the best would count as better, and replace checkpoint_best.pt.
    """
    from fairseq.trainer import Trainer

    plain_state, plain_load = Trainer.state_dict, Trainer.load_checkpoint
    if getattr(plain_state, "says_units", False):
        return

    @functools.wraps(plain_state)  # with the marks of other changes
    def state_dict(self):
        state = plain_state(self)
        state["extra_state"]["units"] = UNITS
        return state

    @functools.wraps(plain_load)
    def load_checkpoint(self, *args, **kwargs):
        extra_state = plain_load(self, *args, **kwargs)
        metric = self.cfg.checkpoint.best_checkpoint_metric
        if extra_state and "best" in extra_state and "units" not in extra_state and metric in CHANGED.get(self.cfg.task._name, ()):
            best = extra_state.pop("best")
            if self.is_data_parallel_master:
                logger.warning(f"the best {metric} so far, {best:g}, has the units of an older release; the next validation counts as best")
        return extra_state

    state_dict.says_units = True  # type: ignore[attr-defined]
    Trainer.state_dict, Trainer.load_checkpoint = state_dict, load_checkpoint
