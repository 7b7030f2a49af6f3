"""Train a WordPiece vocabulary and write tokenizer.json and dict.txt with the same ids.

fairseq-electra vocab --size 16000 --output vocab wiki.train*.txt.xz
fairseq-electra vocab --size 16000 --output vocab --text body articles.jsonl.gz
"""

import argparse
import math

from fairseq_electra.cli._columns import add_column_arguments, check_column_arguments
from fairseq_electra.errors import InputError
from fairseq_electra.paths import require
from fairseq_electra.pretraining.documents import reader_of
from fairseq_electra.pretraining.wordpiece import CHARACTER_COVERAGE, LEADING, sample_lines, save_vocabulary, train_wordpiece
from fairseq_electra.progress import Progress

TEXT_HELP = "the files are JSON lines, or CSV or TSV if named so: take the text in this column; each record is a document"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="text: one paragraph a line; plain, .gz or .xz")
    add_column_arguments(parser, TEXT_HELP)
    parser.add_argument("--size", type=int, default=30522, help="ids in all, special symbols among them (default %(default)s, as BERT)")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for tokenizer.json and dict.txt")
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
        default=100,
        metavar="MILLION",
        help="learn from at most so many million characters, drawn by line; 0 for all (default %(default)s)",
    )
    parser.add_argument("--min-frequency", type=int, default=2, help="join no pair of pieces seen less often (default %(default)s)")
    parser.add_argument(
        "--character-coverage",
        type=float,
        default=CHARACTER_COVERAGE,
        metavar="SHARE",
        help="the most frequent characters, as many as make up this share of the text, get pieces of their own (default %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=1, help="chooses the sampled lines (default %(default)s)")
    parser.add_argument("--moses", metavar="LANGUAGE", nargs="?", const="en", help="normalise punctuation with sacremoses first")


def run(args: argparse.Namespace) -> None:
    """Train and save."""
    require("text", *args.files)
    if args.size <= len(LEADING) + 1:
        raise InputError(f"--size must be above {len(LEADING) + 1}, the number of special symbols, got {args.size}")
    if args.min_frequency < 0 or not 0 <= args.sample < math.inf:
        raise InputError(
            f"--min-frequency and --sample must be 0 or more, and finite, got {args.min_frequency} and {args.sample}; --sample 0 takes all"
        )
    if not 0 < args.character_coverage <= 1:
        raise InputError(f"--character-coverage must lie above 0 and not above 1, got {args.character_coverage}")
    check_column_arguments(args, args.files)
    said: list[str] = []  # in the end, not into the line of a terminal that tells the progress
    with Progress() as progress:
        lines = sample_lines(args.files, int(args.sample * 1e6), args.seed, reader_of(args.text, quoted=args.quoted), progress)
        if args.moses:
            from fairseq_electra.pretraining.encode import punctuation_normalizer

            lines = map(punctuation_normalizer(args.moses), lines)
        tokenizer = train_wordpiece(
            lines,
            args.size,
            cased=args.cased,
            keep_accents=args.keep_accents,
            min_frequency=args.min_frequency,
            character_coverage=args.character_coverage,
            say=said.append,
            progress=progress,
        )
    for line in said:
        print(line)
    save_vocabulary(tokenizer, args.output)
    size = tokenizer.get_vocab_size()
    print(f"{args.output}: {size:,} ids" + (f" (the text gave no more than {size:,})" if size < args.size else ""))
