"""Judge a pre-training run: the unigram baseline, and warnings when the run fails in a known way."""

from dataclasses import asdict, dataclass, field

import numpy as np

from fairseq_electra.pretraining.failures import (
    DiscriminatorAtChance,
    Failure,
    GeneratorAhead,
    GeneratorAtUnigram,
)
from fairseq_electra.pretraining.interval import Interval

# smallest number of replaced tokens to judge by: the standard error of the AUC is then .005
MIN_REPLACED = 4000
MIN_UPDATES = 50  # smallest number of updates to judge by
HISTORY_UPDATES = 1000  # number of updates to remember: the longest patience of a failure


@dataclass(frozen=True)
class Unigram:
    """The figures of a generator that knows only token frequencies: ``loss`` in nats, ``accuracy`` of 1."""

    loss: float
    accuracy: float


def token_counts(ids: np.ndarray, dictionary) -> np.ndarray:
    """Count each token of a text; special tokens, which are never masked, count 0.

    Args:
        ids: the text. Shape: (number of ids,).
        dictionary: fairseq's dictionary.

    Returns:
        Shape: (V,).
    """
    counts = np.zeros(len(dictionary), np.int64)
    for start in range(0, len(ids), 1 << 24):
        counts += np.bincount(ids[start : start + (1 << 24)], minlength=len(dictionary))[: len(dictionary)]
    counts[[dictionary.bos(), dictionary.pad(), dictionary.eos(), len(dictionary) - 1]] = 0
    return counts


def unigram_baseline(ids: np.ndarray, dictionary) -> Unigram:
    """Compute the figures of the best constant prediction on a text.

    Special tokens do not count, as they are never masked. Like all accuracies, this one leaves out ``<unk>``;
    the loss does not.

    Args:
        ids: the text. Shape: (number of ids,).
        dictionary: fairseq's dictionary.
    """
    counts = token_counts(ids, dictionary)
    share = counts[counts > 0] / max(counts.sum(), 1)
    counts[dictionary.unk()] = 0
    return Unigram(float(-(share * np.log(share)).sum()), float(counts.max(initial=0) / max(counts.sum(), 1)))


@dataclass
class Diagnosis:
    """Follows the training of one run.

    Attributes:
        unigram: baselines of the data sets by split; the first counts.
        gathered: the latest updates, while they are too few to judge by.
        history: the last intervals that were judged.
        failures: the failures to look for.
    """

    unigram: dict[str, Unigram] = field(default_factory=dict)
    gathered: Interval | None = None
    history: list[Interval] = field(default_factory=list)
    failures: list[Failure] = field(
        default_factory=lambda: [DiscriminatorAtChance(), GeneratorAtUnigram(), GeneratorAhead()]
    )

    def follow(self, interval: Interval) -> list[str]:
        """Return the warnings that are due after the latest updates; none if nothing has changed."""
        now = interval if self.gathered is None else self.gathered + interval
        if now.end - now.start < MIN_UPDATES or (now.replaced or now.hidden) < MIN_REPLACED:
            self.gathered = now
            return []
        self.gathered = None
        # always keep the one before: a single interval cannot show a rise
        self.history = [
            *([each for each in self.history if each.end > now.end - HISTORY_UPDATES] or self.history[-1:]),
            now,
        ]
        return [
            f"update {now.end}: {line}"
            for failure in self.failures
            for line in failure.follow(self.history, self._accuracy)
        ]

    def collapse(self, updates: int) -> str:
        """Describe a reported collapse that has lasted for ``updates`` updates; empty if there is none."""
        for failure in self.failures:
            if (
                failure.is_collapse
                and failure.said
                and failure.since is not None
                and self.history[-1].end - failure.since >= updates
            ):
                return failure.report(self.history[-1], self._accuracy)
        return ""

    @property
    def _accuracy(self) -> float:
        return next((each.accuracy for each in self.unigram.values()), 0.0)

    def state_dict(self) -> dict:
        """Return what a resumed run needs, as plain numbers."""
        return {
            "gathered": self.gathered and asdict(self.gathered),
            "history": [asdict(each) for each in self.history],
            "failures": {type(each).__name__: asdict(each) for each in self.failures},
        }

    def load_state_dict(self, state: dict) -> None:
        """Restore a checkpoint's state."""
        self.gathered = state["gathered"] and Interval(**state["gathered"])
        self.history = [Interval(**each) for each in state["history"]]
        self.failures = [
            type(each)(**state["failures"].get(type(each).__name__, {})) for each in self.failures
        ]
