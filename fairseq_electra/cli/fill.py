"""Let the generator fill in the tokens at <mask>.

Reads one text per line; writes JSON lines, or colours on a terminal.

echo "The orchestra played the <mask>." | fairseq-electra fill checkpoints --top 3

Each JSON line has the text, the text filled in with the best guesses, and the guesses for each <mask>, which
is guessed as if the others stayed masked. The net is a pre-training checkpoint, a folder of checkpoints (its
best, or else its last), or a folder of transformers with the generator in its subfolder "generator", or a
BERT with its masked-LM head.
"""

import argparse

from fairseq_electra.cli._token_lines import add_line_arguments, load, write_answers
from fairseq_electra.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_line_arguments(parser)
    parser.add_argument(
        "--top", type=int, default=5, metavar="N", help="guesses for each <mask> (default %(default)s)"
    )


def run(args: argparse.Namespace) -> None:
    """Load the net, and fill every line."""
    net = load(args)
    from fairseq_electra.hub.coloured import guessed
    from fairseq_electra.hub.token_answers import Filler

    if not 1 <= args.top <= len(net.symbols):
        raise InputError(
            f"--top must lie between 1 and {len(net.symbols):,}, the entries of the vocabulary, got "
            f"{args.top}"
        )
    write_answers(args, Filler(net, topk=args.top), guessed)
