"""Cut text into pieces, or turn it into what fairseq trains on.

fairseq-electra encode --vocab vocab < train.txt > train.pieces        # then fairseq-preprocess
fairseq-electra encode --vocab vocab --destdir data-bin --trainpref wiki.train*.txt.xz --validpref wiki.valid.txt.xz
"""

import argparse
import sys
import time
from collections.abc import Iterator

from fairseq_electra.data.encode import SPLITS, encode_to_binary, encode_to_pieces, punctuation_normalizer
from fairseq_electra.data.text import read_texts
from fairseq_electra.data.unknown import Unknown
from fairseq_electra.data.wordpiece import load_wordpiece
from fairseq_electra.errors import InputError
from fairseq_electra.paths import require


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--vocab", required=True, metavar="DIR", help="folder written by: fairseq-electra vocab")
    parser.add_argument("--destdir", metavar="DIR", help="write SPLIT.bin, SPLIT.idx and dict.txt here, in one pass")
    for split in SPLITS:
        parser.add_argument(
            f"--{split}pref", nargs="+", metavar="FILE", help=f"text of {split}; plain, .gz or .xz; the end of a file ends its document"
        )
    parser.add_argument("--moses", metavar="LANGUAGE", nargs="?", const="en", help="normalise punctuation with sacremoses first")


def run(args: argparse.Namespace) -> None:
    """Encode standard input to standard output, or files to a folder."""
    splits = {split: files for split in SPLITS if (files := getattr(args, f"{split}pref"))}
    if bool(args.destdir) != bool(splits):
        raise InputError("--destdir and --trainpref, --validpref or --testpref go together; without them, text comes from standard input")
    require("text", *(file for files in splits.values() for file in files))  # all of them, before hours of work on the first
    tokenizer = load_wordpiece(args.vocab)
    if not splits:
        unknown = Unknown()
        for pieces in encode_to_pieces(tokenizer, _lines(["-"], args.moses), unknown):
            sys.stdout.buffer.write(pieces.encode() + b"\n")
        print(unknown, file=sys.stderr)
        unknown.warn("standard input")
        return
    for split, files in splits.items():
        start, unknown, prefix = time.time(), Unknown(), f"{args.destdir}/{split}"
        lines, ids = encode_to_binary(tokenizer, _lines(files, args.moses), prefix, args.vocab, unknown)
        print(f"{prefix}: {lines:,} lines, {ids:,} ids in {time.time() - start:.0f} s; {unknown}")
        unknown.warn(prefix)


def _lines(files: list[str], moses: str | None) -> Iterator[str]:
    lines = read_texts(files)
    return map(punctuation_normalizer(moses), lines) if moses else lines
