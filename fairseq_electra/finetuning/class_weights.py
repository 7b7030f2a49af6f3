"""Weights of classes or tags in the loss, so that rare ones count for more."""

import math
import re
from collections.abc import Sequence

import numpy as np

from fairseq_electra.errors import InputError

BALANCED = "balanced"
HELP = (
    f"weight of each label in the loss: {BALANCED} (n / (k * n of the label), counted in train), or"
    " LABEL=WEIGHT ..., others 1"
)


def class_weights(given: str, labels: Sequence[str], targets: np.ndarray | None) -> np.ndarray:
    """Read ``--class-weights``.

    Args:
        given: the option's value: ``balanced``, or ``LABEL=WEIGHT`` with blanks between.
        labels: in the order of their scores. K.
        targets: labels of all examples or words of train, from 0 on; None: there is no train. Shape: (n,).

    Returns:
        weight of each label; ``balanced`` gives all labels that train has the same sum, n / k, and those that
        it has not 1.
        Shape: (K,), float32.

    Raises:
        InputError: there is no such label, a weight is no number above 0, or ``balanced`` is wanted and there
            is no train.

    Source: sklearn.utils.class_weight.compute_class_weight.
    """
    weights = np.ones(len(labels), dtype=np.float32)
    if given == BALANCED:
        if targets is None:
            raise InputError(
                f"--class-weights {BALANCED} counts the labels of train, which is not there; give"
                " LABEL=WEIGHT ..."
            )
        counts = np.bincount(targets, minlength=len(labels))
        present = counts > 0
        weights[present] = len(targets) / (present.sum() * counts[present])
        return weights
    # they may hold blanks, and signs of equality
    known = "|".join(map(re.escape, sorted(labels, key=len, reverse=True)))
    assignment = re.compile(rf"({known})=(\S*)\s*")
    rest = given.strip()
    while rest:
        match = assignment.match(rest)
        if not match:
            wrong = rest.split()[0]
            raise InputError(
                f"--class-weights {wrong}: write {BALANCED}, or LABEL=WEIGHT, where the labels are"
                f" {', '.join(labels)}"
            )
        weights[list(labels).index(match[1])] = _above_zero(match[2], match[0].rstrip())
        rest = rest[match.end() :]
    return weights


def _above_zero(value: str, part: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise InputError(f"--class-weights {part}: the weight must be a number above 0")
    return number
