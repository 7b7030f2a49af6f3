"""Predict, for every token of a text, how likely it was replaced.

Reads one text per line; writes JSON lines, or colours on a terminal.

echo "The orchestra played the sandwich." | fairseq-electra detect checkpoints

Each JSON line has the text and its tokens: token, begin and end (half-open, in characters of the text), and
p_replaced. The model is a pre-training checkpoint, a folder of checkpoints, or a folder of transformers with
the discriminator.
"""

import argparse

from fairseq_electra.cli._token_lines import add_line_arguments, load, write_answers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_line_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Load the model, and score every line."""
    model = load(args)
    from fairseq_electra.hub.coloured import LEGEND, shaded
    from fairseq_electra.hub.token_answers import Detector

    write_answers(args, Detector(model), shaded, LEGEND)
