"""``bash scripts/benchmark.sh watched REPORT FIRST LAST ARGUMENTS...``: ``fairseq-train`` with its updates timed.

Between the updates FIRST and LAST the training is left alone and only the clock is read. On a GPU there follow updates that each wait
for the device, and a few under the profiler.
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
    """Tell how many updates a run needs after LAST."""
    return SYNCED + PROFILED if device == "cuda" else 0


class Watch:
    """What is read after each update.

    Args:
        device: ``cpu`` or ``cuda``.
        first, last: the updates between which nothing but the clock is read.

    Attributes:
        found: ``processor``, the processor seconds of an update, all threads of this process; ``parts``, the milliseconds of each part,
            of processor time, on a GPU of the host's, waits for the GPU included; ``peak``, FLOP/s that ``mfu`` in the log is a share
            of. On a GPU also ``launch``, the seconds from the end of one update to that of the next where the GPU is idle at the start,
            a median, and ``kernels``, the seconds that an update's kernels run.
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
    """Run ``fairseq-train`` in a process of its own.

    Args:
        arguments: of ``fairseq-train``, with ``--log-format json`` and enough updates (:func:`updates_after`).
        log: where its log goes; the report goes beside it.
        first, last: the updates between which it is timed.
        threads: of the CPU.
        seconds: when to end it.

    Returns:
        what :class:`Watch` found, and of the log's records after the first update the medians of ``wps`` and ``mfu``.

    Raises:
        RuntimeError, TimeoutError: as :func:`benchmark.report.run_logged`.
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
    """Run ``fairseq-train`` in this process, once, and write what :class:`Watch` found."""
    from fairseq_cli import train  # before all else of fairseq: who comes first sets up the log

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
