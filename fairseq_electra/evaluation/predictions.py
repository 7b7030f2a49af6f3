"""Scores of a fine-tuned net for text, or for the examples of a task's folder, whatever the batches are."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fairseq_electra.data.binarized import open_binarized
from fairseq_electra.data.task_folder import RANKING, TaskInfo, encode_texts, fit, rows_of
from fairseq_electra.data.wordpiece import LEADING
from fairseq_electra.errors import InputError
from fairseq_electra.interchange.hub_interface import ElectraHubInterface

LINES_AT_ONCE = 4096  # sorted by length among themselves


def examples_of(data: Path, info: TaskInfo, split: str, vocabulary_size: int) -> list[list[list[int]]]:
    """Read a split's examples back: for each the rows that make it up."""
    columns = []
    for i in range(info.inputs):
        text = open_binarized(data / f"input{i}" / split, vocabulary_size)
        ends = text.line_sizes.cumsum()
        columns.append([text.ids[end - size : end - 1].tolist() for end, size in zip(ends, text.line_sizes, strict=True)])
    return [rows_of(texts, info.kind) for texts in zip(*columns, strict=True)]


def logits_of(net: ElectraHubInterface, head: str, examples: list[list[list[int]]]) -> Tensor:
    """Score examples.

    Args:
        net: with the head.
        head: its name.
        examples: for each its rows, as ids; several rows are the choices of a multiple choice.

    Returns:
        scores. Shape: (N, number of classes), or (N, number of choices).
    """
    rows = [torch.tensor(row) for each in examples for row in each]
    scores = torch.stack(net.predict(head, rows, return_logits=True)).cpu()
    return scores.view(len(examples), -1)


def scores_of(net: ElectraHubInterface, data: Path, info: TaskInfo) -> dict[str, np.ndarray]:
    """Score all splits of a task but train. Shape, by split: (N, number of classes or choices)."""
    head, number = next(iter(net.labels)), len(net.dictionary)
    return {split: logits_of(net, head, examples_of(data, info, split, number)).numpy() for split in info.examples if split != "train"}


def targets_of(data: Path, info: TaskInfo, split: str) -> np.ndarray | None:
    """Read the labels of a split, if it has any: classes from 0 on, or numbers. Shape: (N,)."""
    if not (data / "label" / (f"{split}.idx" if info.labels else f"{split}.label")).is_file():
        return None
    if info.labels:
        ids = open_binarized(data / "label" / split, len(LEADING) + len(info.labels)).ids
        return ids.reshape(-1, 2)[:, 0].astype(np.int64) - len(LEADING)
    return np.loadtxt(data / "label" / f"{split}.label", dtype=np.float64 if info.regression else np.int64, ndmin=1)


class Predictor:
    """Answers of a head to lines of text, in their order.

    Args:
        net: with the head.
        head: its name.
        source: names the text in errors.
    """

    def __init__(self, net: ElectraHubInterface, head: str, source: str = "text"):
        self.net, self.head, self.source = net, head, source
        self.labels = net.labels[head]
        options = net.cfg.task if net.cfg is not None else {}
        longest = net.task.max_positions if net.task else options.get("max_positions") or net.sizes.max_position_embeddings
        self.max_positions = min(int(longest), net.model.max_positions() or int(longest))

    def __call__(self, lines: Iterable[str]) -> Iterator[dict]:
        """Answer each line.

        Args:
            lines: a text, or several with tabs between them: a pair, or a context and its choices.

        Yields:
            ``logits`` and, for classes, ``label`` and ``probabilities`` by label, for numbers ``score``, for a multiple choice
            ``choice``, from 0 on, and ``probabilities``.

        Raises:
            InputError: a line has another number of texts than the task, or than the first line; names it.
        """
        expected = self.net.task.inputs if self.net.task else 0
        remaining = enumerate(iter(lines), 1)
        while batch := list(itertools.islice(remaining, LINES_AT_ONCE)):
            texts = [line.split("\t") for _, line in batch]
            for (number, _), parts in zip(batch, texts, strict=True):
                expected = expected or max(len(parts), 2 if self.net.kind == RANKING else 1)
                if len(parts) != expected:
                    raise InputError(
                        f"{self.source}, line {number}: {len(parts)} texts between tabs, where {expected} are expected; "
                        "write one input a line, as those of the training"
                    )
            kind = self.net.kind
            examples = [rows_of(fit(ids, kind, self.max_positions), kind) for ids in encode_texts(self.net.tokenizer, texts)]
            logits = logits_of(self.net, self.head, examples)
            for scores, shares in zip(logits.tolist(), logits.double().softmax(1).tolist(), strict=True):
                yield self._answer(scores, shares) | {"logits": scores}

    def _answer(self, scores: list[float], shares: list[float]) -> dict:
        best = scores.index(max(scores))
        if self.net.kind == RANKING:
            return {"choice": best, "probabilities": shares}
        if len(self.labels) == 1:
            return {"score": scores[0]}
        return {"label": self.labels[best], "probabilities": dict(zip(self.labels, shares, strict=True))}
