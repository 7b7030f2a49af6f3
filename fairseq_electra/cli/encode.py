"""Cut text into pieces, or turn it into what fairseq trains on.

fairseq-electra encode --vocab vocab < train.txt > train.pieces        # then fairseq-preprocess
fairseq-electra encode --vocab vocab --destdir data-bin --trainpref wiki.train*.txt.xz --validpref wiki.valid.txt.xz
fairseq-electra encode --vocab vocab --destdir data-bin --text body --trainpref train.jsonl --validpref valid.jsonl

Text is one paragraph or sentence a line, with a blank line between documents; a line of blanks is blank, and so is one of characters that
cannot be seen, such as U+200B. It says how many documents it found, and warns where that looks like another kind of text.
"""

import argparse
import sys
import time
from collections.abc import Iterator

from fairseq_electra.cli._columns import add_column_arguments, check_column_arguments
from fairseq_electra.cli.vocab import TEXT_HELP
from fairseq_electra.errors import InputError
from fairseq_electra.files.text import read_texts
from fairseq_electra.paths import VOCABULARY, require
from fairseq_electra.pretraining.documents import BLANK_LINES, DOCUMENTS, HEADINGS, LINES, Documents, reader_of
from fairseq_electra.pretraining.encode import SPLITS, encode_to_binary, encode_to_pieces, punctuation_normalizer
from fairseq_electra.pretraining.unknown import Unknown
from fairseq_electra.pretraining.wordpiece import load_wordpiece
from fairseq_electra.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--vocab", required=True, metavar="DIR", help="folder written by: fairseq-electra vocab")
    parser.add_argument("--destdir", metavar="DIR", help="write SPLIT.bin, SPLIT.idx and dict.txt here, in one pass")
    for split in SPLITS:
        parser.add_argument(
            f"--{split}pref", nargs="+", metavar="FILE", help=f"text of {split}; plain, .gz or .xz; the end of a file ends its document"
        )
    add_column_arguments(parser, TEXT_HELP)
    parser.add_argument(
        "--documents",
        choices=DOCUMENTS,
        help=f"where documents begin: behind blank lines ({BLANK_LINES}, the default), at each line ({LINES}), or at each heading of the "
        f"form = Title =, as WikiText has them, blank lines passed over ({HEADINGS})",
    )
    parser.add_argument("--moses", metavar="LANGUAGE", nargs="?", const="en", help="normalise punctuation with sacremoses first")


def run(args: argparse.Namespace) -> None:
    """Encode standard input to standard output, or files to a folder."""
    splits = {split: files for split in SPLITS if (files := getattr(args, f"{split}pref"))}
    if bool(args.destdir) != bool(splits):
        raise InputError("--destdir and --trainpref, --validpref or --testpref go together; without them, text comes from standard input")
    require(VOCABULARY, args.vocab)
    require("text", *(file for files in splits.values() for file in files))  # all of them, before hours of work on the first
    if args.text and args.documents:
        raise InputError("--documents is for plain text: with --text, each record is a document; leave one of them out")
    check_column_arguments(args, (file for files in splits.values() for file in files))
    tokenizer = load_wordpiece(args.vocab)
    if not splits:
        unknown, documents = Unknown(), Documents()
        with Progress(beside=sys.stdout) as progress:
            lines = progress.over(_lines(["-"], args, documents), "standard input", "lines")
            for pieces in encode_to_pieces(tokenizer, lines, unknown):
                sys.stdout.buffer.write(pieces.encode() + b"\n")
        print(f"{unknown}; {documents}", file=sys.stderr)
        _warn("standard input", 1, args, documents, unknown)
        return
    for split, files in splits.items():
        start, unknown, documents, prefix = time.time(), Unknown(), Documents(), f"{args.destdir}/{split}"
        with Progress() as progress:
            lines = progress.over(_lines(files, args, documents), prefix, "lines")
            number, ids = encode_to_binary(tokenizer, lines, prefix, args.vocab, unknown)
        print(f"{prefix}: {number:,} lines, {ids:,} ids in {time.time() - start:.0f} s; {documents}; {unknown}")
        _warn(prefix, len(files), args, documents, unknown)


def _lines(files: list[str], args: argparse.Namespace, documents: Documents) -> Iterator[str]:
    lines = documents.over(read_texts(files, reader_of(args.text, args.documents or BLANK_LINES, args.quoted)))
    return map(punctuation_normalizer(args.moses), lines) if args.moses else lines


def _warn(place: str, files: int, args: argparse.Namespace, documents: Documents, unknown: Unknown) -> None:
    """Warn of text that is not known, or seems to be meant in another way than it was read, where this was not asked for."""
    unknown.warn(place)
    if returns := documents.warning_of_returns(place):
        print(returns, file=sys.stderr)
    asked_for = args.text or args.documents == BLANK_LINES
    if not asked_for and (warning := documents.warning(place, files, args.documents or BLANK_LINES)):
        print(warning, file=sys.stderr)
