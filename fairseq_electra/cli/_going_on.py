"""What the commands share that go on with the pre-training of a model: arguments, checks, settings."""

import argparse
import logging
import math
from pathlib import Path
from typing import Any

from fairseq_electra.errors import InputError
from fairseq_electra.paths import CHECKPOINT, VOCABULARY, file_sizes, require


def add_text_arguments(parser: argparse.ArgumentParser, kind: str) -> None:
    """Declare the model, the text and the folder.

    Args:
        parser: the command's.
        kind: what the text is, such as "text of the domain".
    """
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="checkpoint of pre-training or import, or a folder of them"
    )
    parser.add_argument(
        "text",
        nargs="+",
        metavar="TEXT",
        help=f"{kind} (plain, .gz or .xz): one paragraph per line, blank lines between documents",
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="folder for all that is made"
    )
    parser.add_argument(
        "--valid",
        nargs="+",
        default=[],
        metavar="FILE",
        help="held-out text of the same kind (default: 5 %% of TEXT, up to 300,000 characters)",
    )


def add_training_arguments(parser: argparse.ArgumentParser, updates: int, rows: int, rate: float) -> None:
    """Declare how to train, with these defaults."""
    parser.add_argument(
        "--updates", type=int, default=updates, help="updates of the training (default %(default)s)"
    )
    parser.add_argument(
        "--batch-size", type=int, default=rows, metavar="N", help="rows of a batch (default %(default)s)"
    )
    parser.add_argument(
        "--lr", type=float, default=rate, help="peak of the learning rate (default %(default)s)"
    )
    parser.add_argument(
        "--vocab",
        type=Path,
        metavar="DIR",
        help="folder of the checkpoint's vocabulary (default: beside it, or in its data folder)",
    )
    parser.add_argument(
        "--print",
        dest="only_print",
        action="store_true",
        help="prepare everything, and print the line that trains instead of running it",
    )


def check_least(args: argparse.Namespace, **least: int) -> None:
    """Refuse options below their least value, and a learning rate that is none."""
    for name, smallest in least.items():
        if (value := getattr(args, name)) is not None and value < smallest:
            raise InputError(f"--{name.replace('_', '-')} must be {smallest} or more, got {value}")
    if not 0 < args.lr < math.inf:
        raise InputError(f"--lr must be above 0, got {args.lr:g}; leave it out for the default")


def prepare_to_run(args: argparse.Namespace) -> None:
    """Refuse files that are not there, and load fairseq, which says only what is wrong."""
    require(CHECKPOINT, args.checkpoint)
    require(VOCABULARY, args.vocab)
    import fairseq_electra

    fairseq_electra.register()
    for name in ("fairseq", "fairseq_electra"):
        logging.getLogger(name).setLevel(logging.WARNING)


def say(line: str) -> None:
    """Print a line without buffering."""
    print(line, flush=True)


def common_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that influence the results of all these commands, by the names of the options.

    A text file is identified by its path and size, the checkpoint by its content, since a run replaces its
    last one.

    Raises:
        InputError: a file does not exist, or a folder has no checkpoint.
    """
    from fairseq_electra.checkpoints import find_checkpoint, sha256_of

    checkpoint = find_checkpoint(args.checkpoint).absolute()
    return {
        "CHECKPOINT": str(checkpoint),
        "SHA-256 of CHECKPOINT": sha256_of(checkpoint),
        "TEXT": file_sizes(args.text),
        "--valid": file_sizes(args.valid),
        "--updates": args.updates,
        "--batch-size": args.batch_size,
        "--lr": args.lr,
        "--vocab": None if args.vocab is None else str(args.vocab.absolute()),
    }
