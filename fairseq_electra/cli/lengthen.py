r"""Go on with the pre-training of a model on longer rows, so that it reads longer texts.

fairseq-electra lengthen checkpoints/checkpoint_last.pt books.txt --length 1024 --output long

The base of the rotary angles is raised, so that they turn in a long row as far as they did in a short one.
Most of the text is read in rows of the new length, and a part of it in rows of the old one. The figures on
held-out text are printed for each length, before and after. After a stop or a kill, the same command line
resumes the run.
"""

import argparse
from typing import Any

from fairseq_electra.cli._going_on import (
    add_text_arguments,
    add_training_arguments,
    check_least,
    common_settings,
    prepare_to_run,
    say,
)
from fairseq_electra.errors import InputError

UPDATES, ROWS, RATE, SHORT_SHARE = 1000, 4, 1e-4, 0.3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_text_arguments(parser, "text with long documents")
    parser.add_argument(
        "--length", type=int, required=True, metavar="N", help="tokens of the longest row from now on"
    )
    parser.add_argument(
        "--rotary-base",
        type=float,
        metavar="BASE",
        help="base of the rotary angles (default: follows from the length; the base so far leaves it alone)",
    )
    parser.add_argument(
        "--short-share",
        type=float,
        default=SHORT_SHARE,
        metavar="SHARE",
        help="share of the tokens that stay in rows of the earlier length (default %(default)s)",
    )
    add_training_arguments(parser, UPDATES, ROWS, RATE)


def run(args: argparse.Namespace) -> None:
    """Check the options, then run all steps in order."""
    check(args)
    prepare_to_run(args)
    from fairseq_electra.adaptation.lengthening import Lengthening

    print(Lengthening(args.output, settings(args), say).run(args.only_print))


def check(args: argparse.Namespace) -> None:
    """Raise an error for option values that make no sense."""
    check_least(args, updates=1, batch_size=1, length=1)
    if not 0 <= args.short_share < 1:
        raise InputError(f"--short-share must be 0 or more and below 1, got {args.short_share:g}")
    if args.rotary_base is not None and not 1 < args.rotary_base < float("inf"):
        raise InputError(f"--rotary-base must be above 1, got {args.rotary_base:g}")


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return all settings that influence the results."""
    return common_settings(args) | {
        "--length": args.length,
        "--rotary-base": args.rotary_base,
        "--short-share": args.short_share,
    }
