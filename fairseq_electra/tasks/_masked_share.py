"""The share of tokens that are masked, which the discriminator's loss is weighted with. The underscore keeps fairseq from importing it."""

import functools
import logging
from collections.abc import Callable

from fairseq_electra.pretraining.batches import MaskedRows

logger = logging.getLogger(__name__)


class MaskedShare:
    """Masked tokens by all tokens, measured once for a run.

    ``--mask-prob`` is what is asked for; rounding to whole tokens in short rows, and words that do not fit, make the share another one.
    It is a constant of the run, so that the loss of a batch is the sum of its rows' losses, and it is the same in every process.
    Of several data folders, it is that of the first that is read.

    Args:
        mask_prob: the share until it is measured.
        texts: tells the training text from others, as :func:`fairseq_electra.compat.same_run.digests` does; called once, when a
            checkpoint is written or read.
        **options: further options that decide it.
    """

    def __init__(self, mask_prob: float, texts: Callable[[], list[str]] = list, **options: object):
        self.value, self._mask_prob, self._known = float(mask_prob), float(mask_prob), False
        self._options, self._texts = {"mask_prob": float(mask_prob), **options}, texts

    def measure(self, rows: MaskedRows, name: str) -> None:
        """Measure it, unless it is known.

        Args:
            rows: of the training text.
            name: names them in the log.
        """
        if self._known or not len(rows):
            return
        self.value, self._known = rows.masked_share(), True
        logger.info(
            f"{name}: {self.value:.4f} of the tokens are masked, for --mask-prob {self._mask_prob:g}; --disc-weight counts on this"
        )

    @functools.cached_property
    def _here(self) -> list[str]:
        return self._texts()

    def state_dict(self) -> dict:
        """Return the share, and the options and the text that it is of, for the checkpoint."""
        return {"value": self.value, "options": self._options, "texts": self._here}

    def load_state_dict(self, state: dict | None) -> None:
        """Go on with a checkpoint's share, if the options and the text are the same; else it is measured anew.

        Runs that began before it was measured have none, and go on with ``--mask-prob``. Checkpoints of before the text was noted are taken
        to be of this one.
        """
        if state is None:
            self._known = True
            logger.info(
                f"the run began with --mask-prob {self._mask_prob:g} as the share of masked tokens, and goes on so"
            )
        elif state["options"] == self._options and _overlap(state.get("texts"), self._here):
            self.value, self._known = state["value"], True


def _overlap(before: list[str] | None, now: list[str]) -> bool:
    """Tell whether two lists of texts have one in common, or one of them is not known."""
    return not before or not now or not set(before).isdisjoint(now)
