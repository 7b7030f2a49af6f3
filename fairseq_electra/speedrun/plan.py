"""What to train in the minutes given: size, batch and number of updates, from what the machine was seen to do."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.pretraining.recipes import SHORT_RUNS, TOKENS

TOKENS_PER_PARAMETER = (
    20  # a size is fed if it sees so many: with fewer, the next smaller one is the better use of the time
)
ENOUGH_UPDATES = 1000  # with fewer, a smaller batch is better than a shorter run
FEWEST_UPDATES = 20
CAUTION = 0.96  # share of the time that is planned for
SAVES, SHORTEST_SAVE = 10, 30.0  # checkpoints of a run, and the seconds that lie between two at least
LATE, EARLY = 0.03, 0.10  # a run that would end so much of its time too late or too early is replanned


@dataclass(frozen=True)
class Pace:
    """How fast training goes, in seconds: until the first update, for an update, and for a validation with its checkpoint."""

    start: float
    update: float
    close: float


@dataclass(frozen=True)
class Plan:
    """A pre-training.

    Args:
        size: of the network.
        rows: of a batch.
        lr: peak learning rate.
        warmup: updates in which the rate rises to it.
        updates: in all.
        save_every: updates between two checkpoints.
    """

    size: str
    rows: int
    lr: float
    warmup: int
    updates: int
    save_every: int

    @property
    def tokens(self) -> int:
        """Tokens that it sees, with padding."""
        return self.rows * TOKENS * self.updates


def updates_in(seconds: float, pace: Pace) -> int:
    """Count the updates that fit, with start, validations and checkpoints, and something left for a machine that slows down."""
    share_of_saving = pace.close / save_seconds(seconds)
    return int(max(0.0, CAUTION * seconds - pace.start - pace.close) / pace.update / (1 + share_of_saving))


def save_seconds(seconds: float) -> float:
    """Return the seconds from one checkpoint to the next."""
    return max(seconds / SAVES, SHORTEST_SAVE)


def rows_for(seconds: float, pace: Pace, rows: int, fewest: int) -> int:
    """Halve a batch, down to ``fewest``, until enough updates fit; an update of half the rows takes about half the time."""
    while rows // 2 >= fewest and updates_in(seconds, pace) < ENOUGH_UPDATES:
        rows, pace = rows // 2, replace(pace, update=pace.update / 2)
    return rows


def choose_size(fed_with: Sequence[tuple[str, float, int]]) -> str:
    """Choose the largest size that is fed, or the smallest one.

    Args:
        fed_with: of each size its name, the tokens that it would see, and its parameters; the smallest first.
    """
    fed = [name for name, tokens, parameters in fed_with if is_fed(tokens, parameters)]
    return fed[-1] if fed else fed_with[0][0]


def is_fed(tokens: float, parameters: int) -> bool:
    """Tell whether a network sees enough tokens for its size."""
    return tokens >= TOKENS_PER_PARAMETER * parameters


def make_plan(size: str, rows: int, seconds: float, pace: Pace, lr: float | None = None) -> Plan:
    """Plan a pre-training by the recipe of its size.

    Args:
        size: of the network.
        rows: of a batch.
        seconds: it may take, from its start to its end.
        pace: of this size with this batch.
        lr: another rate than the recipe's.
    """
    updates = updates_in(seconds, pace)
    save_every = max(1, round(save_seconds(seconds) / pace.update))
    lr = MODEL_SIZES[size].pretraining.lr if lr is None else lr
    return Plan(size, rows, lr, warmup_updates(size, updates), updates, save_every)


def warmup_updates(size: str, updates: int) -> int:
    """Count the updates in which the learning rate rises, in a short run of so many."""
    return max(1, round(SHORT_RUNS[size].warmup * updates))


def replan(plan: Plan, done: int, pace: Pace, spent: float, seconds: float) -> Plan | None:
    """Change the number of updates of a run that would not end in time.

    Args:
        plan: of the run.
        done: updates so far.
        pace: of the run so far, an update with its share of validations and checkpoints.
        spent: seconds so far.
        seconds: it may take in all.

    Returns:
        the new plan, for a run that is stopped and started again from its checkpoint; None: the old one holds, or too little is left.
    """
    end = spent + (plan.updates - done) * pace.update
    if seconds * (1 - EARLY) <= end + (pace.start if end < seconds else 0) and end <= seconds * (1 + LATE):
        return None
    updates = done + int((CAUTION * (seconds - spent) - pace.start) / pace.update)
    # a start that eats up what it is to save is not worth it
    if seconds - spent < 3 * pace.start or updates <= max(done, plan.warmup):
        return None
    return replace(plan, updates=updates)
