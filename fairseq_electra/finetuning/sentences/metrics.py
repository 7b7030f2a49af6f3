"""GLUE's metrics, by scikit-learn and scipy, in per cent."""

from collections.abc import Callable, Sequence

import numpy as np

from fairseq_electra.errors import InputError


def _accuracy(predicted: np.ndarray, target: np.ndarray) -> float:
    return float((predicted == target).mean())


def _f1(predicted: np.ndarray, target: np.ndarray) -> float:
    from sklearn.metrics import f1_score

    return f1_score(target, predicted, zero_division=0)


def _macro_f1(predicted: np.ndarray, target: np.ndarray) -> float:
    from sklearn.metrics import f1_score

    return f1_score(target, predicted, average="macro", zero_division=0)


def _mcc(predicted: np.ndarray, target: np.ndarray) -> float:
    from sklearn.metrics import matthews_corrcoef

    return matthews_corrcoef(target, predicted)


def _pearson(predicted: np.ndarray, target: np.ndarray) -> float:
    from scipy.stats import pearsonr

    return pearsonr(predicted, target)[0] if np.ptp(predicted) > 0 and np.ptp(target) > 0 else 0.0


def _spearman(predicted: np.ndarray, target: np.ndarray) -> float:
    from scipy.stats import spearmanr

    return spearmanr(predicted, target)[0] if np.ptp(predicted) > 0 and np.ptp(target) > 0 else 0.0


OF_CLASSES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "macro_f1": _macro_f1,
    "mcc": _mcc,
}
OF_NUMBERS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "pearson": _pearson,
    "spearman": _spearman,
}


def score(metrics: Sequence[str], logits: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """Score predictions.

    Args:
        metrics: names; accuracy, f1 (of class 1), macro_f1, mcc for classes, pearson, spearman for numbers.
        logits: scores, (N, number of classes), or predicted numbers, (N, 1).
        target: classes from 0 on, or numbers. Shape: (N,).

    Returns:
        each metric in per cent; the correlation with a constant is 0, as its MCC is.
    """
    unknown = [name for name in metrics if name not in OF_CLASSES | OF_NUMBERS]
    if unknown:
        raise InputError(f"no metric {unknown[0]!r}; choose from {', '.join(OF_CLASSES | OF_NUMBERS)}")
    classes, numbers = logits.argmax(-1), logits[:, 0].astype(np.float64)
    functions = {
        name: (OF_CLASSES[name], classes) if name in OF_CLASSES else (OF_NUMBERS[name], numbers)
        for name in metrics
    }
    return {name: 100 * float(metric(predicted, target)) for name, (metric, predicted) in functions.items()}
