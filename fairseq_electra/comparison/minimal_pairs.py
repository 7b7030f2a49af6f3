"""What each minimal pair counts, in the file of a cell; and intervals of differences over seeds and pairs."""

from collections.abc import Mapping, Sequence

import numpy as np

from fairseq_electra.comparison.bootstrap import SAMPLES, Gap

DIGITS = "012"  # halves


def written(points: np.ndarray) -> str:
    """Write points of 0, 1/2 or 1 as digits, which count halves."""
    return "".join(DIGITS[int(2 * each)] for each in points)


def read(digits: str) -> np.ndarray:
    """Read points; the inverse of :func:`written`."""
    return np.array([int(each) for each in digits]) / 2


def difference(models: Sequence[tuple[Mapping[str, str], Mapping[str, str]]], samples: int = SAMPLES) -> Gap:
    """Compare two objectives by the mean over paradigms of the share of pairs that are scored right.

    The bootstrap draws, with replacement, of each paradigm minimal pairs, which are the same for all models;
    :meth:`~fairseq_electra.comparison.bootstrap.Gap.interval` draws pairs of models. Minimal pairs in which
    the models differ alike are drawn together, which is the same and takes a fraction of the time.

    Args:
        models: of each seed of pre-training the points of both models, by paradigm.
        samples: number of samples, S.

    Returns:
        the difference in per cent.
    """
    rng, exact, drawn = np.random.default_rng(0), 0.0, np.zeros((samples, len(models)))
    paradigms = list(models[0][0])
    for paradigm in paradigms:
        gaps = np.stack([read(one[paradigm]) - read(other[paradigm]) for one, other in models], 1)
        kinds, counts = np.unique(gaps, axis=0, return_counts=True)  # (K, M), (K,)
        weights = rng.multinomial(len(gaps), counts / len(gaps), samples)
        exact += 100 * float(gaps.mean()) / len(paradigms)
        drawn += 100 * weights @ kinds / len(gaps) / len(paradigms)
    return Gap(exact, drawn)
