"""Batches of tagged words."""

from typing import Protocol

import numpy as np
import torch

from fairseq_electra.finetuning.rows import TaskRows
from fairseq_electra.pretraining.wordpiece import BOS_ID, EOS_ID, PAD_ID


class WordRows(Protocol):
    """Rows of words, of a folder or in memory.

    Attributes:
        sizes: tokens of each, ``<s>`` and ``</s>`` counted. Shape: (rows,).
    """

    sizes: np.ndarray

    def row(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids of a row's pieces, and for each the tag of the word that begins there, from 0 on, or -1.

        Shapes: (pieces,) twice.
        """


class TagRows(TaskRows):
    """Rows ``<s> words </s>``.

    Args:
        words: rows of words.
        split: their name.
    """

    def __init__(self, words: WordRows, split: str):
        super().__init__(words.sizes)
        self.words, self.split = words, split

    def collater(self, samples: list[int]) -> dict:
        """Make a batch.

        Returns:
            ``id`` (B,), ``split``, ``ntokens``, ``net_input`` with ``src_tokens`` (B, T), and ``target``
            (B, T), the tag of the word that begins there and is scored in this row, else -1.
        """
        if not samples:
            return {}
        sizes = self.sizes[samples]
        tokens = np.full((len(samples), sizes.max()), PAD_ID, dtype=np.int64)
        target = np.full_like(tokens, -1)
        for i, (index, size) in enumerate(zip(samples, sizes, strict=True)):
            tokens[i, 1 : size - 1], target[i, 1 : size - 1] = self.words.row(index)
            tokens[i, 0], tokens[i, size - 1] = BOS_ID, EOS_ID
        return {
            "id": torch.tensor(samples),
            "split": self.split,
            "nsentences": len(samples),
            "ntokens": int(sizes.sum()),
            "net_input": {"src_tokens": torch.from_numpy(tokens)},
            "target": torch.from_numpy(target),
        }
