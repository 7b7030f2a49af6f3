"""The option that says where documents of running text start."""

import argparse

from fairseq_electra.pretraining.documents import BLANK_LINES, DOCUMENT_STARTS, HEADINGS, LINES


def add_documents_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``--documents``."""
    parser.add_argument(
        "--documents",
        choices=DOCUMENT_STARTS,
        help=(
            f"where documents start: after blank lines ({BLANK_LINES}, the default), at each line ({LINES}),"
            " or at each heading of the form = Title =, as in WikiText, where blank lines are dropped"
            f" ({HEADINGS})"
        ),
    )
