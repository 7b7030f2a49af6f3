"""Three ways in which pre-training fails, with the figures that show each, and what to change.

``disc_auc`` alone shows little: it is about .80 against an untrained generator, and falls as the generator
improves. So a failure is reported only if the figures have been bad for long without a rise. The bounds were
chosen on the curves in tests/pretraining/test_diagnosis.py.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from fairseq_electra.pretraining.interval import Interval, is_rising

# of disc_auc between the halves of a failure's patience: after such a rise the run may still recover
RISE = 0.01


@dataclass
class Failure(ABC):
    """One way of failing, followed through a run.

    Attributes:
        since: the update since which the figures have shown the failure; None if they do not.
        said: number of updates that it had lasted when last reported; 0 if never.
    """

    # updates before it is reported: healthy runs may look like this for a while
    patience: ClassVar[int] = 1000
    is_collapse: ClassVar[bool] = False  # whether --stop-when-collapsed counts it
    since: int | None = None
    said: int = 0

    def follow(self, history: list[Interval], unigram: float) -> list[str]:
        """Return the sentence that is due: the failure starts, has lasted twice as long as reported, or ends.

        Args:
            history: the run's last intervals, at least the latest and the one before.
            unigram: the mask_token_accuracy of always predicting the most frequent token; 0 if unknown.
        """
        if not self.holds(history[-1], unigram):
            over, self.since, self.said = self.said, None, 0
            return [self.recovery(history[-1])] if over else []
        if self.since is None:
            self.since = history[-1].start
        lasted = history[-1].end - self.since
        if lasted < (2 * self.said or self.patience) or not self.is_lasting(history):
            return []
        self.said = lasted
        return [self.report(history[-1], unigram)]

    @abstractmethod
    def holds(self, now: Interval, unigram: float) -> bool:
        """Whether the latest figures show this failure; a reported one takes better figures to end."""

    def is_lasting(self, history: list[Interval]) -> bool:
        """Whether the figures show no recovery; two intervals are needed to tell."""
        return len(history) > 1 and not is_rising(history, self.patience, RISE)

    @abstractmethod
    def report(self, now: Interval, unigram: float) -> str:
        """Describe the failure: since when, the figures, what to change."""

    @abstractmethod
    def recovery(self, now: Interval) -> str:
        """Say that the failure is over."""


@dataclass
class DiscriminatorAtChance(Failure):
    """The discriminator cannot tell replaced tokens: it flags none, or is no better than the base rate."""

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

    def recovery(self, now: Interval) -> str:
        """See :meth:`Failure.recovery`."""
        return f"the discriminator is no longer at chance (disc_auc {now.auc:.3f})"


@dataclass
class GeneratorAtUnigram(Failure):
    """The generator is no better than token frequencies after the learning rate has reached its peak."""

    is_collapse: ClassVar[bool] = True

    def holds(self, now: Interval, unigram: float) -> bool:
        """See :meth:`Failure.holds`."""
        return now.accuracy < (1.25 if self.said else 1.1) * unigram

    def is_lasting(self, history: list[Interval]) -> bool:
        """See :meth:`Failure.is_lasting`; while the learning rate still rises, this is just a slow start."""
        return len(history) > 1 and history[-1].lr <= history[-2].lr

    def report(self, now: Interval, unigram: float) -> str:
        """See :meth:`Failure.report`."""
        return (
            f"the generator has been no better than piece frequencies since update {self.since} "
            f"(mask_token_accuracy {now.accuracy:.2%}, "
            f"always guessing the most frequent piece {unigram:.2%}); start again with what this run lacks "
            "of --positions rotary, "
            "--norm scaled and half of --lr"
        )

    def recovery(self, now: Interval) -> str:
        """See :meth:`Failure.recovery`."""
        return f"the generator is now better than piece frequencies (mask_token_accuracy {now.accuracy:.2%})"


@dataclass
class GeneratorAhead(Failure):
    """The generator has learnt from context, and the discriminator does not follow.

    Attributes:
        best: the best disc_auc since the generator left the unigram level; earlier values mean nothing.
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
            "--generator-hidden-size or "
            "half of --lr"
        )

    def recovery(self, now: Interval) -> str:
        """See :meth:`Failure.recovery`."""
        return f"the discriminator follows the generator again (disc_auc {now.auc:.3f})"
