"""Write the built-in corpus, English from Python's own documentation, and its labelled task.

fairseq-electra corpus --output corpus
"""

import argparse

from fairseq_electra.pretraining.corpus import write_corpus


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="folder for SPLIT.txt and SPLIT.swap.tsv"
    )


def run(args: argparse.Namespace) -> None:
    """Write the corpus and print its size and fingerprint."""
    number, fingerprint = write_corpus(args.output)
    print(f"{args.output}: {number:,} documents, fingerprint {fingerprint}")
