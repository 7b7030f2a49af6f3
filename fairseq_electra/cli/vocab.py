"""Train a WordPiece vocabulary and write tokenizer.json and dict.txt with the same ids.

fairseq-electra vocab --size 16000 --output vocab wiki.train*.txt.xz
fairseq-electra vocab --size 16000 --output vocab --text body articles.jsonl.gz
"""

import argparse

from fairseq_electra.cli._columns import add_column_arguments, check_column_arguments
from fairseq_electra.paths import require
from fairseq_electra.pretraining.prepare import SAMPLE, RunningText, learn_vocabulary
from fairseq_electra.pretraining.wordpiece import CHARACTER_COVERAGE
from fairseq_electra.progress import Progress

TEXT_HELP = "the files are JSON lines, or CSV or TSV if named so: take the text in this column; each record is a document"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="text: one paragraph a line; plain, .gz or .xz"
    )
    add_column_arguments(parser, TEXT_HELP)
    parser.add_argument(
        "--size",
        type=int,
        default=30522,
        help="ids in all, special symbols among them (default %(default)s, as BERT)",
    )
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="folder for tokenizer.json and dict.txt"
    )
    parser.add_argument("--cased", action="store_true", help="keep upper case, and with it the accents")
    parser.add_argument(
        "--keep-accents",
        action="store_true",
        help="keep accents in an uncased vocabulary (all are kept anyway where at least 0.5 %% of the text's letters need their marks, "
        "as those of Hindi, Thai, Japanese or Russian do)",
    )
    parser.add_argument(
        "--sample",
        type=float,
        default=SAMPLE,
        metavar="MILLION",
        help="learn from at most so many million characters, drawn by line; 0 for all (default %(default)s)",
    )
    parser.add_argument(
        "--min-frequency",
        type=int,
        default=2,
        help="join no pair of pieces seen less often (default %(default)s)",
    )
    parser.add_argument(
        "--character-coverage",
        type=float,
        default=CHARACTER_COVERAGE,
        metavar="SHARE",
        help="the most frequent characters, as many as make up this share of the text, get pieces of their own (default %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=1, help="chooses the sampled lines (default %(default)s)")
    parser.add_argument(
        "--moses",
        metavar="LANGUAGE",
        nargs="?",
        const="en",
        help="normalise punctuation with sacremoses first",
    )


def run(args: argparse.Namespace) -> None:
    """Learn the vocabulary and say how large it is."""
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
    print(
        f"{args.output}: {size:,} ids"
        + (f" (the text gave no more than {size:,})" if size < args.size else "")
    )
