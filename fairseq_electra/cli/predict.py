"""Apply a fine-tuned net to text: one input a line, one JSON object a line out, in the same order.

fairseq-electra predict checkpoints/checkpoint_best.pt < sentences.txt > predictions.jsonl

A pair is two texts with a tab between them, a multiple choice the context and its choices. CHECKPOINT may also be a folder of
checkpoints or of transformers. Rows longer than those of the training are cut, the longest text first.
"""

import argparse
import itertools
import json
import logging
import sys
from collections.abc import Iterator

from fairseq_electra.data.text import read_lines
from fairseq_electra.errors import InputError

LINES_AT_ONCE = 4096  # sorted by length among themselves
LONGEST = 512  # where the checkpoint does not say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="saved by fairseq-train, or a folder")
    parser.add_argument("--input", default="-", metavar="FILE", help="text; plain, .gz or .xz (default: standard input)")
    parser.add_argument("--vocab", metavar="DIR", help="folder of the vocabulary (default: the checkpoint's, or its data's)")
    parser.add_argument("--head", metavar="NAME", help="of several heads, the one to apply")
    parser.add_argument("--logits", action="store_true", help="add the scores themselves")


def run(args: argparse.Namespace) -> None:
    """Load the net, and read until the text ends."""
    from tqdm import tqdm

    import fairseq_electra

    fairseq_electra.register()
    logging.getLogger("fairseq_electra").setLevel(logging.WARNING)
    from fairseq_electra.data.task_folder import encode_texts, fit, rows_of
    from fairseq_electra.evaluation.predictions import logits_of

    net = fairseq_electra.from_pretrained(args.checkpoint, vocabulary=args.vocab)
    head = args.head or _only_head(net.labels, args.checkpoint)
    if head not in net.labels:
        raise InputError(f"{args.checkpoint} has no head {head!r}, it has {', '.join(net.labels)}")
    kind, max_positions, describe = _answers(net, head)
    lines = read_lines(args.input)
    expected = net.task.inputs if net.task else 0
    number = 0
    with tqdm(unit=" lines", disable=not sys.stderr.isatty()) as bar:
        for batch in _batches(lines):
            texts = [line.split("\t") for line in batch]
            for offset, parts in enumerate(texts, 1):
                expected = expected or len(parts)
                if len(parts) != expected:
                    raise InputError(
                        f"{args.input}, line {number + offset}: {len(parts)} texts between tabs, where {expected} are expected; "
                        "write one input a line, as those of the training"
                    )
            examples = [rows_of(fit(ids, kind, max_positions), kind) for ids in encode_texts(net.tokenizer, texts)]
            for scores in logits_of(net, head, examples).tolist():
                answer = describe(scores) | ({"logits": scores} if args.logits else {})
                sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
            number += len(batch)
            bar.update(len(batch))
    if not number:
        raise InputError(f"{'standard input' if args.input == '-' else args.input} is empty; give one input a line")


def _batches(lines: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(itertools.islice(lines, LINES_AT_ONCE)):
        yield batch


def _only_head(labels: dict[str, list[str]], checkpoint: str) -> str:
    if len(labels) != 1:
        names = ", ".join(labels)
        raise InputError(
            f"{checkpoint} has the heads {names}: name one, --head" if names else f"{checkpoint} has no head; fine-tune it first"
        )
    return next(iter(labels))


def _answers(net, head: str):
    """Return fairseq's task, the longest row, and what turns an input's scores into an answer."""
    import torch

    from fairseq_electra.data.task_folder import PREDICTION, RANKING

    task = net.cfg.task if net.cfg is not None else {}
    longest = net.task.max_positions if net.task else task.get("max_positions") or LONGEST
    longest = min(int(longest), net.model.max_positions())
    labels = net.labels[head]

    def shares(scores: list[float]) -> list[float]:
        return torch.tensor(scores, dtype=torch.float64).softmax(0).tolist()

    def choice(scores: list[float]) -> dict:
        return {"choice": scores.index(max(scores)), "probabilities": shares(scores)}

    def number(scores: list[float]) -> dict:
        return {"score": scores[0]}

    def label(scores: list[float]) -> dict:
        return {"label": labels[scores.index(max(scores))], "probabilities": dict(zip(labels, shares(scores), strict=True))}

    if net.kind == RANKING:
        return RANKING, longest, choice
    return PREDICTION, longest, number if len(labels) == 1 else label
