"""Go from raw text to a table of scores, with a pre-training of so many minutes.

Trains the size that this machine has the speed for, fine-tunes it, and compares it with published ones.

fairseq-electra speedrun --minutes 5 wiki.train*.txt.xz                   # tiny on a laptop, small or base on a GPU
fairseq-electra speedrun --minutes 60 --glue GLUE wiki.train*.txt.xz

The minutes are those of pre-training alone. Stopped or killed, the same command line resumes.
"""

import argparse
import logging
import math
from pathlib import Path
from typing import Any

from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.recipes import SHORT_RUNS, TOKENS
from fairseq_electra.speedrun.glue import TASKS, USUAL_TASKS

SEEDS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "text",
        nargs="+",
        metavar="TEXT",
        help="one paragraph a line, a blank line between documents; plain, .gz or .xz",
    )
    parser.add_argument(
        "--minutes", type=float, required=True, metavar="M", help="of pre-training, from its start to its end"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("runs/speedrun"),
        metavar="DIR",
        help="folder (default %(default)s)",
    )
    parser.add_argument(
        "--size",
        choices=list(SHORT_RUNS),
        help="of the network (default: what the machine can feed in the minutes)",
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help=f"rows of {TOKENS} tokens (default: the size's, fewer in a short run)",
    )
    parser.add_argument("--lr", type=float, help="peak learning rate of pre-training (default: the size's)")
    parser.add_argument("--glue", type=Path, metavar="DIR", help="GLUE's folder: fine-tune on its tasks")
    parser.add_argument(
        "--tasks",
        nargs="+",
        choices=TASKS,
        metavar="TASK",
        help=f"of {', '.join(TASKS)} (default: {', '.join(USUAL_TASKS)})",
    )
    parser.add_argument("--seeds", type=int, metavar="N", help=f"fine-tunings of each task (default {SEEDS})")


def run(args: argparse.Namespace) -> None:
    """Check, then do one stage after the other."""
    check(args)
    given = settings(args)
    import fairseq_electra

    fairseq_electra.register()
    for name in ("fairseq", "fairseq_electra"):
        logging.getLogger(name).setLevel(logging.WARNING)
    from fairseq_electra.speedrun.stages import Stages

    print(Stages(args.output, given, say).run())


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def check(args: argparse.Namespace) -> None:
    """Refuse options that cannot be."""
    if not 0 < args.minutes < math.inf:
        raise InputError(
            f"--minutes must be above 0, got {args.minutes:g}; 5 gives a first impression on a laptop"
        )
    if args.lr is not None and not 0 < args.lr < math.inf:
        rates = ", ".join(f"{MODEL_SIZES[size].pretraining.lr:g}" for size in SHORT_RUNS)
        raise InputError(f"--lr must be above 0, got {args.lr:g}; the recipes have {rates}")
    for name in ("batch_size", "seeds"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise InputError(f"--{name.replace('_', '-')} must be 1 or more, got {value}")
    for name in ("tasks", "seeds"):
        if getattr(args, name) is not None and args.glue is None:
            raise InputError(f"--{name} is for fine-tuning; give --glue DIR beside it")


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return what decides the results, as plain data; a text is known by its path and its size.

    Raises:
        InputError: a text is not there.
    """
    texts = {}
    for file in args.text:
        try:
            texts[str(Path(file).absolute())] = Path(file).stat().st_size
        except OSError as error:
            raise InputError(f"cannot read {file}: {error.strerror}; check the path") from error
    glue = None if args.glue is None else str(args.glue.absolute())
    tasks = None if glue is None else list(dict.fromkeys(args.tasks or USUAL_TASKS))
    return {
        "TEXT": texts,
        "--minutes": args.minutes,
        "--size": args.size,
        "--batch-size": args.batch_size,
        "--lr": args.lr,
        "--glue": glue,
        "--tasks": tasks,
        "--seeds": None if glue is None else args.seeds or SEEDS,
    }
