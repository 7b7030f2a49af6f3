"""Arguments of the commands that can read text from a column of a file."""

import argparse
from collections.abc import Iterable

from fairseq_electra.errors import InputError
from fairseq_electra.files.quotes import warn_of_quotes
from fairseq_electra.files.table import Columns, is_table


def add_column_arguments(parser: argparse.ArgumentParser, text_help: str) -> None:
    """Declare the arguments for text in a column."""
    parser.add_argument("--text", metavar="COLUMN", help=text_help)
    parser.add_argument("--quoted", action="store_true", help="with --text: cells of a TSV may be quoted")


def check_column_arguments(args: argparse.Namespace, files: Iterable[str]) -> None:
    """Refuse --quoted without --text, and warn about files with quoted cells if it is not given."""
    if args.quoted and not args.text:
        raise InputError(
            "--quoted is for the cells of a TSV: name the column with the text, --text COLUMN, or leave"
            " it out"
        )
    for path in files if args.text else ():
        if is_table(path):
            warn_of_quotes(path, Columns((args.text,), quoted=args.quoted))
