"""Chooses model size, batch and number of updates for the given minutes and the measured pace."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.pretraining.recipes import SHORT_RUNS, TOKENS

TOKENS_PER_PARAMETER = 20  # a model that sees fewer tokens makes worse use of the time than a smaller model
ENOUGH_UPDATES = 1000  # with fewer updates, the batch is made smaller
MIN_UPDATES = 20
PLANNED_SHARE = 0.96  # share of the time that is planned; the rest is a reserve
CHECKPOINTS, MIN_SAVE_SECONDS = 10, 30.0  # checkpoints of a run, and the least number of seconds between two
# a run that would end later or earlier than planned by more than these shares of its time is replanned
MAX_LATE, MAX_EARLY = 0.03, 0.10


@dataclass(frozen=True)
class Pace:
    """The durations of a training, in seconds.

    Args:
        start: From the start of the process to the first update.
        update: Of one update.
        close: Of a validation and the checkpoint after it.
    """

    start: float
    update: float
    close: float


@dataclass(frozen=True)
class Plan:
    """The plan of a pre-training run.

    Args:
        size: The model size.
        rows: The number of rows of a batch.
        lr: The peak learning rate.
        warmup: The number of warm-up updates.
        updates: The total number of updates.
        save_every: The number of updates between two checkpoints.
    """

    size: str
    rows: int
    lr: float
    warmup: int
    updates: int
    save_every: int

    @property
    def tokens(self) -> int:
        """The number of tokens that the model sees, padding included."""
        return self.rows * TOKENS * self.updates


class Candidate(NamedTuple):
    """A model size that might be trained.

    Args:
        size: The name of the size.
        tokens: The number of tokens that it would see.
        parameters: The number of its parameters.
    """

    size: str
    tokens: float
    parameters: int


def updates_in(seconds: float, pace: Pace) -> int:
    """Return the number of updates that fit, next to start, validations, checkpoints and a reserve."""
    share_of_saving = pace.close / save_seconds(seconds)
    training_seconds = max(0.0, PLANNED_SHARE * seconds - pace.start - pace.close)
    return int(training_seconds / pace.update / (1 + share_of_saving))


def save_seconds(seconds: float) -> float:
    """Return the seconds between two checkpoints."""
    return max(seconds / CHECKPOINTS, MIN_SAVE_SECONDS)


def rows_for(seconds: float, pace: Pace, rows: int, fewest: int) -> int:
    """Halve the rows of a batch, down to ``fewest``, until enough updates fit.

    Half the rows are assumed to take half the time.
    """
    while rows // 2 >= fewest and updates_in(seconds, pace) < ENOUGH_UPDATES:
        rows, pace = rows // 2, replace(pace, update=pace.update / 2)
    return rows


def choose_size(candidates: Sequence[Candidate]) -> str:
    """Return the largest size that sees enough tokens, else the smallest size.

    Args:
        candidates: The sizes to choose from, smallest first.
    """
    suitable = [each.size for each in candidates if sees_enough_tokens(each.tokens, each.parameters)]
    return suitable[-1] if suitable else candidates[0].size


def sees_enough_tokens(tokens: float, parameters: int) -> bool:
    """Tell whether a number of tokens is enough for a model with so many parameters."""
    return tokens >= TOKENS_PER_PARAMETER * parameters


def make_plan(size: str, rows: int, seconds: float, pace: Pace, lr: float | None = None) -> Plan:
    """Plan a pre-training run by the recipe of its model size.

    Args:
        size: The model size.
        rows: The number of rows of a batch.
        seconds: The time limit, from the start of the run to its end.
        pace: The measured pace of this size with this batch.
        lr: The peak learning rate; None: that of the recipe.
    """
    updates = updates_in(seconds, pace)
    save_every = max(1, round(save_seconds(seconds) / pace.update))
    lr = MODEL_SIZES[size].pretraining.lr if lr is None else lr
    return Plan(size, rows, lr, warmup_updates(size, updates), updates, save_every)


def warmup_updates(size: str, updates: int) -> int:
    """Return the number of warm-up updates of a short run with so many updates in total."""
    return max(1, round(SHORT_RUNS[size].warmup * updates))


def replan(plan: Plan, done: int, pace: Pace, spent: float, seconds: float) -> Plan | None:
    """Change the number of updates of a run that would end too late or too early.

    Args:
        plan: The plan of the run.
        done: The number of updates so far.
        pace: The pace of the run so far; the time of an update includes its share of validations and
            checkpoints.
        spent: The seconds so far.
        seconds: The time limit of the whole run.

    Returns:
        The new plan, with which the run is to be restarted from its checkpoint. None if the old plan stays,
        because the run is on time or too little time is left for a restart.
    """
    end = spent + (plan.updates - done) * pace.update
    end_after_restart = end + (pace.start if end < seconds else 0)
    if seconds * (1 - MAX_EARLY) <= end_after_restart and end <= seconds * (1 + MAX_LATE):
        return None
    updates = done + int((PLANNED_SHARE * (seconds - spent) - pace.start) / pace.update)
    # a restart must not take longer than the time that it saves
    if seconds - spent < 3 * pace.start or updates <= max(done, plan.warmup):
        return None
    return replace(plan, updates=updates)
