"""How fast this machine trains: short runs of ``fairseq-train`` itself, its start counted."""

import contextlib
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.log import read_record
from fairseq_electra.pretraining.recipes import SHORT_RUNS, TOKENS
from fairseq_electra.speedrun.machine import Machine
from fairseq_electra.speedrun.one_run import follow
from fairseq_electra.speedrun.plan import Pace, Plan, choose_size, is_fed, rows_for, updates_in
from fairseq_electra.speedrun.pretraining import training_arguments

UPDATES = {"cpu": 30, "cuda": 200}  # of a short run: some ten seconds
LONGEST = 20.0  # seconds of one on a CPU, which may be far slower; on a GPU the first update alone may take longer, to compile it
WARM_UP = 1 / 3  # of them, which are not counted
NO_MEMORY = "out of memory"


@dataclass(frozen=True)
class Measured:
    """A size with its batch, and its pace."""

    size: str
    rows: int
    pace: Pace

    @property
    def tokens_per_second(self) -> float:
        """Tokens of a batch, with padding, by the time of an update."""
        return self.rows * TOKENS / self.pace.update


def choose(
    sizes: dict[str, int],
    rows: int | None,
    seconds: float,
    measure: Callable[[str, int], Pace],
    say: Callable[[str], None] = print,
) -> Measured:
    """Measure what may be trained, the smallest first, and choose.

    Args:
        sizes: names, and parameters of the discriminator.
        rows: of a batch; None: by the recipe, fewer where it would make too few updates, or does not fit into memory.
        seconds: the training may take.
        measure: tells the pace of a size with a batch.
        say: takes a line of progress.
    """
    found: dict[str, Measured] = {}
    for size, parameters in sizes.items():
        # a larger network sees fewer tokens than a smaller one
        if found and not is_fed(list(found.values())[-1].tokens_per_second * seconds, parameters):
            break
        one = _measure_fitting(size, rows or MODEL_SIZES[size].pretraining.batch, rows is None, measure)
        fewer = one.rows if rows else rows_for(seconds, one.pace, one.rows, SHORT_RUNS[size].fewest_rows)
        if fewer != one.rows:
            one = Measured(size, fewer, measure(size, fewer))
        found[size] = one
        say(
            f"    {size}: {one.tokens_per_second:,.0f} tokens/s with {one.rows} rows of {TOKENS}; {one.pace.start:.0f} s to start, "
            f"{one.pace.close:.1f} s to validate and save"
        )
    fed_with = [
        (size, one.rows * TOKENS * updates_in(seconds, one.pace), sizes[size]) for size, one in found.items()
    ]
    return found[choose_size(fed_with)]


def _measure_fitting(size: str, rows: int, may_shrink: bool, measure: Callable[[str, int], Pace]) -> Measured:
    """Measure, with half the rows as often as a GPU's memory wants it."""
    while True:
        try:
            return Measured(size, rows, measure(size, rows))
        except InputError as error:
            if NO_MEMORY not in str(error) or not may_shrink or rows < 2:
                raise
        rows //= 2


def measure(data: Path, size: str, rows: int, machine: Machine, log: Path) -> Pace:
    """Train for a few updates, validate and save as the real run will; what is saved is thrown away.

    Args:
        data: folder of binarized text.
        size: of the network.
        rows: of a batch.
        machine: it runs on.
        log: file for what fairseq-train prints; checkpoints lie beside it meanwhile.
    """
    updates = UPDATES[machine.kind]
    plan = Plan(size, rows, MODEL_SIZES[size].pretraining.lr, max(1, updates // 10), updates, updates)
    scratch = log.with_suffix(".scratch")  # on the disk that has been looked at
    shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
    try:
        arguments = training_arguments(data, scratch, plan, machine)
        if machine.kind == "cpu":
            arguments += ["--stop-time-hours", f"{LONGEST / 3600:.6f}"]
        seconds, times = math.nan, list[tuple[int, float]]()
        with contextlib.closing(follow(arguments, log)) as lines:
            for seconds, line in lines:
                record = read_record(line)
                if record is not None and record["subset"] == "train_inner":
                    times.append((int(record["num_updates"]), seconds))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return pace_of(times, seconds)


def pace_of(times: list[tuple[int, float]], ended: float) -> Pace:
    """Work out a pace.

    Args:
        times: updates, and seconds from the start until they were done.
        ended: seconds until the last line.
    """
    (first, until_first), (last, until_last) = (
        next(entry for entry in times if entry[0] >= WARM_UP * times[-1][0]),
        times[-1],
    )
    if last == first:  # so slow that one update was all: its time is that of the start as well
        return Pace(0.0, until_last / last, ended - until_last)
    update = (until_last - until_first) / (last - first)
    return Pace(max(0.0, times[0][1] - times[0][0] * update), update, ended - until_last)
