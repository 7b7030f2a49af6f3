"""Apply a fine-tuned model to text: one input per line, one JSON object per line out, in the same order.

fairseq-electra predict checkpoints/checkpoint_best.pt < sentences.txt > predictions.jsonl
fairseq-electra predict checkpoints/checkpoint_best.pt --input test.jsonl > predictions.jsonl
fairseq-electra predict answering/checkpoint_best.pt --input dev-v2.0.json > answers.jsonl  # a file of SQuAD's form; answers have ids
fairseq-electra predict answering/checkpoint_best.pt --input dev-v2.0.json --output predictions.json  # as SQuAD's own script reads them
fairseq-electra predict tagging/checkpoint_best.pt --words < test.conll > tagged.conll  # given words; their tags in a last column
fairseq-electra predict checkpoints/checkpoint_best.pt --gold test.tsv  # a labelled file; prints the scores that a study reports

A pair is two texts with a tab between them, a multiple choice the context and its choices. A file that is named .jsonl, or begins with
a JSON object, is read as JSON lines, and one that is named .csv as a CSV; the texts are in the columns of the training, or in those that
--text names, which gives a .tsv columns as well. CHECKPOINT may also be a folder of checkpoints or of transformers. Rows longer than those
of the training are cut, the longest text first, and it says how many.
"""

import argparse
import contextlib
import json
import logging
import math
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from fairseq_electra.cli._unknown_text import UnknownText
from fairseq_electra.errors import InputError
from fairseq_electra.files.inputs import read_inputs, source_name
from fairseq_electra.files.quotes import warn_of_quotes
from fairseq_electra.files.table import Columns, is_table, numbered_lines, records
from fairseq_electra.files.text import atomic_write
from fairseq_electra.finetuning.kind import ANSWERING, PREDICTION, RANKING, TAGGING, TaskInfo
from fairseq_electra.finetuning.questions.forms import is_squad
from fairseq_electra.finetuning.questions.read import QUESTION_COLUMNS, Squad, read_squad
from fairseq_electra.finetuning.words.columns import FIRST_AND_LAST, WordColumns
from fairseq_electra.finetuning.words.read import read_words
from fairseq_electra.finetuning.words.tags import BIO, SCHEMES
from fairseq_electra.paths import VOCABULARY, require
from fairseq_electra.progress import Progress

if TYPE_CHECKING:
    from fairseq_electra.finetuning.predictions import Predictor
    from fairseq_electra.hub.interface import ElectraHubInterface


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="saved by fairseq-train, or a folder: its best, or else its last")
    parser.add_argument("--input", default="-", metavar="FILE", help="text; plain, .gz or .xz (default: standard input)")
    parser.add_argument(
        "--text",
        nargs="+",
        metavar="COLUMN",
        help="the input is JSON lines, or CSV or TSV if named so, with the text in these columns (default: the training's)",
    )
    parser.add_argument("--quoted", action="store_true", help="cells of a TSV, given with --text or --gold, may stand in quotes")
    parser.add_argument(
        "--words",
        action="store_true",
        help="of tags: the input is a word a line, in the column of the training, with blank lines between sentences; each gets its tag",
    )
    parser.add_argument("--vocab", metavar="DIR", help="folder of the vocabulary (default: the checkpoint's, or its data's)")
    parser.add_argument("--output", metavar="FILE", help="for the answers, written whole or not at all (default: standard output, at once)")
    parser.add_argument("--head", metavar="NAME", help="of several heads, the one to apply")
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="X",
        help="of answers: none where `unanswerable` is above it (default: none; for --gold and predictions.json the checkpoint's own)",
    )
    parser.add_argument("--n-best", type=int, default=0, metavar="N", help="of answers: list the N best")
    parser.add_argument("--logits", action="store_true", help="add the scores themselves")
    gold = parser.add_argument_group(
        "scores on a labelled file; TSV, CSV and JSON lines have the training's columns unless others are named"
    )
    gold.add_argument("--gold", metavar="FILE", help="instead of --input: a file as prepare reads it; --output is for the answers")
    gold.add_argument("--label", metavar="COLUMN", help="the column with the label")
    gold.add_argument("--header", nargs="+", metavar="COLUMN", help="names of the columns, where a TSV does not begin with them")
    gold.add_argument("--scheme", choices=SCHEMES, help="tags of the file (default: the training's)")


