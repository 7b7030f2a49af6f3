"""Apply a fine-tuned model to text: one input per line, one JSON object per line out, in the same order.

fairseq-electra predict checkpoints/checkpoint_best.pt < sentences.txt > predictions.jsonl
fairseq-electra predict checkpoints/checkpoint_best.pt --input test.jsonl > predictions.jsonl
# a file of SQuAD's form; answers have ids
fairseq-electra predict answering/checkpoint_best.pt --input dev-v2.0.json > answers.jsonl
# as SQuAD's own script reads them
fairseq-electra predict answering/checkpoint_best.pt --input dev-v2.0.json --output predictions.json
# given words; their tags in a last column
fairseq-electra predict tagging/checkpoint_best.pt --words < test.conll > tagged.conll
# a labelled file; prints the scores that a study reports
fairseq-electra predict checkpoints/checkpoint_best.pt --gold test.tsv

A pair is two texts with a tab between them, a multiple choice the context and its choices. A file that is
named .jsonl, or begins with a JSON object, is read as JSON lines, one that is named .csv as a CSV, and one
that is named .tsv and begins with the names of the columns as a TSV; the texts are in the columns of the
training, or in those that --text names.
CHECKPOINT may also be a folder of checkpoints or of transformers. Rows longer than those of the training are
cut, the longest text first, and it says how many.
"""

import argparse
import contextlib
import logging
import sys
from typing import TYPE_CHECKING

from fairseq_electra.cli._unknown_text import UnknownText
from fairseq_electra.errors import InputError
from fairseq_electra.files.table import is_table
from fairseq_electra.files.text import atomic_write
from fairseq_electra.finetuning.questions import N_BEST
from fairseq_electra.finetuning.request import Request
from fairseq_electra.finetuning.words.tags import SCHEMES
from fairseq_electra.paths import VOCABULARY, require
from fairseq_electra.progress import Progress

if TYPE_CHECKING:
    from fairseq_electra.finetuning.predictor import Predictor
    from fairseq_electra.hub.interface import ElectraHubInterface


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help="saved by fairseq-train, or a folder: its best, or else its last",
    )
    parser.add_argument(
        "--input", default="-", metavar="FILE", help="text; plain, .gz or .xz (default: standard input)"
    )
    parser.add_argument(
        "--text",
        nargs="+",
        metavar="COLUMN",
        help=(
            "the input is JSON lines, or CSV or TSV if named so, with the text in these columns (default: the"
            " training's)"
        ),
    )
    parser.add_argument(
        "--quoted",
        action="store_true",
        help="cells of a TSV, given with --text or --gold, may stand in quotes",
    )
    parser.add_argument(
        "--header",
        nargs="+",
        metavar="COLUMN",
        help="names of the columns, where a TSV or CSV does not begin with them",
    )
    parser.add_argument(
        "--words",
        action="store_true",
        help=(
            "of tags: the input is a word a line, in the column of the training, with blank lines between"
            " sentences; each gets its tag"
        ),
    )
    parser.add_argument(
        "--vocab", metavar="DIR", help="folder of the vocabulary (default: the checkpoint's, or its data's)"
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="for the answers, written whole or not at all (default: standard output, at once)",
    )
    parser.add_argument("--head", metavar="NAME", help="of several heads, the one to apply")
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="X",
        help=(
            "of answers: none where `unanswerable` is above it (default: none; for --gold and"
            " predictions.json the checkpoint's own)"
        ),
    )
    parser.add_argument("--n-best", type=int, default=0, metavar="N", help="of answers: list the N best")
    parser.add_argument("--logits", action="store_true", help="add the scores themselves")
    gold = parser.add_argument_group(
        "scores on a labelled file; TSV, CSV and JSON lines have the training's columns unless others are"
        " named"
    )
    gold.add_argument(
        "--gold",
        metavar="FILE",
        help="instead of --input: a file as prepare reads it; --output is for the answers",
    )
    gold.add_argument("--label", metavar="COLUMN", help="the column with the label")
    gold.add_argument("--scheme", choices=SCHEMES, help="tags of the file (default: the training's)")


