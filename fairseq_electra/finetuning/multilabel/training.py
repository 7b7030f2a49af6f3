"""Training on texts with several labels: rows, and the binary cross-entropy of every label."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fairseq_electra.electra.fast.cross_entropy import loss_dtype
from fairseq_electra.finetuning.multilabel.folder import LabelFolder
from fairseq_electra.finetuning.multilabel.metrics import has_label, labels_in_words, score_labels
from fairseq_electra.finetuning.rows import TaskRows
from fairseq_electra.finetuning.sentences.head import SentenceHead
from fairseq_electra.finetuning.training import Training
from fairseq_electra.pretraining.wordpiece import PAD_ID


class LabelRows(TaskRows):
    """Rows ``<s> A </s> [B </s>]`` and their labels.

    Args:
        texts: texts of a split.
        split: its name.
    """

    def __init__(self, texts: LabelFolder, split: str):
        super().__init__(texts.sizes)
        self.texts, self.split = texts, split

    def collater(self, samples: list[int]) -> dict:
        """Make a batch as :meth:`Training.rows` describes it, with ``target``, (B, K), float32.

        ``target`` is 1 if a text has the label, else 0.
        """
        if not samples:
            return {}
        sizes = self.sizes[samples]
        tokens = np.full((len(samples), sizes.max()), PAD_ID, dtype=np.int64)
        for row, index, size in zip(tokens, samples, sizes, strict=True):
            row[:size] = self.texts.row(index)
        return {
            "id": torch.tensor(samples),
            "split": self.split,
            "nsentences": len(samples),
            "ntokens": int(sizes.sum()),
            "net_input": {"src_tokens": torch.from_numpy(tokens)},
            "target": torch.from_numpy(self.texts.targets[samples].astype(np.float32)),
        }


class LabelTraining(Training):
    """Several labels for each text, each a decision of its own."""

    def head(self, hidden_size: int, dropout: float, pooling: str) -> SentenceHead:
        """See :meth:`Training.head`."""
        return SentenceHead(hidden_size, len(self.info.labels), dropout, pooling)

    def rows(self, split: str) -> LabelRows:
        """See :meth:`Training.rows`."""
        return LabelRows(LabelFolder(self.folder, split, self.info, self.vocabulary_size), split)

    def loss(self, scores: Tensor, batch: dict) -> tuple[Tensor, int]:
        """Return the labels' mean binary cross-entropy, summed over texts, and the number of texts.

        Source: transformers modeling_electra.py::ElectraForSequenceClassification, ``BCEWithLogitsLoss``.
        """
        scores = scores.to(loss_dtype(scores.dtype))
        target = batch["target"].to(scores.dtype)
        return F.binary_cross_entropy_with_logits(scores, target, reduction="sum") / scores.shape[1], len(
            scores
        )

    def results(self, scores: Tensor, batch: dict) -> Tensor:
        """Return number and scores of each text; numbers stay exact up to 2^24.

        Shape: (B, 1 + K), float32.
        """
        return torch.cat([batch["id"].float().unsqueeze(1), scores.float()], 1)

    def number_of_results(self, rows: Any) -> int:
        """See :meth:`Training.number_of_results`."""
        return len(rows)

    def score(self, rows: LabelRows, gathered: np.ndarray) -> dict[str, float]:
        """See :meth:`Training.score`."""
        return score_labels(gathered[np.argsort(gathered[:, 0]), 1:], rows.texts.targets)

    def predictions(self, gathered: np.ndarray) -> np.ndarray:
        """See :meth:`Training.predictions`."""
        return has_label(gathered[:, 1:]).astype(np.int64)

    def in_words(self, prediction: list[float]) -> str:
        """See :meth:`Training.in_words`."""
        return labels_in_words(self.info.labels, prediction)
