"""Scores of a fine-tuned model for the examples of a sentence task's folder, whatever the batches are."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fairseq_electra.finetuning.evaluation import Evaluation
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.sameness import predictions_of
from fairseq_electra.finetuning.sentences.folder import rows_of
from fairseq_electra.finetuning.sentences.metrics import score
from fairseq_electra.finetuning.tuned_model import TunedModel
from fairseq_electra.pretraining.binarized import open_binarized
from fairseq_electra.pretraining.wordpiece import LEADING


class SentenceEvaluation(Evaluation):
    """Scores are logits: (N, number of classes or choices), of numbers (N, 1)."""

    def scores(self, tuned: TunedModel, split: str) -> np.ndarray:
        """Score the split's examples."""
        head = next(iter(tuned.labels))
        return logits_of(tuned, head, examples_of(self.folder, self.info, split, len(tuned.symbols))).numpy()

    def metrics(
        self, split: str, scores: np.ndarray, valid: np.ndarray | None = None
    ) -> dict[str, float] | None:
        """Compare with the labels; nothing has to be chosen on valid."""
        target = targets_of(self.folder, self.info, split)
        return None if target is None else score(self.info.metrics, scores, target)

    def predictions(self, scores: np.ndarray) -> np.ndarray:
        """Return the classes, choices or numbers."""
        return predictions_of(torch.from_numpy(scores)).numpy()


def texts_of(data: Path, info: TaskInfo, split: str, vocabulary_size: int) -> list[tuple[list[int], ...]]:
    """Read the ids of each example's texts of a split."""
    columns = []
    for i in range(info.inputs):
        text = open_binarized(data / f"input{i}" / split, vocabulary_size)
        ends = text.line_sizes.cumsum()
        columns.append(
            [text.ids[end - size : end - 1].tolist() for end, size in zip(ends, text.line_sizes, strict=True)]
        )
    return list(zip(*columns, strict=True))


def examples_of(data: Path, info: TaskInfo, split: str, vocabulary_size: int) -> list[list[list[int]]]:
    """Read a split's examples back: for each the rows that make it up."""
    return [rows_of(texts, info.kind) for texts in texts_of(data, info, split, vocabulary_size)]


def logits_of(tuned: TunedModel, head: str, examples: list[list[list[int]]]) -> Tensor:
    """Score examples.

    Args:
        tuned: model with the head.
        head: name of the head.
        examples: rows of each example, as ids; several rows are the choices of a multiple choice.

    Returns:
        scores. Shape: (N, number of classes), or (N, number of choices).
    """
    rows = [torch.tensor(row) for each in examples for row in each]
    scores = torch.stack(tuned.predict(head, rows, return_logits=True)).cpu()
    return scores.view(len(examples), -1)


def targets_of(data: Path, info: TaskInfo, split: str) -> np.ndarray | None:
    """Read the labels of a split, if it has any: classes from 0 on, or numbers. Shape: (N,)."""
    if not (data / "label" / (f"{split}.idx" if info.labels else f"{split}.label")).is_file():
        return None
    if info.labels:
        ids = open_binarized(data / "label" / split, len(LEADING) + len(info.labels)).ids
        return ids.reshape(-1, 2)[:, 0].astype(np.int64) - len(LEADING)
    return np.loadtxt(
        data / "label" / f"{split}.label", dtype=np.float64 if info.regression else np.int64, ndmin=1
    )
