"""Answers of a fine-tuned model to inputs, in their order: what is common to all kinds of tasks."""

import itertools
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fairseq_electra.errors import InputError, listed
from fairseq_electra.files.inputs import Input, is_read_by_columns, read_inputs
from fairseq_electra.files.quotes import warn_of_quotes
from fairseq_electra.files.table import Columns, is_table
from fairseq_electra.finetuning.request import Request
from fairseq_electra.finetuning.sameness import MIN_INPUTS, PredictionRange, constant_warning
from fairseq_electra.finetuning.tuned_model import TunedModel
from fairseq_electra.pretraining.unknown import Unknown

LINES_AT_ONCE = 4096  # sorted by length among themselves


class Scored(NamedTuple):
    """Answers in the file's order, each with the right one under ``gold``, and their scores by metric."""

    answers: list[dict]
    metrics: dict[str, float]


class Predictor(ABC):
    """Answers of a head to inputs: lines of text, or texts that are apart already, as a tuple.

    Args:
        tuned: model with the head.
        head: name of the head.
        source: name of the text in errors.

    Attributes:
        inputs: number of texts of an input; 0: as many as in training.
        usual_columns: columns of an input's texts in JSON lines, where the training's are not known.
    """

    inputs = 0
    usual_columns: tuple[str, ...] = ()

    def __init__(self, tuned: TunedModel, head: str, source: str = "text"):
        self.tuned, self.head, self.source = tuned, head, source
        self.labels = tuned.labels[head]
        self.max_positions, self.number_read, self.number_cut = tuned.max_length, 0, 0
        # the smallest and largest prediction, and what the vocabulary does not know of the inputs
        self.prediction_range, self.unknown = PredictionRange(), Unknown()

    def __call__(self, inputs: Iterable[Input]) -> Iterator[dict]:
        """Answer each input.

        Raises:
            InputError: one is not as the head needs it; names it.
        """
        remaining = enumerate(iter(inputs), 1)
        while batch := list(itertools.islice(remaining, LINES_AT_ONCE)):
            self.number_read += len(batch)
            yield from self.answer([number for number, _ in batch], [given for _, given in batch])

    @abstractmethod
    def answer(self, numbers: list[int], inputs: list[Input]) -> Iterator[dict]:
        """Answer some inputs, whose numbers are for errors; counts in ``number_cut`` those that were cut."""

    def warning(self) -> str:
        """Return a warning if all predictions are the same, else an empty string."""
        same = self.prediction_range.same(MIN_INPUTS)
        return (
            ""
            if same is None
            else constant_warning(self.in_words(same), self.prediction_range.number, "inputs")
        )

    @abstractmethod
    def in_words(self, prediction: list[float]) -> str:
        """Put the prediction for an input into words; it is given as :class:`PredictionRange` has it."""

    def columns(self, named: tuple[str, ...]) -> tuple[str, ...]:
        """Return the columns that hold the texts of an input: the ones named, or else the training's.

        Raises:
            InputError: the model needs another number of columns.
        """
        task = self.tuned.task
        if not named:
            return (task.columns if task else ()) or self.usual_columns
        needed = self.inputs or (task.inputs if task else 0)
        if needed and len(named) != needed:
            raise InputError(
                f"--text names {len(named)} columns, {' '.join(named)}, and this net was trained on {needed};"
                " name as many"
            )
        return named

    def lines(self, request: Request) -> Iterator[str]:
        """Yield the answers to a file, as lines of text without their ends.

        Raises:
            InputError: the file cannot be read, or an option is for models of another kind.
        """
        if request.words:
            raise InputError(
                f"--words is for tags, and this net was trained for {self.tuned.kind}; leave it out"
            )
        return self.as_lines(self.answers_to_file(request), request)

    def answers_to_file(self, request: Request) -> Iterator[dict]:
        """Answer the inputs of a file; errors as those of :meth:`lines`."""
        columns, named = self.columns(request.text), bool(request.text or request.header)
        if is_read_by_columns(request.path, columns, named, request.quoted):
            warn_of_quotes(request.path, Columns(columns, header=request.header, quoted=request.quoted))
        elif columns and is_table(request.path):
            print(
                f"warning: {request.path}: the first line does not name {listed(map(repr, columns))}, so all"
                " lines are read as text, the first too; if it names other columns, give them with --text",
                file=sys.stderr,
            )
        yield from self(read_inputs(request.path, columns, named, request.quoted, request.header))

    def as_lines(self, answers: Iterable[dict], request: Request) -> Iterator[str]:
        """Write answers as JSON, one in a line."""
        left_out = [
            name for name, wanted in (("logits", request.logits), ("n_best", request.n_best)) if not wanted
        ]
        for answer in answers:
            if request.logits and "logits" not in answer:
                raise InputError("--logits: these answers have no scores of labels; leave it out")
            kept = {name: value for name, value in answer.items() if name not in left_out}
            yield json.dumps(kept, ensure_ascii=False)

    @abstractmethod
    def score_file(self, request: Request) -> Scored:
        """Answer all inputs of a labelled file, and score the answers with the metrics of the task.

        Raises:
            InputError: the file cannot be read, or has a label that the model does not know; names the line.
        """

    @property
    def what_was_cut(self) -> str:
        """Ends the sentence that says how many inputs were cut, and to what."""
        return f"were cut to {self.max_positions} tokens, the longest row of the training"


def check_texts(parts: list[str], expected: int, place: str) -> None:
    """Refuse a line with another number of texts."""
    if len(parts) != expected:
        raise InputError(
            f"{place}: {len(parts)} texts between tabs, where {expected} are expected; write one input a"
            " line, as those of the training"
        )
