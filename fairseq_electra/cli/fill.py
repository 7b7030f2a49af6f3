"""Let the generator fill in the tokens at <mask>.

Reads one text per line; writes JSON lines, or colours on a terminal.

echo "The orchestra played the <mask>." | fairseq-electra fill checkpoints --top 3

Each JSON line has the text, the text filled in with the best predictions, and the predictions for each
<mask>, made while the others stay masked. The model is a pre-training checkpoint, a folder of checkpoints, a
folder of transformers with a masked-LM head, or with the generator in its subfolder "generator".
"""

import argparse
import functools

from fairseq_electra.cli._token_lines import add_line_arguments, load, write_answers
from fairseq_electra.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_line_arguments(parser)
    parser.add_argument(
        "--top",
        type=int,
        default=5,
        metavar="N",
        help="number of predictions for each <mask> (default %(default)s)",
    )


def run(args: argparse.Namespace) -> None:
    """Load the model, and fill in every line."""
    model = load(args)
    from fairseq_electra.hub.coloured import guessed
    from fairseq_electra.hub.token_answers import Filler

    if not 1 <= args.top <= len(model.symbols):
        raise InputError(
            f"--top must lie between 1 and {len(model.symbols):,}, the entries of the vocabulary, got"
            f" {args.top}"
        )
    coloured = functools.partial(guessed, pieces=model.pieces)
    write_answers(args, Filler(model, topk=args.top), coloured)
