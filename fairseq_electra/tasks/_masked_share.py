"""The share of tokens that are masked, with which the discriminator's loss is weighted."""

import functools
import logging
from collections.abc import Callable

import torch

from fairseq_electra.electra.schedules import Schedule
from fairseq_electra.pretraining.batches import MaskedRows

logger = logging.getLogger(__name__)


class MaskedShare:
    """Share of the tokens that are masked, measured once in a run.

    It differs from ``--mask-prob`` by rounding to whole tokens in short rows, and by words that do not fit.
    It is constant during a run, or with a schedule during an update, and the same in every process, so that
    the loss of a batch is the sum of its rows' losses. With several data folders, it is that of the folder
    that is read first. Where rates are drawn, it is the share of tokens that may be masked, whose number
    losses are divided by then.

    Args:
        mask_prob: the share until it is measured; of a schedule the highest.
        texts: returns digests of the training text (:func:`fairseq_electra.compat.same_run.digests`); called
            once, when a checkpoint is written or read.
        schedule: the masking rate by update; the share follows it.
        **options: further options that the share depends on.
    """

    def __init__(
        self,
        mask_prob: float,
        texts: Callable[[], list[str]] = list,
        schedule: Schedule | None = None,
        **options: object,
    ):
        self.value, self._mask_prob, self._known = float(mask_prob), float(mask_prob), False
        self._schedule = schedule
        self._of_update: torch.Tensor | None = None
        self._options, self._texts = {"mask_prob": float(mask_prob), **options}, texts

    def measure(self, rows: MaskedRows, name: str) -> None:
        """Measure the share, unless it is known.

        Args:
            rows: rows of the training text.
            name: their name in the log.
        """
        if self._known or not len(rows):
            return
        self.value, self._known = rows.masked_share(), True
        # where rates are drawn, the highest is 1
        are = "may be masked" if self._mask_prob == 1 else f"are masked, for --mask-prob {self._mask_prob:g}"
        logger.info(f"{name}: {self.value:.4f} of the tokens {are}; --disc-weight counts on this")

    def set_update(self, updates: int, device: torch.device) -> None:
        """Follow the schedule to the update that comes after ``updates`` finished ones."""
        assert self._schedule is not None
        share = self.value * self._schedule.at(updates) / self._schedule.highest
        # a number would make torch.compile compile the loss again for every update
        self._of_update = torch.full((), share, dtype=torch.float64, device=device)

    def of_loss(self, training: bool) -> float | torch.Tensor:
        """Return the share that a loss counts on: in training that of the update, if there is a schedule."""
        if self._schedule is None:
            return self.value
        if not training:
            return self.value * self._schedule.last / self._schedule.highest
        assert self._of_update is not None  # the task calls set_update before every step
        return self._of_update

    @functools.cached_property
    def _here(self) -> list[str]:
        return self._texts()

    def state_dict(self) -> dict:
        """Return the share, with its options and the digests of its text, for the checkpoint."""
        return {"value": self.value, "options": self._options, "texts": self._here}

    def load_state_dict(self, state: dict | None) -> None:
        """Use the share of a checkpoint if options and text are the same; otherwise it is measured again.

        Checkpoints from before shares were measured have none, and continue with ``--mask-prob``. Checkpoints
        without digests of the text are taken to have the same text.
        """
        if state is None:
            self._known = True
            logger.info(
                f"the run began with --mask-prob {self._mask_prob:g} as the share of masked tokens, and goes"
                " on so"
            )
        elif state["options"] == self._options and _overlap(state.get("texts"), self._here):
            self.value, self._known = state["value"], True


def _overlap(before: list[str] | None, now: list[str]) -> bool:
    """Return whether two lists of digests have one in common, or one list is unknown."""
    return not before or not now or not set(before).isdisjoint(now)
