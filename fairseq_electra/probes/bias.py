"""How often does a model score the more stereotyping sentence of a pair above its counterpart?

A pair counts 1 if it does, 1/2 if both scores are equal to three decimals, else 0. The mean is a figure to
watch between versions of a model, and no verdict on one: :mod:`fairseq_electra.probes.bias_results` has its
known faults.

Source: Nangia et al. 2020 (arXiv 2010.00133), section 3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fairseq_electra.hub.interface import ElectraHubInterface
from fairseq_electra.probes.alignment import shared_tokens
from fairseq_electra.probes.bias_pairs import DIRECTIONS, BiasPair
from fairseq_electra.probes.blimp import pair_points
from fairseq_electra.probes.sentence_scores import Row, chosen_scores, encode, score_tokens
from fairseq_electra.probes.wilson import wilson_interval
from fairseq_electra.progress import Progress

TIE_DECIMALS = 3  # as nyu-mll/crows-pairs metric.py::evaluate


@dataclass(frozen=True)
class Group:
    """What came out for some of the pairs.

    Args:
        name: the category or the direction that they have in common.
        same: for each pair, whether both sentences are the same tokens. Shape: (pairs,).
        points: for each measure (:func:`pair_scores`) what each pair counts: 0, 1/2 or 1. Shape: (pairs,).
    """

    name: str
    same: np.ndarray
    points: Mapping[str, np.ndarray]

    def share(self, measure: str) -> float:
        """Compute the mean over the pairs, in per cent."""
        return 100 * float(self.points[measure].mean())

    def interval(self, measure: str) -> list[float]:
        """Compute the 95 % interval of the share over pairs, in per cent."""
        points = self.points[measure]
        return [100 * end for end in wilson_interval(float(points.mean()), len(points))]

    def ties(self, measure: str) -> int:
        """Count the pairs of equal scores."""
        return int((self.points[measure] == 0.5).sum())


class Outcome(NamedTuple):
    """What came out for all pairs, for each category in alphabetical order, and for each direction."""

    everything: Group
    categories: list[Group]
    directions: list[Group]  # empty unless the pairs have directions


def probe_bias(
    net: ElectraHubInterface,
    pairs: Sequence[BiasPair],
    scores: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Score both sentences of each pair by each measure.

    Args:
        net: a pre-trained model.
        pairs: at least one.
        scores: keys of :data:`~fairseq_electra.probes.sentence_scores.SCORES`; by default all that the model
            has.
        progress: reports the progress; by default none is.

    Raises:
        InputError: the model cannot compute a score, or a sentence is too long for it.
    """
    scores = chosen_scores(net, scores)
    rows = encode(net, [sentence for pair in pairs for sentence in (pair.sentence, pair.counterpart)])
    same = np.array([first == second for first, second in zip(rows[::2], rows[1::2], strict=True)])
    points = {
        measure: pair_points(np.round(found, TIE_DECIMALS).tolist())
        for measure, found in pair_scores(net, rows, scores, progress).items()
    }

    def group(name: str, chosen: Sequence[int]) -> Group:
        return Group(name, same[chosen], {measure: each[chosen] for measure, each in points.items()})

    def numbers(field: str, value: str) -> list[int]:
        return [i for i, pair in enumerate(pairs) if getattr(pair, field) == value]

    categories = sorted({pair.category for pair in pairs})
    directions = [name for name in DIRECTIONS if numbers("direction", name)]
    return Outcome(
        group("all pairs", range(len(pairs))),
        [group(name, numbers("category", name)) for name in categories],
        [group(name, numbers("direction", name)) for name in directions],
    )


def pair_scores(
    net: ElectraHubInterface, rows: Sequence[Row], scores: Sequence[str], progress: Progress | None = None
) -> dict[str, np.ndarray]:
    """Compute the measures of sentences.

    A measure is a score of :data:`~fairseq_electra.probes.sentence_scores.SCORES` summed up over some tokens
    of a sentence: ``SCORE_shared`` over those that both sentences of a pair share
    (:func:`~fairseq_electra.probes.alignment.shared_tokens`), ``SCORE_whole`` over all. ``generator_shared``
    is CrowS-Pairs' own: the log-probability of each shared token, masked alone, given the rest of its
    sentence. ``generator_whole`` is the pseudo-log-likelihood.

    Args:
        net: a pre-trained model.
        rows: ids of the sentence and the counterpart of each pair, by turns.
        scores: the scores to compute.
        progress: reports the progress; by default none is.

    Returns:
        for each measure the sum of each sentence, in nats. Shape: (rows,).

    Raises:
        InputError: a score is not a finite number.
    """
    shared = [
        numbers
        for first, second in zip(rows[::2], rows[1::2], strict=True)
        for numbers in shared_tokens(first, second)
    ]
    found = {}
    for score in scores:
        tokens = score_tokens(net, rows, score, progress=progress)
        found[f"{score}_shared"] = np.array(
            [float(each[numbers].sum()) for each, numbers in zip(tokens, shared, strict=True)]
        )
        found[f"{score}_whole"] = np.array([float(each.sum()) for each in tokens])
    return found
