"""Three ways in which pre-training fails, each with the figures that show it and what to change.

``disc_auc`` alone shows little: it is about .80 against a generator that knows nothing, and falls as the
generator gets better. So what counts is for how long the figures have been bad without a rise. The bounds
were chosen on the curves in tests/pretraining/test_diagnosis.py.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from fairseq_electra.pretraining.interval import Interval, is_rising

# of disc_auc, from the first half of a failure's patience to the second: it may still recover by itself
RISE = 0.01


@dataclass
class Failure(ABC):
    """One way of failing, followed through a run.

    Attributes:
        since: the update since when the figures have been so; none if they are not.
        said: how many updates it had lasted when it was last said; 0 if it was not.
    """

    patience: ClassVar[int] = 1000  # updates before it is said: healthy runs may look like this for a while
    is_collapse: ClassVar[bool] = False  # what --stop-when-collapsed counts
    since: int | None = None
    said: int = 0

    def follow(self, history: list[Interval], unigram: float) -> list[str]:
        """Return the sentence that is due: the failure starts, has lasted twice as long as last reported, or ends.

        Args:
            history: the run's last intervals, and always the one before the latest.
            unigram: the mask_token_accuracy of always guessing the most frequent piece; 0 if unknown.
        """
        if not self.holds(history[-1], unigram):
            over, self.since, self.said = self.said, None, 0
            return [self.relief(history[-1])] if over else []
        if self.since is None:
            self.since = history[-1].start
        lasted = history[-1].end - self.since
        if lasted < (2 * self.said or self.patience) or not self.is_lasting(history):
            return []
        self.said = lasted
        return [self.report(history[-1], unigram)]

    @abstractmethod
    def holds(self, now: Interval, unigram: float) -> bool:
        """Whether the latest figures show this failure; once reported, it takes better ones to call it over."""

    def is_lasting(self, history: list[Interval]) -> bool:
        """Whether nothing in the figures promises an end of it; it takes two intervals to tell."""
        return len(history) > 1 and not is_rising(history, self.patience, RISE)

    @abstractmethod
    def report(self, now: Interval, unigram: float) -> str:
        """Put the failure into words: since when, the figures, what to change."""

    @abstractmethod
    def relief(self, now: Interval) -> str:
        """Put into words that it is over."""


@dataclass
class DiscriminatorAtChance(Failure):
    """It cannot tell replaced tokens from others, and flags none or is no better than the base rate."""

    patience: ClassVar[int] = 300
    is_collapse: ClassVar[bool] = True

    def holds(self, now: Interval, unigram: float) -> bool:
        """See :meth:`Failure.holds`."""
        if self.said:
            return now.auc < 0.57
        return now.auc + now.auc_error < 0.55 and (
            now.recall < 0.01 or now.disc_loss > 0.98 * now.base_rate_loss
        )

    def report(self, now: Interval, unigram: float) -> str:
        """See :meth:`Failure.report`."""
        return (
            f"the discriminator has been at chance since update {self.since} (disc_auc {now.auc:.3f}, "
            f"disc_recall {now.recall:.1%}, "
            f"disc_loss {now.disc_loss:.3f}, where always predicting the base rate gives "
            f"{now.base_rate_loss:.3f}); start again with what "
            "this run lacks of --norm scaled, --positions rotary, --bias-correction on, --adam-betas '(0.9, "
            "0.98)', half of --lr and a "
            "longer --warmup-updates"
        )

    def relief(self, now: Interval) -> str:
        """See :meth:`Failure.relief`."""
        return f"the discriminator is no longer at chance (disc_auc {now.auc:.3f})"


@dataclass
class GeneratorAtUnigram(Failure):
    """The generator is no better than token frequencies after the learning rate has reached its peak."""

    is_collapse: ClassVar[bool] = True

    def holds(self, now: Interval, unigram: float) -> bool:
        """See :meth:`Failure.holds`."""
        return now.accuracy < (1.25 if self.said else 1.1) * unigram

    def is_lasting(self, history: list[Interval]) -> bool:
        """See :meth:`Failure.is_lasting`: while the rate still rises, this is no more than a slow start."""
        return len(history) > 1 and history[-1].lr <= history[-2].lr

    def report(self, now: Interval, unigram: float) -> str:
        """See :meth:`Failure.report`."""
        return (
            f"the generator has been no better than piece frequencies since update {self.since} "
            f"(mask_token_accuracy {now.accuracy:.2%}, "
            f"always guessing the most frequent piece {unigram:.2%}); start again with what this run lacks "
            f"of --positions rotary, "
            "--norm scaled and half of --lr"
        )

    def relief(self, now: Interval) -> str:
        """See :meth:`Failure.relief`."""
        return f"the generator is now better than piece frequencies (mask_token_accuracy {now.accuracy:.2%})"


@dataclass
class GeneratorAhead(Failure):
    """It has learnt from context, and the discriminator does not follow.

    Attributes:
        best: the best disc_auc since the generator has left the unigram level. What disc_auc was before says
            nothing.
    """

    best: float = 0.0

    def holds(self, now: Interval, unigram: float) -> bool:
        """See :meth:`Failure.holds`."""
        if not 0 < 1.5 * unigram < now.accuracy:
            self.best = 0.0
            return False
        self.best = max(self.best, now.auc)
        return 0.55 <= now.auc < max(0.60, self.best - 0.10) + (0.02 if self.said else 0.0)

    def report(self, now: Interval, unigram: float) -> str:
        """See :meth:`Failure.report`."""
        return (
            f"the generator has been ahead of the discriminator since update {self.since} (disc_auc "
            f"{now.auc:.3f} and not rising, best "
            f"{self.best:.3f}, while mask_token_accuracy is {now.accuracy:.1%}); start again with a smaller "
            f"--generator-hidden-size or "
            "half of --lr"
        )

    def relief(self, now: Interval) -> str:
        """See :meth:`Failure.relief`."""
        return f"the discriminator follows the generator again (disc_auc {now.auc:.3f})"
