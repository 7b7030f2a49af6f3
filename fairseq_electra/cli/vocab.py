"""Train a WordPiece vocabulary; write tokenizer.json and dict.txt with the same ids.

fairseq-electra vocab --size 16000 --output vocab wiki.train*.txt.xz
fairseq-electra vocab --size 16000 --output vocab --text body articles.jsonl.gz
"""

import argparse

from fairseq_electra.cli._columns import add_column_arguments, check_column_arguments
from fairseq_electra.paths import require
from fairseq_electra.pretraining.prepare import SAMPLE, RunningText, learn_vocabulary
from fairseq_electra.pretraining.wordpiece import CHARACTER_COVERAGE
from fairseq_electra.progress import Progress

TEXT_HELP = (
    "column with the text of JSON lines (of CSV or TSV, if the name ends so); each record is a document"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="text, one paragraph per line; plain, .gz or .xz"
    )
    add_column_arguments(parser, TEXT_HELP)
    parser.add_argument(
        "--size",
        type=int,
        default=30522,
        help="number of ids, special symbols included (default %(default)s, as BERT)",
    )
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="folder for tokenizer.json and dict.txt"
    )
    parser.add_argument("--cased", action="store_true", help="keep upper case and accents")
    parser.add_argument(
        "--keep-accents",
        action="store_true",
        help=(
            "keep accents in an uncased vocabulary (always done if 0.5 %% of the letters or more need "
            "their marks, as in Hindi, Thai, Japanese or Russian)"
        ),
    )
    parser.add_argument(
        "--sample",
        type=float,
        default=SAMPLE,
        metavar="MILLION",
        help=(
            "largest number of characters to learn from, in millions; lines are drawn at random; 0: all"
            " (default %(default)s)"
        ),
    )
    parser.add_argument(
        "--min-frequency",
        type=int,
        default=2,
        help="smallest count of a pair of pieces that is merged (default %(default)s)",
    )
    parser.add_argument(
        "--character-coverage",
        type=float,
        default=CHARACTER_COVERAGE,
        metavar="SHARE",
        help=(
            "share of the text; the most frequent characters that make it up get their own entries (default"
            " %(default)s)"
        ),
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="random seed of the sample of lines (default %(default)s)"
    )
    parser.add_argument(
        "--moses",
        metavar="LANGUAGE",
        nargs="?",
        const="en",
        help="normalise punctuation with sacremoses first",
    )


def run(args: argparse.Namespace) -> None:
    """Train the vocabulary and print its size."""
    require("text", *args.files)
    check_column_arguments(args, args.files)
    text = RunningText(args.files, args.text, quoted=args.quoted, moses=args.moses)
    with Progress() as progress:
        learned = learn_vocabulary(
            text.sample(args.sample, args.seed, progress),
            args.output,
            args.size,
            cased=args.cased,
            keep_accents=args.keep_accents,
            min_frequency=args.min_frequency,
            character_coverage=args.character_coverage,
            progress=progress,
        )
    for note in learned.notes:
        print(note)
    size = learned.size
    print(f"{args.output}: {size:,} ids" + (f" (the text gave only {size:,})" if size < args.size else ""))
