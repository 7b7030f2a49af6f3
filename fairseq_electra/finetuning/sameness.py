"""Whether a model predicts the same for every example.

Then it has learnt nothing, or has collapsed; an accuracy alone does not show it.
"""

import numpy as np
import torch
from torch import Tensor

TOLERANCE = 1e-3  # predicted numbers that differ by less are the same
# a warning needs so many equal predictions: on a set with all labels in it, ...
MIN_EXAMPLES = 10
# ... and on any text, which may be of one class indeed, or without entities
MIN_INPUTS, MIN_WORDS = 100, 1000


def predictions_of(scores: Tensor) -> Tensor:
    """Return the best class of each example, or where the only score is a predicted number, the number.

    Shapes: (n, number of classes) or (n, 1) -> (n,).
    """
    return scores[:, 0].float() if scores.shape[1] == 1 else scores.argmax(1)


class PredictionRange:
    """The smallest and the largest prediction of a model for examples.

    Both stay on the device that they were computed on, so that it need not be waited for.

    Attributes:
        number: number of examples.
    """

    def __init__(self) -> None:
        self.low: Tensor | None = None
        self.high: Tensor | None = None
        self.number = 0

    def add(self, predictions: Tensor) -> None:
        """Take in predictions: numbers of classes or tags, (n,), or ranges of characters, (n, 2)."""
        if len(predictions) == 0:
            return
        low, high = predictions.amin(0), predictions.amax(0)
        self.low = low if self.low is None else torch.minimum(self.low, low)
        self.high = high if self.high is None else torch.maximum(self.high, high)
        self.number += len(predictions)

    def add_scores(self, scores: Tensor) -> None:
        """Take in scores of classes, (n, number of classes), or predicted numbers, (n, 1)."""
        self.add(predictions_of(scores))

    def merge(self, others: list["PredictionRange"]) -> "PredictionRange":
        """Return what this and other ranges are together, on the CPU."""
        merged = PredictionRange()
        for each in [self, *others]:
            if each.low is not None and each.high is not None:
                merged.add(torch.stack([each.low.cpu(), each.high.cpu()]))
        merged.number = self.number + sum(each.number for each in others)
        return merged

    def same(self, fewest: int) -> list[float] | None:
        """Return the prediction that all examples share; None if there is none, or too few examples."""
        if self.low is None or self.high is None or self.number < fewest:
            return None
        # nan, where one of them is, is not below it either
        if not float((self.high - self.low).max()) < TOLERANCE:
            return None
        return self.low.reshape(-1).tolist()


def shared_prediction(predictions: np.ndarray) -> list[float] | None:
    """Return the prediction that all examples of a set share; None if there is none, or if they are too few.

    The set has examples of all labels.

    Args:
        predictions: as :meth:`PredictionRange.add` takes them.
    """
    prediction_range = PredictionRange()
    prediction_range.add(torch.from_numpy(predictions))
    return prediction_range.same(MIN_EXAMPLES)


def span_in_words(span: list[float]) -> str:
    """Put a range of characters into words: its first and its end; an empty one is "nothing"."""
    return "nothing" if span[0] == span[1] else f"characters {span[0]:.0f} to {span[1]:.0f}"


def constant_warning(prediction: str, number: int, examples: str) -> str:
    """Return the warning of a model that predicts the same for every example.

    Args:
        prediction: the prediction in words.
        number: number of examples.
        examples: name of the examples, in the plural.
    """
    return (
        f"the net answers {prediction} for all {number:,} {examples}: it has learnt nothing yet, or has"
        " collapsed; if more training does not help, try another --lr, a longer --warmup-updates or another"
        " --seed"
    )
