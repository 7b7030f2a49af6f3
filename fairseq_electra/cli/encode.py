r"""Encode text with a vocabulary: as tokens, or as the binarized text that fairseq trains on.

fairseq-electra encode --vocab vocab < train.txt > train.pieces        # then fairseq-preprocess
fairseq-electra encode --vocab vocab --destdir data-bin \
    --trainpref wiki.train*.txt.xz --validpref wiki.valid.txt.xz
fairseq-electra encode --vocab vocab --destdir data-bin --text body \
    --trainpref train.jsonl --validpref valid.jsonl

Text has one paragraph or sentence per line, and a blank line between documents; a line of blanks or of
invisible characters such as U+200B is blank too. The command prints the number of documents, and warns if the
text looks like another kind.
"""

import argparse
import sys
import time
from pathlib import Path

from fairseq_electra.cli._columns import add_column_arguments, check_column_arguments
from fairseq_electra.cli._documents import add_documents_argument
from fairseq_electra.cli.vocab import TEXT_HELP
from fairseq_electra.errors import InputError
from fairseq_electra.paths import VOCABULARY, require
from fairseq_electra.pretraining.encode import SPLITS
from fairseq_electra.pretraining.prepare import RunningText, encode_text, text_as_pieces
from fairseq_electra.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--vocab", required=True, metavar="DIR", help="folder written by: fairseq-electra vocab"
    )
    parser.add_argument(
        "--destdir", metavar="DIR", help="write SPLIT.bin, SPLIT.idx and dict.txt here, in one pass"
    )
    for split in SPLITS:
        parser.add_argument(
            f"--{split}pref",
            nargs="+",
            metavar="FILE",
            help=f"text of {split}, plain, .gz or .xz; the end of a file ends its document",
        )
    add_column_arguments(parser, TEXT_HELP)
    add_documents_argument(parser)
    parser.add_argument(
        "--moses",
        metavar="LANGUAGE",
        nargs="?",
        const="en",
        help="normalise punctuation with sacremoses first",
    )


def run(args: argparse.Namespace) -> None:
    """Encode standard input to standard output, or files to a folder."""
    splits = {split: files for split in SPLITS if (files := getattr(args, f"{split}pref"))}
    if bool(args.destdir) != bool(splits):
        raise InputError(
            "--destdir and --trainpref, --validpref or --testpref go together; without them, text comes from"
            " standard input"
        )
    require(VOCABULARY, args.vocab)
    for split in splits:
        if Path(f"{args.destdir}/{split}.idx").exists():
            raise InputError(
                f"{args.destdir} holds {split} already, which a run may be reading; name a new --destdir, or"
                f" remove {split}.bin and {split}.idx"
            )
    # check all files before hours of work on the first
    require("text", *(file for files in splits.values() for file in files))
    texts = {split: running_text(files, args) for split, files in (splits or {"": ["-"]}).items()}
    check_column_arguments(args, (file for files in splits.values() for file in files))
    if not splits:
        print_pieces(texts[""], args.vocab)
        return
    for split, text in texts.items():
        start, prefix = time.time(), f"{args.destdir}/{split}"
        with Progress() as progress:
            encoded = encode_text(text, args.vocab, prefix, progress)
        seconds = time.time() - start
        print(
            f"{prefix}: {encoded.lines:,} lines, {encoded.ids:,} ids in {seconds:.0f} s; {text.documents};"
            f" {text.unknown}"
        )
        for warning in encoded.warnings:
            print(warning, file=sys.stderr)


def running_text(files: list[str], args: argparse.Namespace) -> RunningText:
    """Return the files as running text, read as the options say."""
    return RunningText(files, args.text, quoted=args.quoted, document_start=args.documents, moses=args.moses)


def print_pieces(text: RunningText, vocabulary: str) -> None:
    """Write tokens to standard output, and counts and warnings to standard error."""
    with Progress(beside=sys.stdout) as progress:
        for pieces in text_as_pieces(text, vocabulary, progress):
            sys.stdout.buffer.write(pieces.encode() + b"\n")
    print(f"{text.unknown}; {text.documents}", file=sys.stderr)
    for warning in text.warnings("standard input"):
        print(warning, file=sys.stderr)