def run(args: argparse.Namespace) -> None:
    """Load the net, and read until the text ends."""
    _check(args)
    require("folder or checkpoint", args.checkpoint)
    require("input", args.input)
    require("labelled file", args.gold)
    require(VOCABULARY, args.vocab)
    import torch

    import fairseq_electra

    fairseq_electra.register()
    logging.getLogger("fairseq_electra").setLevel(logging.WARNING)
    from fairseq_electra.finetuning.predictions import predictor_of
    from fairseq_electra.finetuning.questions.answering import N_BEST

    if not 0 <= args.n_best <= N_BEST:
        raise InputError(f"--n-best must lie between 0 and {N_BEST}, got {args.n_best}")
    net = fairseq_electra.from_pretrained(args.checkpoint, vocabulary=args.vocab)
    net.to("cuda" if torch.cuda.is_available() else "cpu")
    head = args.head or only_head(net.labels, args.checkpoint)
    if head not in net.labels:
        raise InputError(f"{args.checkpoint} has no head {head!r}, it has {', '.join(net.labels) or 'none'}")
    source = source_name(args.gold or args.input)
    check_gold_options(args, net.kind)
    n_best = max(args.n_best, 1) if args.gold and net.kind == ANSWERING else args.n_best
    predictor = predictor_of(net, head, source, threshold_of(args, net), n_best)
    if args.gold:
        _score(args, net, predictor)
        return
    lines = _tagged_lines(args, predictor) if args.words else _json_lines(args, net, predictor)
    unknown = UnknownText(source, predictor.unknown)
    with (
        Progress(beside=None if args.output else sys.stdout) as net.progress,
        atomic_write(args.output) if args.output else contextlib.nullcontext(sys.stdout) as stream,
    ):
        net.progress.stage(f"predicting on {source}", "rows")
        number = 0
        for line in unknown.over(lines, net.progress):
            number += 1
            stream.write(f"{line}\n")
        if not number:
            raise InputError(f"{source} is empty; give one input a line")
    _say_what_to_know(predictor, "sentences" if args.words else "lines", unknown)


def _say_what_to_know(predictor: "Predictor", unit: str, unknown: UnknownText) -> None:
    """Say how much of the text is not known, where all answers are the same, and how many inputs were cut."""
    unknown.say()
    if warning := predictor.warning():
        print(f"warning: {predictor.source}: {warning}", file=sys.stderr)
    if predictor.number_cut:
        print(f"{predictor.number_cut:,} of {predictor.number_read:,} {unit} {predictor.what_was_cut}", file=sys.stderr)


def _check(args: argparse.Namespace) -> None:
    """Refuse options that do not go together."""
    if args.gold and (args.input != "-" or args.words):
        raise InputError(f"--gold {args.gold} is what is read; leave out {'--words' if args.words else '--input'}")
    alone = [name for name in ("label", "header", "scheme") if getattr(args, name)]
    if alone and not args.gold:
        raise InputError(f"--{alone[0]} is for --gold FILE; leave it out")
    if args.quoted and not (args.gold or (args.text and is_table(args.input))):
        raise InputError("--quoted is for the cells of a TSV: give it a name that ends in .tsv, and its columns, --text; or leave it out")


def check_gold_options(args: argparse.Namespace, kind: str) -> None:
    """Refuse options of labelled files that a net of this kind does not read."""
    columns = ("text", "label", "header", "quoted")
    read: tuple[str, ...] = {TAGGING: ("scheme",), ANSWERING: ()}.get(kind, columns)
    unread = [f"--{name}" for name in (*columns, "scheme") if getattr(args, name) and name not in read]
    if args.gold and unread:
        what = {TAGGING: "words and tags in the columns of the training", ANSWERING: "SQuAD's form"}.get(kind, "named columns")
        raise InputError(f"--gold of a net for {kind} is a file of {what}; leave out {' and '.join(unread)}")


def _is_predictions(args: argparse.Namespace, net: "ElectraHubInterface") -> bool:
    """Whether the answers to a file of questions are to be written as one object, by their ids."""
    named = bool(args.output) and args.output.endswith(".json")
    return named and net.kind == ANSWERING and (bool(args.gold) or (is_squad(args.input) and not args.text))


def threshold_of(args: argparse.Namespace, net: "ElectraHubInterface") -> float:
    """Return the threshold above which a question gets no answer: the one given, or where answers are scored the checkpoint's.

    Raises:
        InputError: the checkpoint has none.
    """
    if args.threshold is not None:
        return args.threshold
    may_lack_answers = net.kind == ANSWERING and (net.task is None or net.task.unanswerable)
    if not may_lack_answers or not (args.gold or _is_predictions(args, net)):
        return math.inf
    if net.threshold is None:
        raise InputError(
            f"{args.checkpoint} keeps no threshold above which a question has no answer, as no validation chose one for its weights; "
            "give --threshold X, that of valid, or --threshold inf for an answer to every question"
        )
    return net.threshold


def _score(args: argparse.Namespace, net: "ElectraHubInterface", predictor: "Predictor") -> None:
    """Print the scores of a labelled file, and write the answers."""
    from fairseq_electra.finetuning.gold import GoldForm, score_file

    texts, label = columns_of(net, args.text), args.label or (net.task.label_column if net.task else "")
    if net.kind in (PREDICTION, RANKING) and not (texts and label):
        raise InputError("--gold: the network does not know which columns hold texts and label; name them with --text and --label")
    header, numbers = tuple(args.header) if args.header else None, len(predictor.labels) == 1 and net.kind != RANKING
    columns = Columns(texts, label, header, quoted=args.quoted, numbers=numbers)
    scheme, words = form_of(net.task)
    if net.kind in (PREDICTION, RANKING):
        warn_of_quotes(args.gold, columns)
    with Progress() as net.progress:
        net.progress.stage(f"predicting on {predictor.source}", "rows")
        answers, metrics = score_file(predictor, args.gold, GoldForm(columns, args.scheme or scheme, words))
    if args.output:
        with atomic_write(args.output) as stream:
            if _is_predictions(args, net):
                stream.write(predictions_json(answers))
            else:
                stream.writelines(f"{_line(answer, args)}\n" for answer in answers)
    print(metrics_line(metrics))
    _say_what_to_know(predictor, "examples", UnknownText(predictor.source, predictor.unknown))


