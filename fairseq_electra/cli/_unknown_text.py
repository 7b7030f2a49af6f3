"""Report on standard error how much of a text the model's vocabulary does not know."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from fairseq_electra.pretraining.unknown import PREDICTION_REMEDY, Unknown
from fairseq_electra.progress import Progress

T = TypeVar("T")


class UnknownText:
    """Warns if answers rest on ``<unk>``: after the first lines, and at the end.

    Args:
        source: name of the text.
        unknown: the counts of the text read so far.
    """

    def __init__(self, source: str, unknown: Unknown):
        self.source, self.unknown, self._warning = source, unknown, ""

    def over(self, answers: Iterable[T], progress: Progress) -> Iterator[T]:
        """Yield answers, with a warning before the first one; by then, thousands of lines may be read."""
        for number, answer in enumerate(answers):
            if not number and (warning := self.unknown.warning(self.source, PREDICTION_REMEDY)):
                progress.say(warning)
                self._warning = warning
            yield answer

    def say(self) -> None:
        """Report how much of all the text is unknown, unless that is nothing or has been reported."""
        report = self.unknown.warning(self.source, PREDICTION_REMEDY) or f"{self.source}: {self.unknown}"
        if self.unknown.unknown_ids and report != self._warning:
            print(report, file=sys.stderr)
