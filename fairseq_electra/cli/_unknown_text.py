"""What a net's vocabulary does not know of the text that it is asked about, said on standard error."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from fairseq_electra.pretraining.unknown import PREDICTION_REMEDY, Unknown
from fairseq_electra.progress import Progress

T = TypeVar("T")


class UnknownText:
    """Warns where the answers rest on ``<unk>``: once the first lines are read, and in the end.

    Args:
        place: names the text.
        unknown: of the text read so far.
    """

    def __init__(self, place: str, unknown: Unknown):
        self.place, self.unknown, self._warning = place, unknown, ""

    def over(self, answers: Iterable[T], progress: Progress) -> Iterator[T]:
        """Yield answers, and warn before the first of them, for which some thousand lines may have been read."""
        for number, answer in enumerate(answers):
            if not number and (warning := self.unknown.warning(self.place, PREDICTION_REMEDY)):
                progress.say(warning)
                self._warning = warning
            yield answer

    def say(self) -> None:
        """Say how much of all the text is not known, unless that has been said already or is nothing."""
        found = self.unknown.warning(self.place, PREDICTION_REMEDY) or f"{self.place}: {self.unknown}"
        if self.unknown.unknown_ids and found != self._warning:
            print(found, file=sys.stderr)
