"""``bash scripts/benchmark.sh bookkeeping``: what ``fairseq-train`` spends on an update beside its two networks.

Networks of one layer and eight dimensions, one row of 16 tokens: what is left is the cost of an update itself, by its parts.
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
from benchmark.report import alone, new_parser, publish, read_arguments
from benchmark.trainer import make_data
from fairseq_electra.finetuning.runs import USER_DIR
from fairseq_electra.speedrun.machine import processor

WARM_UP = 50  # updates that are not counted
NET = "--num-hidden-layers 1 --hidden-size 8 --embedding-size 8 --intermediate-size 8 --num-attention-heads 1"
LINE = f"--user-dir {USER_DIR} --task electra_pretraining --criterion replaced_token_detection --arch electra_tiny {NET} --rows blocks"
LINE += " --tokens-per-sample 16 --batch-size 1 --optimizer electra_adam --lr 1e-4 --lr-scheduler polynomial_decay --total-num-update 100000"
LINE += " --cpu --no-save --disable-validation --log-format json --num-workers 0 --data-buffer-size 0"
VARIANTS = {
    "as it comes": "--clip-norm 1.0",
    "--log-interval 1": "--clip-norm 1.0 --log-interval 1",
    "--clip-norm 0": "--clip-norm 0",
    "--update-freq 8": "--clip-norm 1.0 --update-freq 8",
}
REST = "the rest"


class Clock:
    """Time by part. Of parts inside of each other the innermost counts.

    Args:
        now: tells the time in seconds; by default that of the processor.
    """

    def __init__(self, now: Callable[[], float] = time.process_time) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self._now, self._open, self._since = now, [REST], now()

    def charge(self) -> None:
        """Book the time since the last call on the part that is open."""
        now = self._now()
        self.spent[self._open[-1]] += now - self._since
        self._since = now

    def watch(self, owner: object, name: str, part: str) -> None:
        """Book the time of a function, an attribute of ``owner``, on ``part``."""
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
    """Let a clock book the parts of an update of ``fairseq-train`` in this process, but for the wait for a batch."""
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
    """Run ``fairseq-train`` in this process, once; returns the milliseconds that each part of an update takes."""
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
    return json.loads(
        subprocess.run(
            command, check=True, capture_output=True, text=True, env=environment
        ).stdout.splitlines()[-1]
    )


def compare(data: Path, rounds: int, updates: int) -> dict[str, dict[str, float]]:
    """Train with each variant's options in turn.

    Args:
        data: binarized text.
        rounds: runs of each variant.
        updates: of a run, besides those to warm up.

    Returns:
        for each variant the milliseconds of each part of an update (medians), their ``total``, and the ``least`` and ``most`` of it.
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
    """Run."""
    if sys.argv[1:2] == ["--train"]:
        print(json.dumps(train(sys.argv[2:])))
        return
    parser = new_parser(__doc__, "bookkeeping.json")
    parser.add_argument("--updates", type=int, default=500, help="updates of a run (default: %(default)s)")
    args = read_arguments(parser, markdown)
    with alone(), tempfile.TemporaryDirectory() as folder:
        found = compare(make_data(Path(folder), 1000), args.rounds, args.updates)
    report = {
        "machine": {"processor": processor(), "threads": 1, "torch": torch.__version__},
        "milliseconds": found,
    }
    publish(report, args.output, markdown)


def markdown(report: dict) -> str:
    """Write the table of a report."""
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
