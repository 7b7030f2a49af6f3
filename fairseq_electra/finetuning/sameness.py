"""Whether a model predicts the same for every example.

Then it has learnt nothing, or has collapsed; an accuracy alone does not show it.
"""

import numpy as np
import torch
from torch import Tensor

CLOSE = 1e-3  # numbers that are nearer are the same
OF_LABELLED = 10  # examples behind a judgement, of a set with all labels in it
OF_ANY, OF_ANY_WORDS = 100, 1000  # of text that may be of one class indeed, or without entities


def said_by(scores: Tensor) -> Tensor:
    """Return what scores say: of classes the best one, of numbers, (n, 1), the number.

    Shapes: (n, number of classes), (n,).
    """
    return scores[:, 0].float() if scores.shape[1] == 1 else scores.argmax(1)


class Range:
    """The least and the greatest of what a net says of examples.

    Both stay on the device that they were computed on, so that it need not be waited for.

    Attributes:
        number: of examples.
    """

    def __init__(self) -> None:
        self.low: Tensor | None = None
        self.high: Tensor | None = None
        self.number = 0

    def add(self, said: Tensor) -> None:
        """Take in what is said of some examples: numbers of classes or tags, (n,), or places, (n, 2)."""
        if len(said) == 0:
            return
        low, high = said.amin(0), said.amax(0)
        self.low = low if self.low is None else torch.minimum(self.low, low)
        self.high = high if self.high is None else torch.maximum(self.high, high)
        self.number += len(said)

    def add_scores(self, scores: Tensor) -> None:
        """Take in scores of classes, (n, number of classes), or predicted numbers, (n, 1)."""
        self.add(said_by(scores))

    def merge(self, others: list["Range"]) -> "Range":
        """Return what this and other ranges are together, on the CPU."""
        whole = Range()
        for each in [self, *others]:
            if each.low is not None and each.high is not None:
                whole.add(torch.stack([each.low.cpu(), each.high.cpu()]))
        whole.number = self.number + sum(each.number for each in others)
        return whole

    def same(self, fewest: int) -> list[float] | None:
        """Return the prediction that all examples share; None if there is none, or too few examples."""
        if self.low is None or self.high is None or self.number < fewest:
            return None
        # nan, where one of them is, is not below it either
        if not float((self.high - self.low).max()) < CLOSE:
            return None
        return self.low.reshape(-1).tolist()


def all_the_same(said: np.ndarray) -> list[float] | None:
    """Return the prediction that all examples of a set share; None if there is none, or if they are too few.

    The set has examples of all labels.

    Args:
        said: as :meth:`Range.add` takes it.
    """
    found = Range()
    found.add(torch.from_numpy(said))
    return found.same(OF_LABELLED)


def characters(said: list[float]) -> str:
    """Put a place in a text into words: its first and its end character; where it is empty, nothing."""
    return "nothing" if said[0] == said[1] else f"characters {said[0]:.0f} to {said[1]:.0f}"


def sentence(said: str, number: int, examples: str) -> str:
    """Put it into words.

    Args:
        said: for each example.
        number: of examples.
        examples: what they are, in the plural.
    """
    return (
        f"the net answers {said} for all {number:,} {examples}: it has learnt nothing yet, or has collapsed;"
        " if more training does not help, try another --lr, a longer --warmup-updates or another --seed"
    )
