"""Scores of several labels for each text, by scikit-learn; a label is given above a probability of 0.5."""

from collections.abc import Sequence

import numpy as np

from fairseq_electra.finetuning.multilabel import METRICS
from fairseq_electra.finetuning.multilabel.folder import read_label_table
from fairseq_electra.finetuning.sentences.scores import SentenceEvaluation


def has_label(logits: np.ndarray) -> np.ndarray:
    """Tell which labels are given: those with the sigmoid of their score above 0.5. Shape kept: (N, K)."""
    return np.asarray(logits) > 0


def score_labels(logits: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """Score labels.

    Args:
        logits: scores. Shape: (N, K).
        target: which labels are right. Shape: (N, K), bool.

    Returns:
        in per cent ``micro_f1``, over all decisions; ``macro_f1``, the mean of each label's F1, which is 0
        for a label that is neither given nor right; and ``exact_match``, the share of texts whose labels are
        all right.

    Source: sklearn.metrics.f1_score.
    """
    from sklearn.metrics import f1_score

    given, target = has_label(logits).astype(int), np.asarray(target).astype(int)
    if target.shape[1] == 1:  # which scikit-learn would take for two classes
        given, target = (np.pad(each, ((0, 0), (0, 1))) for each in (given, target))
        f1 = float(f1_score(target, given, average="micro", zero_division=0))
        micro = macro = f1
    else:
        micro, macro = (
            float(f1_score(target, given, average=average, zero_division=0)) for average in ("micro", "macro")
        )
    exact = float((given == target).all(1).mean())
    return dict(zip(METRICS, (100 * micro, 100 * macro, 100 * exact), strict=True))


class LabelEvaluation(SentenceEvaluation):
    """Scores are logits. Shape: (N, K)."""

    def metrics(
        self, split: str, scores: np.ndarray, valid: np.ndarray | None = None
    ) -> dict[str, float] | None:
        """Compare with the labels, where there are any; nothing has to be chosen on valid."""
        if split in self.info.unlabelled:
            return None
        return score_labels(scores, read_label_table(self.folder, split, self.info))

    def predictions(self, scores: np.ndarray) -> np.ndarray:
        """Return which labels each text is given."""
        return has_label(scores).astype(np.int64)


def labels_in_words(labels: Sequence[str], prediction: Sequence[float]) -> str:
    """Name the labels that a text is given."""
    given = [repr(label) for label, value in zip(labels, prediction, strict=True) if value]
    return " and ".join(given) or "no label"
