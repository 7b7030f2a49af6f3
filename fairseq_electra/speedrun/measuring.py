"""Measures the training speed of the machine with short runs of ``fairseq-train``, start-up included."""

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
from fairseq_electra.speedrun.plan import (
    Candidate,
    Pace,
    Plan,
    choose_size,
    rows_for,
    sees_enough_tokens,
    updates_in,
)
from fairseq_electra.speedrun.pretraining import training_arguments

# updates of each short run; the last one counts, about ten seconds. On a GPU the first one compiles, which
# takes one to two minutes on an H200; the real run finds the graphs in PyTorch's cache
UPDATES = {"cpu": (30,), "cuda": (20, 200)}
# a slow CPU is stopped after so many seconds; not a GPU, where compiling before the first update may take
# longer
MAX_CPU_SECONDS = 20.0
WARM_UP_SHARE = 1 / 3  # share of the updates that is not counted
OUT_OF_MEMORY = "out of memory"


@dataclass(frozen=True)
class Measured:
    """A model size with the rows of its batch and its measured pace."""

    size: str
    rows: int
    pace: Pace

    @property
    def tokens_per_second(self) -> float:
        """Tokens per second, padding included."""
        return self.rows * TOKENS / self.pace.update


def choose(
    sizes: dict[str, int],
    rows: int | None,
    seconds: float,
    measure: Callable[[str, int], Pace],
    say: Callable[[str], None] = print,
) -> Measured:
    """Measure the candidate model sizes, smallest first, and choose one.

    Args:
        sizes: The number of parameters of the discriminator, for each candidate size.
        rows: The number of rows of a batch; None: that of the recipe, but fewer if the run would have too few
            updates or the batch does not fit into memory.
        seconds: The time limit of the training.
        measure: Returns the pace of a size with the given number of rows.
        say: Called with each line of progress.
    """
    measured: dict[str, Measured] = {}
    for size, parameters in sizes.items():
        # a larger model sees fewer tokens than a smaller one
        if measured and not sees_enough_tokens(
            list(measured.values())[-1].tokens_per_second * seconds, parameters
        ):
            break
        current = _measure_fitting(size, rows or MODEL_SIZES[size].pretraining.batch, rows is None, measure)
        if rows is None:
            fewer = rows_for(seconds, current.pace, current.rows, SHORT_RUNS[size].fewest_rows)
            if fewer != current.rows:
                current = Measured(size, fewer, measure(size, fewer))
        measured[size] = current
        say(
            f"    {size}: {current.tokens_per_second:,.0f} tokens/s with {current.rows} rows of {TOKENS}; "
            f"{current.pace.start:.0f} s to start, {current.pace.close:.1f} s to validate and save"
        )
    candidates = [
        Candidate(size, each.rows * TOKENS * updates_in(seconds, each.pace), sizes[size])
        for size, each in measured.items()
    ]
    return measured[choose_size(candidates)]


def _measure_fitting(size: str, rows: int, may_shrink: bool, measure: Callable[[str, int], Pace]) -> Measured:
    """Measure a size; as long as the batch does not fit into GPU memory, halve it."""
    while True:
        try:
            return Measured(size, rows, measure(size, rows))
        except InputError as error:
            if OUT_OF_MEMORY not in str(error) or not may_shrink or rows < 2:
                raise
        rows //= 2


def measure(data: Path, size: str, rows: int, machine: Machine, log: Path) -> Pace:
    """Train for a few updates, validate and save as the real run will; the checkpoints are deleted.

    Args:
        data: The folder of binarized text.
        size: The model size.
        rows: The number of rows of a batch.
        machine: The machine to measure.
        log: The file for the output of ``fairseq-train``; a temporary folder beside it gets the checkpoints.
    """
    for updates in UPDATES[machine.kind]:
        pace = _pace_of_run(data, size, rows, updates, machine, log)
    return pace


def _pace_of_run(data: Path, size: str, rows: int, updates: int, machine: Machine, log: Path) -> Pace:
    """Measure one run; arguments as :func:`measure`."""
    plan = Plan(size, rows, MODEL_SIZES[size].pretraining.lr, max(1, updates // 10), updates, updates)
    scratch = log.with_suffix(".scratch")  # on the disk whose free space was checked
    shutil.rmtree(scratch, ignore_errors=True)  # left behind by a killed run
    try:
        arguments = training_arguments(data, scratch, plan, machine)
        if machine.kind == "cpu":
            arguments += ["--stop-time-hours", f"{MAX_CPU_SECONDS / 3600:.6f}"]
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
    """Compute a pace.

    Args:
        times: Pairs of an update number and the seconds from the start of the process to the end of that
            update.
        ended: The seconds from the start to the last line of output.
    """
    first, until_first = next(entry for entry in times if entry[0] >= WARM_UP_SHARE * times[-1][0])
    last, until_last = times[-1]
    if last == first:  # only one update was made: its time includes the start, which cannot be told apart
        return Pace(0.0, until_last / last, ended - until_last)
    update = (until_last - until_first) / (last - first)
    return Pace(max(0.0, times[0][1] - times[0][0] * update), update, ended - until_last)
