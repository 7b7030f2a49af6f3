"""Predictions of a fine-tuned model: the answers to a file, and their scores if it is labelled."""

import json
import math
from collections.abc import Iterator
from typing import NamedTuple

from fairseq_electra.errors import InputError
from fairseq_electra.files.table import source_name
from fairseq_electra.finetuning.kinds import KINDS
from fairseq_electra.finetuning.predictor import Predictor
from fairseq_electra.finetuning.request import Request
from fairseq_electra.finetuning.tuned_model import TunedModel


class ScoredLines(NamedTuple):
    """Answers to a labelled file, as lines of text without their ends, and what they are worth, by metric."""

    lines: Iterator[str]
    metrics: dict[str, float]


def predictor_of(
    tuned: TunedModel, head: str, source: str, threshold: float = math.inf, n_best: int = 0
) -> Predictor:
    """Return the predictor for the kind of task that a model was trained for.

    The arguments are those of :meth:`TaskKind.predictor`.

    Raises:
        InputError: one of the last two arguments is given, and the model does not answer questions, or not
            such without an answer.
    """
    if math.isnan(threshold):
        raise InputError("--threshold nan is no number; give one, such as that which validation logged")
    return KINDS[tuned.kind].predictor(tuned, head, source, threshold, n_best)


def predictor_for(tuned: TunedModel, head: str, request: Request, checkpoint: str) -> Predictor:
    """Return the predictor that a request needs.

    Args:
        tuned: the model.
        head: name of its head.
        request: what is asked.
        checkpoint: name of the model in errors.

    Raises:
        InputError: an option is for models of another kind.
    """
    kind = KINDS[tuned.kind]
    kind.check_gold_options(request)
    threshold = kind.threshold(tuned, request, checkpoint)
    return predictor_of(tuned, head, source_name(request.path), threshold, request.n_best)


def score_file(predictor: Predictor, request: Request) -> ScoredLines:
    """Answer all inputs of a labelled file, and score the answers with the metrics that a study reports.

    Raises:
        InputError: the file cannot be read, or has a label that the model does not know; names the line.
    """
    answers, metrics = predictor.score_file(request)
    return ScoredLines(predictor.as_lines(answers, request), metrics)


def chosen_head(labels: dict[str, list[str]], named: str | None, checkpoint: str) -> str:
    """Return the head with this name, or the only one where none is named.

    Args:
        labels: of each head.
        named: name of the head, if it was given.
        checkpoint: names the model in errors.

    Raises:
        InputError: there is no such head, or not one alone.
    """
    if not named and len(labels) != 1:
        names = ", ".join(labels)
        raise InputError(
            f"{checkpoint} has the heads {names}: name one, --head"
            if names
            else f"{checkpoint} has no head; fine-tune it first"
        )
    head = named or next(iter(labels))
    if head not in labels:
        raise InputError(f"{checkpoint} has no head {head!r}, it has {', '.join(labels) or 'none'}")
    return head


def metrics_line(metrics: dict[str, float]) -> str:
    """Return metrics as a line of JSON.

    JSON has no infinite number, so a threshold that no question lies above is null.
    """
    finite = {name: round(value, 6) if math.isfinite(value) else None for name, value in metrics.items()}
    return json.dumps(finite, allow_nan=False)
