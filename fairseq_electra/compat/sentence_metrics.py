"""The metrics of fairseq's tasks for sentences, of several processes and single examples, and in nats."""

import functools
import math

import numpy as np

from fairseq_electra.compat.replacing import Overlay


def gather_predictions() -> None:
    """Gather the predictions of all processes.

    criterions/sentence_prediction.py::logging_outputs_can_be_summed, ``return True``: with --report-mcc and
    the like, the outputs hold lists of predictions, which cannot be summed, and a run of several processes
    fails. Here they are gathered.
    """
    from fairseq.criterions.sentence_prediction import SentencePredictionCriterion

    def can_be_summed(self) -> bool:
        return not self.keep_pred_and_targ or self.training

    SentencePredictionCriterion.logging_outputs_can_be_summed = can_be_summed


def correlate_single_examples() -> None:
    """Compute the correlation of a batch of one example.

    criterions/sentence_prediction.py::pearson_and_spearman: scipy refuses a single example, and the run ends.
    Here the correlation of one example, or with a constant, is 0, as in finetuning/sentences/metrics.py.
    """
    from fairseq.criterions import sentence_prediction

    plain = getattr(sentence_prediction, "pearson_and_spearman", None)
    if plain is None:  # fairseq 0.12.2 does not correlate
        return

    @functools.wraps(plain)
    def pearson_and_spearman(preds, labels):
        if len(preds) < 2 or min(np.ptp(preds), np.ptp(labels)) == 0:
            return {"pearson": 0.0, "spearmanr": 0.0, "corr": 0.0}
        return plain(preds, labels)

    sentence_prediction.pearson_and_spearman = pearson_and_spearman


def log_losses_in_nats() -> None:
    """Log losses in nats.

    criterions/sentence_prediction.py and sentence_ranking.py::reduce_metrics, ``/ math.log(2)``, log losses
    in bits. All other tasks of this package log nats, the unit that the loss is computed in, and a mean
    squared error has no such unit at all.
    """
    from fairseq.criterions import sentence_prediction, sentence_ranking

    for module in (sentence_prediction, sentence_ranking):
        module.metrics = _in_nats(module.metrics)


def _in_nats(metrics) -> Overlay:
    """Return fairseq's ``metrics`` with a ``log_scalar`` that converts losses from bits."""

    def log_scalar(key: str, value, *args, **kwargs) -> None:
        metrics.log_scalar(key, value * math.log(2) if key.endswith("loss") else value, *args, **kwargs)

    return Overlay(metrics, log_scalar=log_scalar)
