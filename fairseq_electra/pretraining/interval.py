"""The figures of an interval of a training run."""

import math
from dataclasses import dataclass, fields

GENERATORS_SUMS = ("mask_token_count", "mask_token_correct")  # of the criterion's, what is of the generator


@dataclass(frozen=True)
class Interval:
    """The updates after ``start`` up to and including ``end``, as sums, so that intervals add up.

    ``tokens``, ``replaced``, ``found`` (replaced and flagged), ``hidden`` (masked tokens shown as ``<mask>``)
    and ``guessed`` (those predicted correctly) are counts; ``disc_sum`` is in nats; ``auc_sum`` is
    ``disc_auc`` times ``replaced``; ``lr`` is the learning rate at the end. Without a generator ``hidden``
    and ``guessed`` are 0, without a discriminator all other counts. So they are of an Electric model, whose
    ``disc_auc`` says nothing of a failure: it is near .5 while the noise model is ahead, and again once the
    noise is like the text.
    """

    start: int
    end: int
    lr: float
    hidden: float
    guessed: float
    tokens: float = 0.0
    replaced: float = 0.0
    found: float = 0.0
    disc_sum: float = 0.0
    auc_sum: float = 0.0

    @classmethod
    def of(cls, total: dict, auc: float, end: int, lr: float) -> "Interval":
        """Make an interval from the criterion's sums by name, ``updates`` included."""
        start, hidden, guessed = (
            end - total["updates"],
            total.get("mask_token_count", 0.0),
            total.get("mask_token_correct", 0.0),
        )
        if "flagged_replaced" not in total or "noise_sum" in total or not total["replaced"]:
            return cls(start, end, lr, hidden, guessed)
        replaced, found = total["replaced"], total["flagged_replaced"]
        return cls(
            start,
            end,
            lr,
            hidden,
            guessed,
            total["ntokens"],
            replaced,
            found,
            total["disc_sum"],
            auc * replaced,
        )

    def __add__(self, later: "Interval") -> "Interval":
        """Add the interval that follows."""
        sums = {each.name: getattr(self, each.name) + getattr(later, each.name) for each in fields(self)[3:]}
        return Interval(self.start, later.end, later.lr, **sums)

    @property
    def auc(self) -> float:
        """``disc_auc``; nan without a discriminator."""
        return self.auc_sum / self.replaced if self.replaced else math.nan

    @property
    def auc_error(self) -> float:
        """Standard error of ``auc`` at chance (Mann-Whitney statistic): sqrt((m + n + 1) / (12 m n))."""
        original = self.tokens - self.replaced
        return (
            math.sqrt((self.tokens + 1) / (12 * self.replaced * original))
            if self.replaced and original
            else math.inf
        )

    @property
    def recall(self) -> float:
        """``disc_recall``."""
        return self.found / self.replaced if self.replaced else math.nan

    @property
    def disc_loss(self) -> float:
        """``disc_loss``, in nats."""
        return self.disc_sum / self.tokens if self.tokens else math.nan

    @property
    def base_rate_loss(self) -> float:
        """``disc_loss`` of always predicting the share of replaced tokens: its entropy, in nats."""
        share = self.replaced / self.tokens if self.tokens else 0.0
        return -(share * math.log(share) + (1 - share) * math.log1p(-share)) if 0 < share < 1 else 0.0

    @property
    def accuracy(self) -> float:
        """``mask_token_accuracy``; tokens left visible, which are learnt at once, do not count."""
        return self.guessed / self.hidden if self.hidden else math.nan


def is_rising(intervals: list[Interval], updates: int, by: float) -> bool:
    """Tell whether ``disc_auc`` rose by ``by`` between the halves of the last ``updates`` updates.

    If these updates are a single interval, it is compared with the one before. Two or more are needed.
    """
    recent = [each for each in intervals if each.end > intervals[-1].end - updates]
    recent = recent if len(recent) > 1 else intervals[-2:]
    middle = (recent[0].start + recent[-1].end) / 2
    cut = max(1, sum(each.end <= middle for each in recent))
    first, second = (sum(each.auc for each in half) / len(half) for half in (recent[:cut], recent[cut:]))
    return second - first > by
