"""The shared part of ``detect`` and ``fill``: read lines; write JSON, or colours on a terminal."""

import argparse
import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from fairseq_electra.cli._columns import add_column_arguments, check_column_arguments
from fairseq_electra.cli._unknown_text import UnknownText
from fairseq_electra.errors import InputError
from fairseq_electra.files.inputs import read_inputs
from fairseq_electra.files.table import is_table, source_name
from fairseq_electra.progress import Progress

if TYPE_CHECKING:
    from fairseq_electra.hub.interface import ElectraHubInterface
    from fairseq_electra.hub.token_answers import LineAnswers


def add_line_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of both commands."""
    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help="pre-training checkpoint, or a folder of checkpoints or of transformers",
    )
    parser.add_argument(
        "--input", default="-", metavar="FILE", help="text, plain, .gz or .xz (default: standard input)"
    )
    add_column_arguments(
        parser, "column that holds the text of JSON lines, or of CSV or TSV if the name ends so"
    )
    parser.add_argument(
        "--vocab",
        metavar="DIR",
        help="folder of the vocabulary (default: that of the checkpoint or of its data)",
    )
    parser.add_argument(
        "--generator",
        metavar="DIR",
        help="generator of a folder of transformers (default: its subfolder generator)",
    )
    parser.add_argument(
        "--format",
        choices=["json", "color"],
        help="format of the output (default: color on a terminal, else json)",
    )


def load(args: argparse.Namespace) -> "ElectraHubInterface":
    """Load the model, on a GPU if there is one."""
    import torch

    import fairseq_electra

    fairseq_electra.register()
    logging.getLogger("fairseq_electra").setLevel(logging.WARNING)
    model = fairseq_electra.from_pretrained(args.checkpoint, vocabulary=args.vocab, generator=args.generator)
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def write_answers(
    args: argparse.Namespace, answers: "LineAnswers", coloured: Callable[[dict], str], legend: str = ""
) -> None:
    """Answer every line of the input.

    Args:
        args: arguments of :func:`add_line_arguments`.
        answers: answers lines; lines that are typed get their answers one by one.
        coloured: turns an answer into a line for a terminal.
        legend: printed before the answers.

    Raises:
        InputError: the input is empty.
    """
    answers.source, answers.unit = source_name(args.input), "text" if args.text else "line"
    if args.input == "-" and sys.stdin.isatty():
        answers.at_once = 1
    in_colour = sys.stdout.isatty() if args.format is None else args.format == "color"
    if in_colour and legend:
        print(legend)
    unknown = UnknownText(answers.source, answers.unknown)
    for answer in unknown.over(answers(_lines(args)), Progress()):
        print(
            coloured(answer) if in_colour else json.dumps(answer, ensure_ascii=False),
            flush=answers.at_once == 1,
        )
    if not answers.number_read:
        raise InputError(f"{answers.source} is empty; give one text per line")
    unknown.say()
    if answers.number_cut:
        cut, read = f"{answers.number_cut:,}", f"{answers.number_read:,}"
        print(
            f"{cut} of {read} lines were cut to {answers.model.max_length} tokens, the longest row of the"
            " training",
            file=sys.stderr,
        )


def _lines(args: argparse.Namespace) -> Iterator[str]:
    """Yield the texts of the input: its lines, or the cells of a column.

    Raises:
        InputError: the input is a table, and no column was named.
    """
    if is_table(args.input) and not args.text:
        raise InputError(
            f"{args.input} is a table by its name, and not plain text; name the column with its text: --text"
            " COLUMN"
        )
    check_column_arguments(args, [args.input])
    for given in read_inputs(args.input, (args.text,) if args.text else (), bool(args.text), args.quoted):
        yield given if isinstance(given, str) else given[0]
