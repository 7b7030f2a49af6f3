"""Values that change during training: the masking rate, the temperature that the generator is sampled with.

A schedule is a start value and a text, ``FORM:VALUE@UPDATE``, with further ``VALUE@UPDATE`` behind commas:
``linear:.15@20000`` falls or rises on a line from the start value, and is .15 from update 20,000 on. A
schedule depends on the number of updates alone, so a resumed run continues it exactly.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from fairseq_electra.errors import InputError

# the value between two points, when a share t of the updates between them is done: 0 <= t < 1
FORMS: dict[str, Callable[[float, float, float], float]] = {
    "linear": lambda start, end, t: start + (end - start) * t,
    "cosine": lambda start, end, t: end + (start - end) * (1 + math.cos(math.pi * t)) / 2,
    "exponential": lambda start, end, t: start * (end / start) ** t,
    "step": lambda start, end, t: start,
}
GRAMMAR = "FORM:VALUE@UPDATE, FORM being linear, cosine, exponential or step, such as linear:{example}@20000"


class Point(NamedTuple):
    """A value that a schedule reaches, and the number of updates after which it does."""

    value: float
    update: int


@dataclass(frozen=True)
class Schedule:
    """A value that changes with the number of updates.

    Args:
        form: a key of :data:`FORMS`, how the value changes between two points.
        points: the start value at update 0, and the values that follow, by update. All are above 0.
    """

    form: str
    points: tuple[Point, ...]

    def at(self, updates: int) -> float:
        """Return the value for the update that follows ``updates`` finished ones, as learning rates do."""
        for before, after in itertools.pairwise(self.points):
            if updates < after.update:
                done = (updates - before.update) / (after.update - before.update)
                return FORMS[self.form](before.value, after.value, done)
        return self.last

    @property
    def last(self) -> float:
        """The value from the last point on."""
        return self.points[-1].value

    @property
    def highest(self) -> float:
        """The highest value of all updates."""
        return max(point.value for point in self.points)

    def __str__(self) -> str:
        """Describe the schedule for the log."""
        behind = ", ".join(f"{value:g} from update {update:,} on" for value, update in self.points[1:])
        return f"{self.points[0].value:g} at first, {behind} ({self.form})"


def parse_schedule(
    option: str, text: str, start: float, below: float = math.inf, others: str = ""
) -> Schedule:
    """Read a schedule.

    Args:
        option: the name of its option, for errors.
        text: the schedule.
        start: its value at the first update.
        below: its values must lie between 0 and this number.
        others: what else the option may be, for errors.

    Raises:
        InputError: the text is no schedule, or one of its values is impossible.
    """
    form, colon, rest = text.partition(":")
    points = [Point(start, 0)]
    try:
        if form not in FORMS or not colon:
            raise ValueError
        for part in rest.split(","):
            value, _, update = part.partition("@")
            points.append(Point(float(value), int(update)))
    except ValueError:
        grammar = GRAMMAR.format(example=f"{start / 2:g}")
        raise InputError(f"{option} {text!r} is no schedule; give {grammar}{others}") from None
    for before, after in itertools.pairwise(points):
        if not 0 < after.value < below:
            limits = "above 0" if below == math.inf else f"between 0 and {below:g}"
            raise InputError(f"{option} {text}: its values must lie {limits}, got {after.value:g}")
        if after.update <= before.update:
            raise InputError(
                f"{option} {text}: its updates must rise from 1 on, got {after.update} behind {before.update}"
            )
    return Schedule(form, tuple(points))
