"""``bash scripts/benchmark.sh watched REPORT FIRST LAST ARGUMENTS...``: time ``fairseq-train``.

Between the updates FIRST and LAST, only the clock is read. On a GPU, further updates follow: some that each
wait for the device, and a few under the profiler.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import fairseq_electra
from benchmark.bookkeeping import Clock, watch_trainer
from benchmark.bound import clock
from benchmark.gpu import kernel_seconds, profiler
from benchmark.report import run_logged
from fairseq_electra.pretraining.log import read_log

SYNCED, PROFILED = 20, 2  # updates after the last one, on a GPU


def updates_after(device: str) -> int:
    """Return the number of updates that a run needs after LAST."""
    return SYNCED + PROFILED if device == "cuda" else 0


class Watch:
    """Reads the clocks after each update.

    Args:
        device: ``cpu`` or ``cuda``.
        first, last: The updates between which only the clock is read.

    Attributes:
        found: The measurements. ``processor``: the processor seconds of an update, summed over threads.
            ``parts``: the milliseconds of each part, in processor time on a CPU, and in wall time of the host
            on a GPU, including waits for the GPU. ``peak``: the FLOP/s that give an ``mfu`` of 1 in the log.
            On a GPU also ``launch``: the median seconds from the end of an update to the end of the next,
            with an idle GPU at the start; and ``kernels``: the seconds that its kernels run.
    """

    def __init__(self, device: str, first: int, last: int):
        self.device, self.first, self.last = device, first, last
        self.found: dict = {}
        self.clock = Clock(time.process_time if device == "cpu" else time.perf_counter)
        self._processor = self._since = 0.0
        self._launches: list[float] = []
        self._profile = profiler(device)

    def after(self, update: int, peak: float) -> None:
        """Read the clocks after an update."""
        if update == self.first:
            self.clock.charge()
            self.clock.spent.clear()
            self._processor = time.process_time()
        elif update == self.last:
            self.clock.charge()
            updates = self.last - self.first
            parts = {part: 1e3 * seconds / updates for part, seconds in self.clock.spent.items()}
            self.found |= {
                "processor": (time.process_time() - self._processor) / updates,
                "parts": parts,
                "peak": peak,
            }
        if self.device == "cuda" and update >= self.last:
            self._after_last(update - self.last)

    def _after_last(self, further: int) -> None:
        if 0 < further <= SYNCED:
            self._launches.append(time.perf_counter() - self._since)
        clock(self.device)
        if further == SYNCED:
            self.found["launch"] = statistics.median(self._launches)
            self._profile.start()
        elif further == SYNCED + PROFILED:
            self._profile.stop()
            self.found["kernels"] = sum(kernel_seconds(self._profile, self.device).values()) / PROFILED
        self._since = time.perf_counter()


def run(arguments: list[str], log: Path, first: int, last: int, threads: int, seconds: float) -> dict:
    """Run ``fairseq-train`` in its own process.

    Args:
        arguments: The arguments of ``fairseq-train``, with ``--log-format json`` and enough updates (see
            :func:`updates_after`).
        log: The file for its log; the report is written beside it.
        first, last: The updates between which it is timed.
        threads: The number of CPU threads.
        seconds: The time limit.

    Returns:
        The measurements of :class:`Watch`, and the medians of ``wps`` and ``mfu`` in the log between these
        updates.

    Raises:
        RuntimeError, TimeoutError: As in :func:`benchmark.report.run_logged`.
    """
    report = log.with_suffix(".json")
    command = ["benchmark.watched", str(report), str(first), str(last), *arguments]
    run_logged(command, log, threads, max(0.0, seconds))
    records = [
        each
        for each in read_log(log)
        if each["subset"] == "train_inner" and first < each["num_updates"] <= last
    ]
    return {
        **json.loads(report.read_text()),
        **{name: statistics.median(each[name] for each in records) for name in ("wps", "mfu")},
    }


def train(report: Path, first: int, last: int, arguments: list[str]) -> None:
    """Run ``fairseq-train`` in this process, and write the measurements of :class:`Watch`."""
    from fairseq_cli import train  # must be the first import of fairseq, since it sets up logging

    fairseq_electra.register()
    from fairseq.data import iterators
    from fairseq.trainer import Trainer

    watch = Watch("cpu" if "--cpu" in arguments else "cuda", first, last)
    watch_trainer(watch.clock)
    watch.clock.watch(iterators.BufferedIterator, "__next__", "batch")
    step = Trainer.train_step

    def watched(self, *args, **kwargs):
        result = step(self, *args, **kwargs)
        watch.after(self.get_num_updates(), self.task.peak)
        return result

    Trainer.train_step = watched
    sys.argv = ["fairseq-train", *arguments]
    train.cli_main()
    report.write_text(json.dumps(watch.found))


if __name__ == "__main__":
    train(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
