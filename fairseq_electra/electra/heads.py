"""Heads: the layers on top of the encoders."""

import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_electra.electra.embeddings import LAYER_NORM_EPS
from fairseq_electra.electra.fast.dropout import Dropout
from fairseq_electra.electra.initialization import initialize_glorot
from fairseq_electra.electra.sizes import EncoderSizes


class MaskedLMHead(nn.Module):
    """The generator's head: dense to embedding size, GELU, LayerNorm, product with the token table, bias.

    Args:
        sizes: sizes of the generator.
        num_tokens: size of the vocabulary, V.
        untied: multiply with a token table of its own instead of the one given.

    Source: google-research/electra run_pretraining.py::PretrainingModel._get_masked_lm_output.
    """

    def __init__(self, sizes: EncoderSizes, num_tokens: int, untied: bool = False):
        super().__init__()
        self.dense = nn.Linear(sizes.hidden_size, sizes.embedding_size)
        self.layer_norm = nn.LayerNorm(sizes.embedding_size, eps=LAYER_NORM_EPS)
        self.table = nn.Embedding(num_tokens, sizes.embedding_size) if untied else None
        self.bias = nn.Parameter(Tensor(num_tokens).zero_())

    def forward(self, hidden: Tensor, table: Tensor) -> Tensor:
        """Score every token of the vocabulary. Shapes: (..., C), (V, E) -> (..., V)."""
        weight = table if self.table is None else self.table.weight
        return F.linear(self.layer_norm(F.gelu(self.dense(hidden))), weight, self.bias)


class ReplacedTokenHead(nn.Module):
    """The discriminator's head: dense, GELU, one logit; above 0 the token is predicted to be replaced.

    Source: google-research/electra run_pretraining.py::PretrainingModel._get_discriminator_output.
    """

    def __init__(self, sizes: EncoderSizes):
        super().__init__()
        self.dense = nn.Linear(sizes.hidden_size, sizes.hidden_size)
        self.prediction = nn.Linear(sizes.hidden_size, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        """Score every token. Shapes: (B, T, C) -> (B, T)."""
        return self.prediction(F.gelu(self.dense(hidden))).squeeze(-1)


class SentenceHead(nn.Module):
    """The paper's head for sentences: dropout and one linear layer on ``<s>``.

    Args:
        hidden_size: C.
        num_classes: number of classes.
        dropout: dropout before the linear layer, probability.
        pooling: ``first`` reads ``<s>``. ``mean`` reads the mean over the row: a model that was pre-trained
            for minutes has learned little for ``<s>``, which is never replaced.
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
            is_token = (~padding_mask).to(hidden.dtype).unsqueeze(-1)
            pooled = (hidden * is_token).sum(1) / is_token.sum(1)
        if self.dense is not None:
            pooled = F.gelu(self.dense(self.dropout(pooled)))
        return self.prediction(self.dropout(pooled))


class TokenHead(nn.Module):
    """The head for tags: dropout and one linear layer on every token.

    Args:
        hidden_size: C.
        num_classes: number of tags.
        dropout: dropout before the linear layer, probability.

    Source: google-research/electra finetune/tagging/tagging_tasks.py::TaggingTask.get_prediction_module.
    """

    def __init__(self, hidden_size: int, num_classes: int, dropout: float):
        super().__init__()
        self.dropout = Dropout(dropout)
        self.prediction = nn.Linear(hidden_size, num_classes)
        initialize_glorot(self.prediction)

    def forward(self, hidden: Tensor, padding_mask: Tensor) -> Tensor:
        """Score the tags. Shapes: (B, T, C), (B, T) -> (B, T, number of tags)."""
        return self.prediction(self.dropout(hidden))