def run(args: argparse.Namespace) -> None:
    """Load the model, and answer all of the input."""
    _check(args)
    require("folder or checkpoint", args.checkpoint)
    require("input", args.input)
    require("labelled file", args.gold)
    require(VOCABULARY, args.vocab)
    import torch

    import fairseq_electra

    fairseq_electra.register()
    logging.getLogger("fairseq_electra").setLevel(logging.WARNING)
    from fairseq_electra.finetuning.predictions import chosen_head, predictor_for

    if not 0 <= args.n_best <= N_BEST:
        raise InputError(f"--n-best must lie between 0 and {N_BEST}, got {args.n_best}")
    model = fairseq_electra.from_pretrained(args.checkpoint, vocabulary=args.vocab)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    request = request_of(args)
    predictor = predictor_for(
        model, chosen_head(model.labels, args.head, args.checkpoint), request, args.checkpoint
    )
    (_score if args.gold else _answer)(model, predictor, request)


def request_of(args: argparse.Namespace) -> Request:
    """Return what the arguments ask for."""
    return Request(
        path=args.gold or args.input,
        is_gold=bool(args.gold),
        text=tuple(args.text or ()),
        label=args.label or "",
        header=tuple(args.header) if args.header else None,
        quoted=args.quoted,
        scheme=args.scheme or "",
        words=args.words,
        output=args.output,
        threshold=args.threshold,
        n_best=args.n_best,
        logits=args.logits,
    )


def _answer(model: "ElectraHubInterface", predictor: "Predictor", request: Request) -> None:
    """Write the answers to a file, each as soon as it is there unless they are written whole."""
    lines = predictor.lines(request)
    unknown = UnknownText(predictor.source, predictor.unknown)
    with (
        Progress(beside=None if request.output else sys.stdout) as model.progress,
        atomic_write(request.output) if request.output else contextlib.nullcontext(sys.stdout) as stream,
    ):
        model.progress.stage(f"predicting on {predictor.source}", "rows")
        number = 0
        for line in unknown.over(lines, model.progress):
            number += 1
            stream.write(f"{line}\n")
        if not number:
            raise InputError(f"{predictor.source} is empty; give one input a line")
    _say_what_to_know(predictor, "sentences" if request.words else "lines", unknown)


def _score(model: "ElectraHubInterface", predictor: "Predictor", request: Request) -> None:
    """Print the scores of a labelled file, and write the answers."""
    from fairseq_electra.finetuning.predictions import metrics_line, score_file

    with Progress() as model.progress:
        model.progress.stage(f"predicting on {predictor.source}", "rows")
        lines, metrics = score_file(predictor, request)
    if request.output:
        with atomic_write(request.output) as stream:
            stream.writelines(f"{line}\n" for line in lines)
    print(metrics_line(metrics))
    _say_what_to_know(predictor, "examples", UnknownText(predictor.source, predictor.unknown))


def _say_what_to_know(predictor: "Predictor", unit: str, unknown: UnknownText) -> None:
    """Say how much of the text is not known, where all answers are the same, and how many inputs were cut."""
    unknown.say()
    if warning := predictor.warning():
        print(f"warning: {predictor.source}: {warning}", file=sys.stderr)
    if predictor.number_cut:
        print(
            f"{predictor.number_cut:,} of {predictor.number_read:,} {unit} {predictor.what_was_cut}",
            file=sys.stderr,
        )


def _check(args: argparse.Namespace) -> None:
    """Refuse options that do not go together."""
    if args.gold and (args.input != "-" or args.words):
        raise InputError(
            f"--gold {args.gold} is what is read; leave out {'--words' if args.words else '--input'}"
        )
    only_for_gold = [name for name in ("label", "scheme") if getattr(args, name)]
    if only_for_gold and not args.gold:
        raise InputError(f"--{only_for_gold[0]} is for --gold FILE; leave it out")
    if args.header and (args.words or not (args.gold or is_table(args.input))):
        raise InputError(
            "--header names the columns of a TSV or CSV with texts: give it a name that ends in .tsv or .csv,"
            " and no --words; or leave --header out"
        )
    if args.quoted and not (args.gold or ((args.text or args.header) and is_table(args.input))):
        raise InputError(
            "--quoted is for the cells of a TSV: give it a name that ends in .tsv, and its columns, --text;"
            " or leave it out"
        )
