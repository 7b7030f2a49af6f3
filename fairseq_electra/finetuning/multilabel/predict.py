"""Labels that a fine-tuned model gives to texts, and their scores on a labelled file."""

from collections.abc import Iterator

import numpy as np
import torch

from fairseq_electra.errors import InputError, listed, shortened
from fairseq_electra.files.inputs import Input
from fairseq_electra.files.quotes import warn_of_quotes
from fairseq_electra.files.table import Columns
from fairseq_electra.finetuning.multilabel import SEPARATOR
from fairseq_electra.finetuning.multilabel.folder import label_table
from fairseq_electra.finetuning.multilabel.metrics import has_label, labels_in_words, score_labels
from fairseq_electra.finetuning.multilabel.read import LabelledText, read_labelled_texts
from fairseq_electra.finetuning.predictor import Predictor, Scored
from fairseq_electra.finetuning.request import Request
from fairseq_electra.finetuning.sentences.predict import SentencePredictor


class LabelPredictor(SentencePredictor):
    """The labels of a text, or of a pair with a tab between.

    Yields ``labels``, those whose probability is above 0.5, ``probabilities`` by label, and ``logits``. All
    inputs must have as many texts as the training, or as the first.
    """

    def answer(self, numbers: list[int], inputs: list[Input]) -> Iterator[dict]:
        """Answer some inputs."""
        logits = self.logits(numbers, inputs)
        given = has_label(logits.numpy())
        self.prediction_range.add(torch.from_numpy(given.astype(np.int64)))
        for scores, probabilities, given_labels in zip(
            logits.tolist(), logits.double().sigmoid().tolist(), given, strict=True
        ):
            yield {
                "labels": [
                    label for label, is_given in zip(self.labels, given_labels, strict=True) if is_given
                ],
                "probabilities": dict(zip(self.labels, probabilities, strict=True)),
                "logits": scores,
            }

    def score_file(self, request: Request) -> Scored:
        """See :meth:`Predictor.score_file`."""
        task = self.tuned.task
        texts, label = self.columns(request.text), request.label or (task.label_column if task else "")
        if not (texts and label):
            raise InputError(
                "--gold: the network does not know which columns hold texts and labels; name them with --text"
                " and --label"
            )
        columns = Columns(texts, label, request.header, quoted=request.quoted)
        warn_of_quotes(request.path, columns)
        separator = (task.scheme if task else "") or SEPARATOR
        return score_texts(self, read_labelled_texts(request.path, columns, separator))

    def in_words(self, prediction: list[float]) -> str:
        """See :meth:`Predictor.in_words`."""
        return labels_in_words(self.labels, prediction)


def score_texts(predictor: Predictor, examples: list[LabelledText]) -> Scored:
    """Score the labels of texts.

    Raises:
        InputError: a label is none of the network's; names the line.
    """
    for example in examples:
        unknown = [label for label in example.labels or () if label not in predictor.labels]
        if unknown:
            raise InputError(
                f"{example.place}: the label {shortened(unknown[0])!r} is none of the network's,"
                f" {listed(predictor.labels)}; give it as in training"
            )
    answers = list(predictor(example.texts for example in examples))
    gold_labels = [example.labels or () for example in examples]
    logits = np.array([answer["logits"] for answer in answers], dtype=np.float32)
    scored = [answer | {"gold": list(gold)} for answer, gold in zip(answers, gold_labels, strict=True)]
    return Scored(scored, score_labels(logits, label_table(gold_labels, predictor.labels)))
