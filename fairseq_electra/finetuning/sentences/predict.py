"""Classes, numbers and choices that a fine-tuned model gives, and their scores on a labelled file."""

import math
from collections.abc import Iterator

import numpy as np
from torch import Tensor

from fairseq_electra.errors import InputError, listed, shortened
from fairseq_electra.files.inputs import Input, texts_in
from fairseq_electra.files.quotes import warn_of_quotes
from fairseq_electra.files.table import Columns
from fairseq_electra.finetuning.predictor import Predictor, Scored, check_texts
from fairseq_electra.finetuning.request import Request
from fairseq_electra.finetuning.sentences import RANKING
from fairseq_electra.finetuning.sentences.folder import encode_texts, fit, is_cut, rows_of
from fairseq_electra.finetuning.sentences.metrics import score
from fairseq_electra.finetuning.sentences.read import Example, read_examples
from fairseq_electra.finetuning.sentences.scores import logits_of
from fairseq_electra.finetuning.tuned_model import TunedModel


class SentencePredictor(Predictor):
    """Predictor of classes, numbers and choices, for a text or for several in a line with tabs between them.

    Several texts are a pair, or a context and its choices.

    Yields ``logits`` and, for classes, ``label`` and ``probabilities`` by label, for numbers ``score``, for a
    multiple choice ``choice``, from 0 on, and ``probabilities``. All inputs must have as many texts as the
    training, or as the first.
    """

    def __init__(self, tuned: TunedModel, head: str, source: str = "text"):
        super().__init__(tuned, head, source)
        self._expected = tuned.task.inputs if tuned.task else 0

    def logits(self, numbers: list[int], inputs: list[Input]) -> Tensor:
        """Score some inputs, and count those that are cut. Shape: (B, number of classes or choices)."""
        # as the cells of files are read
        texts = [[text.strip() for text in texts_in(given)] for given in inputs]
        kind = self.tuned.kind
        for number, parts in zip(numbers, texts, strict=True):
            self._expected = self._expected or max(len(parts), 2 if kind == RANKING else 1)
            check_texts(parts, self._expected, f"{self.source}, line {number}")
        encoded = encode_texts(self.tuned.tokenizer, texts, self.unknown)
        fitted = [fit(ids, kind, self.max_positions) for ids in encoded]
        self.number_cut += sum(map(is_cut, encoded, fitted))
        return logits_of(self.tuned, self.head, [rows_of(ids, kind) for ids in fitted])

    def answer(self, numbers: list[int], inputs: list[Input]) -> Iterator[dict]:
        """Answer some inputs."""
        logits = self.logits(numbers, inputs)
        self.prediction_range.add_scores(logits)
        for scores, probabilities in zip(logits.tolist(), logits.double().softmax(1).tolist(), strict=True):
            yield self._answer(scores, probabilities) | {"logits": scores}

    def score_file(self, request: Request) -> Scored:
        """See :meth:`Predictor.score_file`."""
        texts = self.columns(request.text)
        label = request.label or (self.tuned.task.label_column if self.tuned.task else "")
        if not (texts and label):
            raise InputError(
                "--gold: the network does not know which columns hold texts and label; name them with --text"
                " and --label"
            )
        is_regression = len(self.labels) == 1 and self.tuned.kind != RANKING
        columns = Columns(texts, label, request.header, quoted=request.quoted, numbers=is_regression)
        warn_of_quotes(request.path, columns)
        return score_examples(self, read_examples(request.path, columns))

    def in_words(self, prediction: list[float]) -> str:
        """See :meth:`Predictor.in_words`."""
        if self.tuned.kind == RANKING:
            return f"choice {prediction[0]:.0f}"
        return f"{prediction[0]:.3f}" if len(self.labels) == 1 else repr(self.labels[int(prediction[0])])

    def _answer(self, scores: list[float], probabilities: list[float]) -> dict:
        best = scores.index(max(scores))
        if self.tuned.kind == RANKING:
            return {"choice": best, "probabilities": probabilities}
        if len(self.labels) == 1:
            return {"score": scores[0]}
        return {
            "label": self.labels[best],
            "probabilities": dict(zip(self.labels, probabilities, strict=True)),
        }


def score_examples(predictor: SentencePredictor, examples: list[Example]) -> Scored:
    """Score classes, numbers or choices.

    Returns:
        the metrics of the task; where it is not known, accuracy, or of numbers both correlations.
    """
    of_choices, labels = predictor.tuned.kind == RANKING, predictor.labels
    is_regression = len(labels) == 1 and not of_choices
    classes = [str(i) for i in range(len(examples[0].texts) - 1)] if of_choices else labels
    target = _targets(examples, None if is_regression else classes)
    answers = list(predictor(example.texts for example in examples))
    logits = np.array([answer["logits"] for answer in answers], dtype=np.float32)
    metrics_of_task = predictor.tuned.task.metrics if predictor.tuned.task else ()
    metrics = score(
        metrics_of_task or (("pearson", "spearman") if is_regression else ("accuracy",)), logits, target
    )
    return Scored(
        [answer | {"gold": example.label} for answer, example in zip(answers, examples, strict=True)], metrics
    )


def _targets(examples: list[Example], labels: list[str] | None) -> np.ndarray:
    """Classes from 0 on, or without ``labels`` numbers. Shape: (N,)."""
    targets: list[float] = []
    for example in examples:
        label = example.label or ""
        if labels is not None and label not in labels:
            raise InputError(
                f"{example.place}: the label {shortened(label)!r} is none of the network's, {listed(labels)};"
                " give it as in training"
            )
        try:
            targets.append(float(label) if labels is None else labels.index(label))
        except ValueError:
            targets.append(math.nan)
        if not math.isfinite(targets[-1]):
            raise InputError(
                f"{example.place}: the label {shortened(label)!r} is no number, and the network was trained"
                " on numbers"
            )
    return np.array(targets, dtype=np.float64 if labels is None else np.int64)
