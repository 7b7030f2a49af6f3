r"""Fine-tune models on tasks with many seeds, and compare them in a table.

The same command line resumes a study that was stopped.

fairseq-electra finetune --data glue-bin/CoLA glue-bin/RTE \
    --net ours=checkpoints/checkpoint_last.pt --net scratch=scratch:tiny \
    --seeds 5 --lr 1e-4 3e-4 1e-3 3e-3 --output runs/glue -- --pooling mean

Of several learning rates each model and task gets the one that is best on valid with seed 0, whose scores are
not reported. Nothing is chosen on test, whose scores are kept for `fairseq-electra submit`. What follows --
goes to fairseq-train.
"""

import argparse
import json
import math
import os
import shlex
from pathlib import Path

from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.errors import InputError
from fairseq_electra.files.text import atomic_write
from fairseq_electra.paths import CHECKPOINT, require


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--data",
        nargs="+",
        type=Path,
        required=True,
        metavar="DIR",
        help="tasks, written by: fairseq-electra prepare",
    )
    parser.add_argument(
        "--net",
        action="append",
        required=True,
        metavar="NAME=CHECKPOINT",
        help=(
            "a model to fine-tune, from a checkpoint or a folder (its best, or else its last); also"
            " NAME=generator:CHECKPOINT, and NAME=scratch:SIZE for one from nothing; several to compare them"
        ),
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help=(
            "folder for runs and results; results.json, which submit reads, is of the last line alone, so"
            " name all --data and --net in it"
        ),
    )
    parser.add_argument(
        "--seeds", type=int, default=5, metavar="N", help="seeds 1 to N (default %(default)s)"
    )
    parser.add_argument(
        "--lr",
        type=float,
        nargs="+",
        metavar="RATE",
        help=(
            "learning rates to choose from on valid, with seed 0; one: no choice (default: by the size:"
            f" {rates_of_sizes()})"
        ),
    )
    parser.add_argument(
        "--epochs",
        nargs="+",
        default=[],
        metavar="N",
        help="instead of the recipe's; TASK=N for one task alone",
    )
    parser.add_argument(
        "--batch-size", type=int, metavar="N", help="examples of an update, instead of the recipe's 32"
    )
    cores = min(os.cpu_count() or 1, 4)
    parser.add_argument(
        "--processes", type=int, default=cores, metavar="N", help="runs at a time (default %(default)s)"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print the command line of each first run, and do nothing"
    )
    parser.add_argument("--keep-checkpoints", action="store_true", help="leave the checkpoints of every run")
    parser.add_argument(
        "arguments", nargs="*", metavar="-- ARGUMENTS", help="further arguments of fairseq-train"
    )


def run(args: argparse.Namespace) -> None:
    """Train, score and print the table."""
    require("folder of a task", *args.data)
    require(CHECKPOINT, *filter(None, map(checkpoint_of, args.net)))
    import torch

    import fairseq_electra

    fairseq_electra.register()
    from fairseq_electra.finetuning.nets import read_net
    from fairseq_electra.finetuning.results import RESULTS_FILE, choices, provenance, table
    from fairseq_electra.finetuning.runs import ONE_PROCESS, USER_DIR
    from fairseq_electra.finetuning.study import Settings, first_runs, study

    nets = [read_net(text) for text in args.net]
    if len({net.name for net in nets}) < len(nets):
        raise InputError(f"--net: the names {', '.join(net.name for net in nets)} must differ")
    for name in ("seeds", "processes", "batch_size"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise InputError(f"--{name.replace('_', '-')} must be 1 or more, got {value}")
    for rate in args.lr or ():
        if not 0 < rate < math.inf:
            raise InputError(f"--lr must be above 0, got {rate:g}; leave it out for the rates of the recipe")
    settings = Settings(read_epochs(args.epochs), args.batch_size, tuple(args.arguments))
    if args.dry_run:
        for runs in first_runs(nets, args.data, settings, args.lr, seed=1).values():
            for each in runs:
                line = ["fairseq-train", *each.arguments(args.output), "--user-dir", USER_DIR, *ONE_PROCESS]
                print(shlex.join(line))
        return
    results = study(
        nets,
        args.data,
        args.output,
        settings,
        rates=args.lr,
        seeds=range(1, args.seeds + 1),
        processes=args.processes,
        threads=max(1, torch.get_num_threads() // args.processes),
        keep_checkpoints=args.keep_checkpoints,
        say=lambda line: print(line, flush=True),
    )
    path = args.output / RESULTS_FILE
    with atomic_write(path) as stream:
        stream.write(json.dumps(results, indent=2) + "\n")
    with atomic_write(args.output / "results.md") as stream:
        stream.write(f"{table(results)}\n\n{provenance(results)}\n")
    print("\n".join(["", table(results), "", *choices(results), f"results: {path}"]))


def rates_of_sizes() -> str:
    """List the learning rates of every size, for the help."""
    rates = {
        size: " ".join(f"{rate:g}" for rate in row.finetuning.rates) for size, row in MODEL_SIZES.items()
    }
    return "; ".join(f"{size} {listed}" for size, listed in rates.items())


def checkpoint_of(net: str) -> str | None:
    """Return the path in ``NAME=CHECKPOINT`` or ``NAME=generator:CHECKPOINT``; None where there is none."""
    source = net.partition("=")[2].removeprefix("generator:")
    return source if source and not source.startswith("scratch:") else None


def read_epochs(given: list[str]) -> dict[str, int]:
    """Read ``N`` and ``TASK=N``; the name of the first is empty."""
    epochs = {}
    for text in given:
        task, _, number = text.rpartition("=")
        if not number.isdecimal() or int(number) < 1:
            raise InputError(f"--epochs {text}: give a number, or TASK=NUMBER, such as --epochs 3 RTE=10")
        epochs[task] = int(number)
    return epochs
