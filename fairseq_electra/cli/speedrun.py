"""Go from raw text to a table of scores, with pre-training limited to a number of minutes.

Trains the largest model size that this machine is fast enough for, fine-tunes it, and compares its scores
with published ones.

fairseq-electra speedrun --minutes 5 wiki.train*.txt.xz            # tiny on a laptop, small or base on a GPU
fairseq-electra speedrun --minutes 60 --glue GLUE wiki.train*.txt.xz

The minutes limit pre-training alone. After a stop or a kill, the same command line resumes the run.
"""

import argparse
import logging
import math
from pathlib import Path
from typing import Any

from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.errors import InputError
from fairseq_electra.paths import file_sizes
from fairseq_electra.pretraining.recipes import SHORT_RUNS, TOKENS
from fairseq_electra.speedrun.glue import DEFAULT_TASKS, TASKS

SEEDS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "text",
        nargs="+",
        metavar="TEXT",
        help="text files (plain, .gz or .xz): one paragraph per line, a blank line between documents",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        required=True,
        metavar="M",
        help="length of pre-training in minutes, from start to end",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("runs/speedrun"),
        metavar="DIR",
        help="output folder (default: %(default)s)",
    )
    parser.add_argument(
        "--size",
        choices=list(SHORT_RUNS),
        help="model size (default: the largest that sees enough tokens in the given minutes)",
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help=f"rows of {TOKENS} tokens per batch (default: that of the size, fewer in a short run)",
    )
    parser.add_argument(
        "--lr", type=float, help="peak learning rate of pre-training (default: that of the size)"
    )
    parser.add_argument(
        "--glue", type=Path, metavar="DIR", help="folder of the GLUE data; turns on fine-tuning"
    )
    parser.add_argument(
        "--tasks",
        nargs="+",
        choices=TASKS,
        metavar="TASK",
        help=f"GLUE tasks: any of {', '.join(TASKS)} (default: {', '.join(DEFAULT_TASKS)})",
    )
    parser.add_argument(
        "--seeds", type=int, metavar="N", help=f"fine-tuning runs of each task (default: {SEEDS})"
    )


def run(args: argparse.Namespace) -> None:
    """Check the options, then run all stages in order."""
    check(args)
    run_settings = settings(args)
    import fairseq_electra

    fairseq_electra.register()
    for name in ("fairseq", "fairseq_electra"):
        logging.getLogger(name).setLevel(logging.WARNING)
    from fairseq_electra.speedrun.stages import Stages

    print(Stages(args.output, run_settings, say).run())


def say(line: str) -> None:
    """Print a line without buffering."""
    print(line, flush=True)


def check(args: argparse.Namespace) -> None:
    """Raise an error for option values that make no sense."""
    if not 0 < args.minutes < math.inf:
        raise InputError(
            f"--minutes must be above 0, got {args.minutes:g}; on a laptop, 5 minutes give a first impression"
        )
    if args.lr is not None and not 0 < args.lr < math.inf:
        rates = ", ".join(f"{MODEL_SIZES[size].pretraining.lr:g}" for size in SHORT_RUNS)
        raise InputError(f"--lr must be above 0, got {args.lr:g}; the recipes use {rates}")
    for name in ("batch_size", "seeds"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise InputError(f"--{name.replace('_', '-')} must be 1 or more, got {value}")
    for name in ("tasks", "seeds"):
        if getattr(args, name) is not None and args.glue is None:
            raise InputError(f"--{name} is for fine-tuning; give --glue DIR beside it")


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return all settings that influence the results; a text file is identified by its path and size.

    Raises:
        InputError: A text file does not exist.
    """
    glue = None if args.glue is None else str(args.glue.absolute())
    tasks = None if glue is None else list(dict.fromkeys(args.tasks or DEFAULT_TASKS))
    return {
        "TEXT": file_sizes(args.text),
        "--minutes": args.minutes,
        "--size": args.size,
        "--batch-size": args.batch_size,
        "--lr": args.lr,
        "--glue": glue,
        "--tasks": tasks,
        "--seeds": None if glue is None else args.seeds or SEEDS,
    }
