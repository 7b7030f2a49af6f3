"""The heads of pre-training: what stands on top of the generator and of the discriminator."""

import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_electra.electra.norms import norm_of
from fairseq_electra.electra.sizes import EncoderSizes


class MaskedLMHead(nn.Module):
    """The generator's head: dense to embedding size, GELU, LayerNorm, product with the token table, bias.

    Args:
        sizes: sizes of the generator.
        num_tokens: size of the vocabulary, V.
        untied: multiply with a token table of its own instead of the one given.

    Attributes:
        num_extra: how many scores of no token stand behind those of the vocabulary (:meth:`pad_vocabulary`).

    Source: google-research/electra run_pretraining.py::PretrainingModel._get_masked_lm_output.
    """

    def __init__(self, sizes: EncoderSizes, num_tokens: int, untied: bool = False):
        super().__init__()
        self.dense = nn.Linear(sizes.hidden_size, sizes.embedding_size)
        self.layer_norm = norm_of(sizes, sizes.embedding_size)
        self.table = nn.Embedding(num_tokens, sizes.embedding_size) if untied else None
        self.bias = nn.Parameter(Tensor(num_tokens).zero_())
        self.num_extra = 0

    def pad_vocabulary(self, multiple: int) -> None:
        """Let V be a multiple of a number from now on: GPUs multiply matrices of such sizes faster.

        The scores that are added are -inf. So they have no probability and no gradient, and all else stays
        as it is up to rounding. No parameter changes its shape.
        """
        self.num_extra = -len(self.bias) % multiple

    def forward(self, hidden: Tensor, table: Tensor) -> Tensor:
        """Score every token of the vocabulary. Shapes: (..., C), (V, E) -> (..., V + num_extra)."""
        weight: Tensor = table if self.table is None else self.table.weight
        bias: Tensor = self.bias
        if self.num_extra:
            # copies a table, which is little beside the product
            weight = F.pad(weight, (0, 0, 0, self.num_extra))
            bias = F.pad(bias, (0, self.num_extra), value=float("-inf"))
        return F.linear(self.layer_norm(F.gelu(self.dense(hidden))), weight, bias)


class ReplacedTokenHead(nn.Module):
    """The discriminator's head: dense, GELU, one logit; above 0 the token is predicted to be replaced.

    With ``--normed-head`` a normalization layer is between GELU and the logit, as in all heads of ModernBERT
    (transformers modeling_modernbert.py::ModernBertPredictionHead).

    Source: google-research/electra run_pretraining.py::PretrainingModel._get_discriminator_output.
    """

    def __init__(self, sizes: EncoderSizes):
        super().__init__()
        self.dense = nn.Linear(sizes.hidden_size, sizes.hidden_size)
        self.layer_norm = norm_of(sizes, sizes.hidden_size) if sizes.normed_head else None
        self.prediction = nn.Linear(sizes.hidden_size, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        """Score every token. Shapes: (B, T, C) -> (B, T)."""
        hidden = F.gelu(self.dense(hidden))
        if self.layer_norm is not None:
            hidden = self.layer_norm(hidden)
        return self.prediction(hidden).squeeze(-1)