def metrics_line(metrics: dict[str, float]) -> str:
    """Write metrics as a line of JSON, which knows no infinite number: a threshold that no question lies above is null."""
    finite = {name: round(value, 6) if math.isfinite(value) else None for name, value in metrics.items()}
    return json.dumps(finite, allow_nan=False)


def predictions_json(answers: Iterable[dict]) -> str:
    """Write answers as SQuAD's evaluation reads them: one object, of each question its answer by its id.

    Source: SQuAD's evaluate-v2.0.py, ``preds``.
    """
    return json.dumps({answer["id"]: answer["answer"] for answer in answers}, ensure_ascii=False) + "\n"


def _line(answer: dict, args: argparse.Namespace) -> str:
    left_out = [name for name, wanted in (("logits", args.logits), ("n_best", args.n_best)) if not wanted]
    return json.dumps({name: value for name, value in answer.items() if name not in left_out}, ensure_ascii=False)


def _json_lines(args: argparse.Namespace, net: "ElectraHubInterface", predictor: "Predictor") -> Iterator[str]:
    """Answers as JSON lines."""
    if net.kind == ANSWERING and is_squad(args.input) and not args.text:
        squad = _read_squad(args.input)
        found = predictor((question.text, squad.contexts[question.context]) for question in squad.questions)
        answers: Iterator[dict] = ({"id": question.id, **answer} for question, answer in zip(squad.questions, found, strict=True))
    else:
        columns = columns_of(net, args.text)
        if args.text and is_table(args.input):
            warn_of_quotes(args.input, Columns(columns, quoted=args.quoted))
        answers = predictor(read_inputs(args.input, columns, named=bool(args.text), quoted=args.quoted))
    if _is_predictions(args, net):
        yield predictions_json(answers).rstrip("\n")
        return
    for answer in answers:
        yield _line(answer, args)


def _read_squad(path: str) -> Squad:
    """Read a file of SQuAD's form; says how to give one of JSON lines that is named like it."""
    try:
        return read_squad(path, labelled=None)
    except InputError as error:
        try:
            _, first = next(records(numbered_lines(path), path), (0, {"data": []}))
        except InputError:
            raise error from None
        if "data" in first:
            raise
        raise InputError(
            f"{path} holds JSON lines and is named like a file of SQuAD's form; name it .jsonl, or give --text {' '.join(QUESTION_COLUMNS)}"
        ) from error


def _tagged_lines(args: argparse.Namespace, predictor: "Predictor") -> Iterator[str]:
    """Lines of words with their tags."""
    from fairseq_electra.finetuning.predictions import TagPredictor

    if not isinstance(predictor, TagPredictor):
        raise InputError(f"--words is for tags, and this net was trained for {predictor.net.kind}; leave it out")
    if args.text or args.logits:
        raise InputError("--words puts a tag behind each word, so --text and --logits have no place beside it; leave them out")
    scheme, columns = form_of(predictor.net.task)
    return predictor.tag_lines(read_words(args.input, scheme, columns))


def form_of(task: TaskInfo | None) -> tuple[str, WordColumns]:
    """Return how the files that a net was trained on write their tags, and their columns, where known."""
    return (BIO, FIRST_AND_LAST) if task is None else (task.scheme or BIO, WordColumns(task.word_column, task.tag_column))


def columns_of(net: "ElectraHubInterface", named: list[str] | None) -> tuple[str, ...]:
    """Return the columns of JSON lines that hold the texts of an input: the ones named, or else those of the training.

    Raises:
        InputError: as many as named are not what the net needs.
    """
    known = net.task.columns if net.task else ()
    if named is None:
        return known or (QUESTION_COLUMNS if net.kind == ANSWERING else ())
    needed = {TAGGING: 1, ANSWERING: 2}.get(net.kind) or (net.task.inputs if net.task else 0)
    if needed and len(named) != needed:
        raise InputError(f"--text names {len(named)} columns, {' '.join(named)}, and this net was trained on {needed}; name as many")
    return tuple(named)


def only_head(labels: dict[str, list[str]], checkpoint: str) -> str:
    """Return the name of the only head."""
    if len(labels) != 1:
        names = ", ".join(labels)
        raise InputError(
            f"{checkpoint} has the heads {names}: name one, --head" if names else f"{checkpoint} has no head; fine-tune it first"
        )
    return next(iter(labels))
