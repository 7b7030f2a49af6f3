r"""Go on with the pre-training of a model on text of a domain, such as law, medicine or code.

fairseq-electra adapt checkpoints/checkpoint_last.pt domain.txt --output adapted
fairseq-electra adapt checkpoints/checkpoint_last.pt domain.txt --valid domain.valid.txt \
    --replay old.txt --general-valid old.valid.txt --output adapted

Words of the domain that the vocabulary cuts into pieces become tokens (of byte-level BPE, parts of words
too), whose vectors start as the mean of those of their pieces. Old text can be mixed in, so that the model
forgets less of it. The figures on held-out text, before and after, are printed at the end. After a stop or a
kill, the same command line resumes the run.
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
from fairseq_electra.paths import file_sizes

NEW_TOKENS, UPDATES, ROWS, RATE, REPLAY_SHARE = 1000, 2000, 32, 1e-4, 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_text_arguments(parser, "text of the domain")
    parser.add_argument(
        "--general-valid",
        nargs="+",
        default=[],
        metavar="FILE",
        help="held-out text of another kind, whose figures show what the model forgets",
    )
    parser.add_argument(
        "--new-tokens",
        type=int,
        default=NEW_TOKENS,
        metavar="N",
        help="largest number of tokens to add to the vocabulary; 0: it stays as it is (default %(default)s)",
    )
    parser.add_argument(
        "--replay", nargs="+", default=[], metavar="FILE", help="text like that of the earlier training"
    )
    parser.add_argument(
        "--replay-share",
        type=float,
        metavar="SHARE",
        help=f"share of the tokens to take from --replay, from its beginning on (default {REPLAY_SHARE})",
    )
    add_training_arguments(parser, UPDATES, ROWS, RATE)
    parser.add_argument(
        "--tokens-per-sample",
        type=int,
        metavar="N",
        help="length of a row in tokens (default: as in the earlier training)",
    )


def run(args: argparse.Namespace) -> None:
    """Check the options, then run all steps in order."""
    check(args)
    prepare_to_run(args)
    from fairseq_electra.adaptation.domain import Adaptation

    print(Adaptation(args.output, settings(args), say).run(args.only_print))


def check(args: argparse.Namespace) -> None:
    """Raise an error for option values that make no sense."""
    check_least(args, new_tokens=0, updates=1, batch_size=1, tokens_per_sample=1)
    if args.replay_share is None:
        return
    if not args.replay:
        raise InputError("--replay-share is a share of the old text; give --replay FILE beside it")
    if not 0 < args.replay_share < 1:
        raise InputError(f"--replay-share must lie between 0 and 1, got {args.replay_share:g}")


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return all settings that influence the results."""
    return common_settings(args) | {
        "--general-valid": file_sizes(args.general_valid),
        "--new-tokens": args.new_tokens,
        "--replay": file_sizes(args.replay),
        "--replay-share": args.replay_share or REPLAY_SHARE,
        "--tokens-per-sample": args.tokens_per_sample,
    }
