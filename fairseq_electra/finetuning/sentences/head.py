"""The head for sentences."""

import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_electra.electra.fast.dropout import Dropout
from fairseq_electra.electra.initialization import initialize_glorot
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.head import TaskHead
from fairseq_electra.finetuning.sentences.dense_head import round_as_shifted, with_dense


class SentenceHead(TaskHead):
    """The paper's head for sentences: dropout and one linear layer on ``<s>``.

    Args:
        hidden_size: C.
        num_classes: scores to give.
        dropout: before the linear layer, probability.
        pooling: ``first`` reads ``<s>``. ``mean`` reads the mean over the row: a model pre-trained for
            minutes has learned little for ``<s>``, which is never replaced.
        dense: put a dense layer and GELU before the linear layer, as transformers' heads have it.

    Source: google-research/electra
    finetune/classification/classification_tasks.py::ClassificationTask.get_prediction_module.
    """

    def __init__(
        self, hidden_size: int, num_classes: int, dropout: float, pooling: str = "first", dense: bool = False
    ):
        super().__init__()
        self.pooling = pooling
        self.dense = nn.Linear(hidden_size, hidden_size) if dense else None
        self.dropout = Dropout(dropout)
        self.prediction = nn.Linear(hidden_size, num_classes)
        initialize_glorot(self.prediction)

    def forward(self, hidden: Tensor, padding_mask: Tensor) -> Tensor:
        """Score the classes. Shapes: (B, T, C), (B, T) -> (B, number of classes)."""
        if self.pooling == "first":
            pooled = hidden[:, 0]
        else:
            real = (~padding_mask).to(hidden.dtype).unsqueeze(-1)
            pooled = (hidden * real).sum(1) / real.sum(1)
        if self.dense is not None:
            pooled = F.gelu(self.dense(self.dropout(pooled)))
        pooled = self.transformed(pooled)
        return self.prediction(self.dropout(pooled))

    def exported(self, layer_norm: nn.LayerNorm) -> dict[str, Tensor]:
        """Return the tensors of a head with a dense layer, as transformers' are, that computes the same.

        Raises:
            InputError: the head reads the mean of the row.
        """
        if self.transform is not None:  # of ModernBERT, whose heads may read the mean
            return super().exported(layer_norm)
        if self.pooling != "first":
            raise InputError(
                "the head reads the mean of the row, transformers' the first token; fine-tune without"
                " --pooling mean"
            )
        return with_dense(self.prediction, layer_norm) if self.dense is None else super().exported(layer_norm)

    def round_as_exported(self, layer_norm: nn.LayerNorm) -> None:
        """See :meth:`TaskHead.round_as_exported`."""
        if self.dense is None and self.transform is None:
            round_as_shifted(self.prediction, layer_norm)
