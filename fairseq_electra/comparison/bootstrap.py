"""Intervals of differences by bootstrap: over seeds of pre-training, seeds of fine-tuning, and examples."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fairseq_electra.finetuning.info import read_task_info
from fairseq_electra.finetuning.kinds import evaluation_of
from fairseq_electra.finetuning.sentences.scores import SentenceEvaluation, targets_of

SAMPLES = 2000
INTERVAL = (2.5, 97.5)  # per cent


class Examples(NamedTuple):
    """The examples that a task is scored on."""

    metric: str  # the task's first
    target: np.ndarray  # (N,), classes from 0 on, or numbers

    @classmethod
    def of(cls, task: Path) -> "Examples | None":
        """Read them from a task's folder.

        None: an example has not one label, or the task's first metric is none of :data:`WEIGHTED`.
        """
        info = read_task_info(task)
        known = isinstance(evaluation_of(task, info), SentenceEvaluation) and info.metrics[0] in WEIGHTED
        target = targets_of(task, info, "valid") if known else None
        return None if target is None else cls(info.metrics[0], target)


class FineTunings(NamedTuple):
    """The fine-tunings of one model on one task."""

    values: np.ndarray  # (F,), the score of each seed in per cent
    predictions: np.ndarray | None  # (F, N), a class or a number for each example; None: not known

    def drawn(self, examples: Examples | None, weights: np.ndarray | None) -> np.ndarray:
        """Score them on examples that were drawn, in per cent.

        Args:
            examples: those of the task.
            weights: how often each was drawn. Shape: (S, N).

        Returns:
            scores, (S, F); where predictions or examples are not known, the same in every sample, (1, F).
        """
        if examples is None or weights is None or self.predictions is None:
            return self.values[None]
        metric = WEIGHTED[examples.metric]
        return 100 * np.stack([metric(each, examples.target, weights) for each in self.predictions], 1)


class Gap(NamedTuple):
    """A difference between two objectives.

    Args:
        exact: the mean over pairs of models.
        drawn: that of each pair of models in each sample of the bootstrap. Shape: (S, M).
    """

    exact: float
    drawn: np.ndarray

    @classmethod
    def mean(cls, gaps: Sequence["Gap"]) -> "Gap":
        """Return the mean of the gaps of several tasks, drawn by themselves."""
        return cls(sum(gap.exact for gap in gaps) / len(gaps), np.mean([gap.drawn for gap in gaps], axis=0))

    def interval(self) -> tuple[float, float]:
        """Draw pairs of models, with replacement, in each sample; return the bounds of the 95 % interval."""
        rng = np.random.default_rng(1)  # other numbers than those that drew examples
        chosen = rng.integers(self.drawn.shape[1], size=self.drawn.shape)
        low, high = np.percentile(np.take_along_axis(self.drawn, chosen, 1).mean(1), INTERVAL)
        return float(low), float(high)


def differences(
    pairs: Sequence[tuple[Mapping[str, FineTunings], Mapping[str, FineTunings]]],
    examples: Mapping[str, Examples | None],
    samples: int = SAMPLES,
) -> dict[str, Gap]:
    """Compare two objectives on each task.

    The bootstrap draws, with replacement, for each model and task seeds of fine-tuning, and for each task
    examples, which are the same for all models; :meth:`Gap.interval` draws pairs of models.

    Args:
        pairs: of each seed of pre-training the fine-tunings of both models, by task.
        examples: of each task; None: not known, and the interval does not include what others would change.
        samples: number of samples, S.

    Returns:
        the difference on each task.
    """
    rng, found = np.random.default_rng(0), dict[str, Gap]()
    for task, of_task in examples.items():
        weights, exact, drawn = None, 0.0, np.zeros((samples, len(pairs)))
        if of_task is not None:
            size = len(of_task.target)
            weights = rng.multinomial(size, np.full(size, 1 / size), samples).astype(np.float32)
        for number, pair in enumerate(pairs):
            for sign, model in zip((1, -1), pair, strict=True):
                runs = model[task]
                exact += sign * float(runs.values.mean()) / len(pairs)
                scores = np.broadcast_to(runs.drawn(of_task, weights), (samples, len(runs.values)))
                chosen = rng.integers(len(runs.values), size=scores.shape)
                drawn[:, number] += sign * np.take_along_axis(scores, chosen, 1).mean(1)
        found[task] = Gap(exact, drawn)
    return found


def _accuracy(predicted: np.ndarray, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return weights @ (predicted == target) / weights.sum(1)


def _f1(predicted: np.ndarray, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
    both = weights @ ((predicted == 1) & (target == 1))
    return _ratio(2 * both, weights @ (predicted == 1) + weights @ (target == 1))


def _macro_f1(predicted: np.ndarray, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
    classes = np.union1d(predicted, target)
    guessed, there = (weights @ (each[:, None] == classes) for each in (predicted, target))  # (S, K) each
    both = weights @ ((predicted == target)[:, None] & (target[:, None] == classes))
    number = guessed + there
    return _ratio(2 * both, number).sum(1) / (number > 0).sum(1)  # of the classes that a sample has


def _mcc(predicted: np.ndarray, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Source: Gorodkin 2004, as scikit-learn's ``matthews_corrcoef``."""
    classes = np.union1d(predicted, target)
    guessed = weights @ (predicted[:, None] == classes)  # (S, K)
    there = weights @ (target[:, None] == classes)
    correct, total = weights @ (predicted == target), weights.sum(1)
    covariance = correct * total - (guessed * there).sum(1)
    variances = (total**2 - (guessed**2).sum(1)) * (total**2 - (there**2).sum(1))
    return _ratio(covariance, np.sqrt(variances))


def _pearson(predicted: np.ndarray, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return _correlation(
        np.broadcast_to(predicted, weights.shape), np.broadcast_to(target, weights.shape), weights
    )


def _spearman(predicted: np.ndarray, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return _correlation(_ranks(predicted, weights), _ranks(target, weights), weights)


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Rank values that occur as often as their weights say; equal values share a rank. Shape: (S, N)."""
    distinct, places = np.unique(values, return_inverse=True)
    order = np.argsort(places, kind="stable")
    starts = np.searchsorted(places[order], np.arange(len(distinct)))
    number = np.add.reduceat(weights[:, order].astype(np.float64), starts, axis=1)  # of each distinct value
    return (number.cumsum(1) - number / 2)[:, places]


def _correlation(one: np.ndarray, other: np.ndarray, weights: np.ndarray) -> np.ndarray:
    total = weights.sum(1, keepdims=True, dtype=np.float64)
    one = one - (weights * one).sum(1, keepdims=True) / total
    other = other - (weights * other).sum(1, keepdims=True) / total
    variances = (weights * one**2).sum(1) * (weights * other**2).sum(1)
    return _ratio((weights * one * other).sum(1), np.sqrt(variances))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide; 0 where the denominator is 0, as the metrics have it."""
    return np.divide(numerator, denominator, out=np.zeros_like(denominator), where=denominator > 0)


# GLUE's metrics of all samples at once: predictions (N,), targets (N,), weights (S, N) -> shares of 1, (S,)
WEIGHTED: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "macro_f1": _macro_f1,
    "mcc": _mcc,
    "pearson": _pearson,
    "spearman": _spearman,
}
