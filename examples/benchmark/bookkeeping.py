"""``bash scripts/benchmark.sh bookkeeping``: the overhead of an update of ``fairseq-train``.

The networks have one layer and eight dimensions, and a batch is one row of 16 tokens, so that the overhead of
an update remains. It is reported by its parts.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import torch

import fairseq_electra
from benchmark.report import machine_lock, new_parser, publish, read_arguments
from benchmark.trainer import make_data
from fairseq_electra.finetuning.runs import USER_DIR
from fairseq_electra.speedrun.machine import processor

WARM_UP = 50  # updates that are not counted
TINY_NETWORKS = (
    "--num-hidden-layers 1 --hidden-size 8 --embedding-size 8 --intermediate-size 8 --num-attention-heads 1"
)
LINE = f"--user-dir {USER_DIR} --task electra_pretraining --criterion replaced_token_detection"
LINE += f" --arch electra_tiny {TINY_NETWORKS} --rows blocks --tokens-per-sample 16 --batch-size 1"
LINE += " --optimizer electra_adam --lr 1e-4 --lr-scheduler polynomial_decay --total-num-update 100000"
LINE += " --cpu --no-save --disable-validation --log-format json --num-workers 0 --data-buffer-size 0"
VARIANTS = {
    "as it comes": "--clip-norm 1.0",
    "--log-interval 1": "--clip-norm 1.0 --log-interval 1",
    "--clip-norm 0": "--clip-norm 0",
    "--update-freq 8": "--clip-norm 1.0 --update-freq 8",
}
REST = "the rest"  # the part that all time outside of the watched functions goes to


class Clock:
    """Measures the time spent in each part of a program. In nested parts, time goes to the innermost one.

    Args:
        now: Returns the current time in seconds; by default the processor time.
    """

    def __init__(self, now: Callable[[], float] = time.process_time) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self._now, self._open, self._since = now, [REST], now()

    def charge(self) -> None:
        """Add the time since the last call to the current part."""
        now = self._now()
        self.spent[self._open[-1]] += now - self._since
        self._since = now

    def watch(self, owner: object, name: str, part: str) -> None:
        """Replace a function, an attribute of ``owner``, by one whose time is added to ``part``."""
        plain = getattr(owner, name)

        def timed(*args, **kwargs):
            self.charge()
            self._open.append(part)
            try:
                return plain(*args, **kwargs)
            finally:
                self.charge()
                self._open.pop()

        setattr(owner, name, timed)


def watch_trainer(clock: Clock) -> None:
    """Let a clock measure the parts of an update in this process, except waiting for a batch."""
    from fairseq import trainer
    from fairseq.logging import progress_bar
    from fairseq_cli import train

    from fairseq_electra.optim.electra_adam import ElectraAdam
    from fairseq_electra.tasks.electra_pretraining import ElectraPretrainingTask

    clock.watch(trainer.Trainer, "_prepare_sample", "batch")
    clock.watch(ElectraPretrainingTask, "train_step", "networks")
    for owner, name in (
        (trainer.Trainer, "zero_grad"),
        (trainer.Trainer, "clip_grad_norm"),
        (ElectraAdam, "multiply_grads"),
    ):
        clock.watch(owner, name, "gradients")
    clock.watch(ElectraPretrainingTask, "optimizer_step", "optimizer")
    clock.watch(trainer.Trainer, "_reduce_and_log_stats", "statistics")
    clock.watch(trainer.Trainer, "_set_seed", "seeds")
    clock.watch(trainer.Trainer, "set_num_updates", "learning rate")
    clock.watch(train, "validate_and_save", "whether to validate or save")
    clock.watch(progress_bar.JsonProgressBar, "log", "log")


def train(options: list[str]) -> dict[str, float]:
    """Run ``fairseq-train`` in this process; returns the milliseconds of each part of an update."""
    from fairseq import trainer
    from fairseq_cli import train
    from torch.utils.data import dataloader

    fairseq_electra.register()
    clock = Clock()
    clock.watch(dataloader._BaseDataLoaderIter, "__next__", "batch")
    watch_trainer(clock)
    spent: dict[str, float] = {}
    step = trainer.Trainer.train_step

    def counted(self, *args, **kwargs):
        if self.get_num_updates() == WARM_UP:
            clock.charge()
            clock.spent.clear()
        result = step(self, *args, **kwargs)
        clock.charge()
        updates = max(1, self.get_num_updates() - WARM_UP)
        spent.update((part, 1e3 * seconds / updates) for part, seconds in clock.spent.items())
        return result

    trainer.Trainer.train_step = counted
    sys.argv = ["fairseq-train", *options]
    train.cli_main()
    return spent


def in_a_process(options: list[str]) -> dict[str, float]:
    """Run :func:`train` in a process of its own, on one thread."""
    command = [sys.executable, "-m", "benchmark.bookkeeping", "--train", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def compare(data: Path, rounds: int, updates: int) -> dict[str, dict[str, float]]:
    """Train with the options of each variant in turn.

    Args:
        data: The folder of binarized text.
        rounds: The number of runs of each variant.
        updates: The number of updates of a run, not counting the warm-up.

    Returns:
        For each variant the median milliseconds of each part of an update, their ``total``, and the ``least``
        and ``most`` total of a run.
    """
    found: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    for _ in range(rounds):
        for name, more in VARIANTS.items():
            found[name].append(
                in_a_process(
                    [str(data), *LINE.split(), *more.split(), "--max-update", str(WARM_UP + updates)]
                )
            )
            print(f"{name}: {sum(found[name][-1].values()):.2f} ms", flush=True)
    summary = {}
    for name, runs in found.items():
        totals = [sum(run.values()) for run in runs]
        values = {part: statistics.median(run[part] for run in runs) for part in runs[0]}
        values |= {"total": statistics.median(totals), "least": min(totals), "most": max(totals)}
        summary[name] = {part: round(value, 3) for part, value in values.items()}
    return summary


def main() -> None:
    """Run the comparison."""
    if sys.argv[1:2] == ["--train"]:
        print(json.dumps(train(sys.argv[2:])))
        return
    parser = new_parser(__doc__, "bookkeeping.json")
    parser.add_argument("--updates", type=int, default=500, help="updates of a run (default: %(default)s)")
    args = read_arguments(parser, markdown)
    with machine_lock(), tempfile.TemporaryDirectory() as folder:
        found = compare(make_data(Path(folder), 1000), args.rounds, args.updates)
    report = {
        "machine": {"processor": processor(), "threads": 1, "torch": torch.__version__},
        "milliseconds": found,
    }
    publish(report, args.output, markdown)


def markdown(report: dict) -> str:
    """Format the table of a report in Markdown."""
    found = report["milliseconds"]
    parts = [part for part in next(iter(found.values())) if part not in ("least", "most")]
    lines = ["| ms of an update, empty networks | " + " | ".join(found) + " |", "|---|" + "---|" * len(found)]
    lines += [
        f"| {part} | " + " | ".join(f"{values[part]:.2f}" for values in found.values()) + " |"
        for part in parts
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
