"""What each minimal pair counts, in the file of a cell; and intervals of differences over seeds and pairs."""

from collections.abc import Mapping, Sequence

import numpy as np

from fairseq_electra.comparison.bootstrap import SAMPLES, over_models

DIGITS = "012"  # halves


def written(points: np.ndarray) -> str:
    """Write points of 0, 1/2 or 1 as digits, which count halves."""
    return "".join(DIGITS[int(2 * each)] for each in points)


def read(digits: str) -> np.ndarray:
    """Read points; the inverse of :func:`written`."""
    return np.array([int(each) for each in digits]) / 2


def difference(
    models: Sequence[tuple[Mapping[str, str], Mapping[str, str]]], samples: int = SAMPLES
) -> tuple[float, float, float]:
    """Compare two objectives by the mean over paradigms of the share of pairs that are scored right.

    The bootstrap draws, with replacement, pairs of models, and of each paradigm minimal pairs, which are the
    same for all models.

    Args:
        models: of each seed of pre-training the points of both models, by paradigm.
        samples: number of samples, S.

    Returns:
        the mean difference, and the bounds of its 95 % interval; per cent.
    """
    rng = np.random.default_rng(0)
    paradigms = list(models[0][0])
    exact, drawn = 0.0, np.zeros((samples, len(models)))
    for paradigm in paradigms:
        gaps = np.stack([read(one[paradigm]) - read(other[paradigm]) for one, other in models], 1)  # (N, M)
        size = len(gaps)
        weights = rng.multinomial(size, np.full(size, 1 / size), samples)
        exact += 100 * float(gaps.mean()) / len(paradigms)
        drawn += 100 * weights @ gaps / size / len(paradigms)
    return exact, *over_models(drawn, rng)
