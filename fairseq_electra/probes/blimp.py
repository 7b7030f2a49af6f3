"""BLiMP: how often does a model score the grammatical sentence of a minimal pair higher?

A pair counts 1 if it does, 1/2 if both scores are equal, else 0.

Source: Warstadt et al. 2020 (arXiv 1912.00582), section 4.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fairseq_electra.hub.interface import ElectraHubInterface
from fairseq_electra.probes.pairs import Pair
from fairseq_electra.probes.sentence_scores import chosen_scores, encode, score_rows
from fairseq_electra.progress import Progress


@dataclass(frozen=True)
class Paradigm:
    """What came out for the pairs of a paradigm.

    Args:
        name: BLiMP's UID.
        term: the phenomenon that it belongs to.
        same: for each pair, whether both sentences are the same tokens. Shape: (pairs,).
        points: for each score what each pair counts: 0, 1/2 or 1. Shape: (pairs,).
    """

    name: str
    term: str
    same: np.ndarray
    points: Mapping[str, np.ndarray]

    def accuracy(self, score: str) -> float:
        """Compute the mean over the pairs, in per cent."""
        return 100 * float(self.points[score].mean())

    def ties(self, score: str) -> int:
        """Count the pairs of equal scores."""
        return int((self.points[score] == 0.5).sum())


def probe(
    net: ElectraHubInterface,
    pairs: Sequence[Pair],
    scores: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> list[Paradigm]:
    """Score both sentences of each pair.

    Args:
        net: a pre-trained model.
        pairs: at least one.
        scores: keys of :data:`~fairseq_electra.probes.sentence_scores.SCORES`; by default all that the model
            has.
        progress: reports the progress; by default none is.

    Returns:
        the paradigms, in the order in which they first come.

    Raises:
        InputError: the model cannot compute a score, or a sentence is too long for it.
    """
    scores = chosen_scores(net, scores)
    rows = encode(net, [sentence for pair in pairs for sentence in (pair.good, pair.bad)])
    same = np.array([good == bad for good, bad in zip(rows[::2], rows[1::2], strict=True)])
    points = {score: pair_points(score_rows(net, rows, score, progress=progress)) for score in scores}
    members: dict[tuple[str, str], list[int]] = {}
    for i, pair in enumerate(pairs):
        members.setdefault((pair.paradigm, pair.term), []).append(i)
    return [
        Paradigm(name, term, same[chosen], {score: points[score][chosen] for score in scores})
        for (name, term), chosen in members.items()
    ]


def pair_points(scores: Sequence[float]) -> np.ndarray:
    """Return what each pair counts; ``scores`` has good and bad sentences by turns. Shape: (pairs,)."""
    good, bad = np.asarray(scores).reshape(-1, 2).T
    return (1 + np.sign(good - bad)) / 2


def mean_accuracy(paradigms: Sequence[Paradigm], score: str) -> float:
    """Compute the mean of the paradigms' accuracies, in per cent: each paradigm weighs the same."""
    return float(np.mean([paradigm.accuracy(score) for paradigm in paradigms]))


def standard_error(paradigms: Sequence[Paradigm], score: str) -> float | None:
    """Compute the standard error of :func:`mean_accuracy` over pairs, in percentage points.

    The pairs count as a random sample of each paradigm, and the paradigms as all there are: with s the
    standard deviation of what the n pairs of a paradigm count, and M paradigms, it is the square root of the
    sum of s^2 / n, divided by M.

    Returns:
        None if a paradigm has one pair alone, of which no deviation is known.
    """
    each = [paradigm.points[score] for paradigm in paradigms]
    if min(map(len, each)) < 2:
        return None
    return 100 * math.sqrt(sum(points.var(ddof=1) / len(points) for points in each)) / len(each)


def by_term(paradigms: Sequence[Paradigm]) -> dict[str, list[Paradigm]]:
    """Group paradigms by their phenomenon, in alphabetical order."""
    groups: dict[str, list[Paradigm]] = {}
    for paradigm in sorted(paradigms, key=lambda paradigm: paradigm.term):
        groups.setdefault(paradigm.term, []).append(paradigm)
    return groups
