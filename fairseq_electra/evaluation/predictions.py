"""Scores of a fine-tuned net for the examples of a task's folder, whatever the batches are."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fairseq_electra.data.binarized import open_binarized
from fairseq_electra.data.task_folder import TaskInfo, rows_of
from fairseq_electra.data.wordpiece import LEADING
from fairseq_electra.interchange.hub_interface import ElectraHubInterface


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


def targets_of(data: Path, info: TaskInfo, split: str) -> np.ndarray:
    """Read the labels of a split: classes from 0 on, or numbers. Shape: (N,)."""
    if info.labels:
        ids = open_binarized(data / "label" / split, len(LEADING) + len(info.labels)).ids
        return ids.reshape(-1, 2)[:, 0].astype(np.int64) - len(LEADING)
    return np.loadtxt(data / "label" / f"{split}.label", dtype=np.float64 if info.regression else np.int64, ndmin=1)
