"""The share of a row's tokens that is masked, where it changes: by update, or from row to row."""

from dataclasses import dataclass

from fairseq_electra.electra.schedules import Schedule, parse_schedule

OPTION = "--mask-prob-schedule"
DRAWN = "uniform"  # the schedule's text for a rate that is drawn for each row


@dataclass(frozen=True)
class MaskRate:
    """The masking rate of a run.

    Args:
        mask_prob: the rate, or that of the first update.
        schedule: the rate by update; None: it does not depend on the update.
        is_drawn: each row has a rate of its own, drawn from U(0, 1), in training and validation; then
            ``mask_prob`` is not used.
    """

    mask_prob: float
    schedule: Schedule | None = None
    is_drawn: bool = False

    @classmethod
    def parse(cls, mask_prob: float, text: str | None) -> "MaskRate":
        """Read the options ``--mask-prob`` and ``--mask-prob-schedule``.

        Raises:
            InputError: the schedule is no schedule.
        """
        if not text:
            return cls(mask_prob)
        if text == DRAWN:
            return cls(mask_prob, is_drawn=True)
        others = f", or {DRAWN} to draw a rate for each row"
        return cls(mask_prob, parse_schedule(OPTION, text, mask_prob, below=1, others=others))

    @property
    def highest(self) -> float:
        """The highest rate of any row."""
        if self.is_drawn:
            return 1.0
        return self.mask_prob if self.schedule is None else self.schedule.highest

    @property
    def validated(self) -> float:
        """The rate in validation, the same at all updates, so that its figures can be compared."""
        if self.is_drawn:
            return 1.0
        return self.mask_prob if self.schedule is None else self.schedule.last
