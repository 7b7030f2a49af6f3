"""Apply a fine-tuned net to text: one input a line, one JSON object a line out, in the same order.

fairseq-electra predict checkpoints/checkpoint_best.pt < sentences.txt > predictions.jsonl

A pair is two texts with a tab between them, a multiple choice the context and its choices. CHECKPOINT may also be a folder of
checkpoints or of transformers. Rows longer than those of the training are cut, the longest text first, and it says how many.
"""

import argparse
import contextlib
import json
import logging
import math
import sys

from fairseq_electra.data.text import read_lines, written_whole
from fairseq_electra.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="saved by fairseq-train, or a folder: its best, or else its last")
    parser.add_argument("--input", default="-", metavar="FILE", help="text; plain, .gz or .xz (default: standard input)")
    parser.add_argument("--vocab", metavar="DIR", help="folder of the vocabulary (default: the checkpoint's, or its data's)")
    parser.add_argument("--output", metavar="FILE", help="for the answers, written whole or not at all (default: standard output, at once)")
    parser.add_argument("--head", metavar="NAME", help="of several heads, the one to apply")
    parser.add_argument("--threshold", type=float, default=math.inf, metavar="X", help="of answers: none where `unanswerable` is above it")
    parser.add_argument("--n-best", type=int, default=0, metavar="N", help="of answers: list the N best")
    parser.add_argument("--logits", action="store_true", help="add the scores themselves")


def run(args: argparse.Namespace) -> None:
    """Load the net, and read until the text ends."""
    import torch
    from tqdm import tqdm

    import fairseq_electra

    fairseq_electra.register()
    logging.getLogger("fairseq_electra").setLevel(logging.WARNING)
    from fairseq_electra.evaluation.answering import N_BEST
    from fairseq_electra.evaluation.predictions import predictor_of

    if not 0 <= args.n_best <= N_BEST:
        raise InputError(f"--n-best must lie between 0 and {N_BEST}, got {args.n_best}")
    net = fairseq_electra.from_pretrained(args.checkpoint, vocabulary=args.vocab)
    net.to("cuda" if torch.cuda.is_available() else "cpu")
    head = args.head or only_head(net.labels, args.checkpoint)
    if head not in net.labels:
        raise InputError(f"{args.checkpoint} has no head {head!r}, it has {', '.join(net.labels) or 'none'}")
    source = "standard input" if args.input == "-" else args.input
    predictor = predictor_of(net, head, source, args.threshold, args.n_best)
    answers = predictor(read_lines(args.input))
    with (
        tqdm(unit=" lines", disable=not sys.stderr.isatty()) as bar,
        written_whole(args.output) if args.output else contextlib.nullcontext(sys.stdout) as stream,
    ):
        number = 0
        for answer in answers:
            number += 1
            if not args.logits:
                answer.pop("logits", None)
            stream.write(json.dumps(answer, ensure_ascii=False) + "\n")
            bar.update()
        if not number:
            raise InputError(f"{source} is empty; give one input a line")
    if predictor.number_cut:
        print(f"{predictor.number_cut:,} of {number:,} lines {predictor.what_was_cut}", file=sys.stderr)


def only_head(labels: dict[str, list[str]], checkpoint: str) -> str:
    """Return the name of the only head."""
    if len(labels) != 1:
        names = ", ".join(labels)
        raise InputError(
            f"{checkpoint} has the heads {names}: name one, --head" if names else f"{checkpoint} has no head; fine-tune it first"
        )
    return next(iter(labels))
