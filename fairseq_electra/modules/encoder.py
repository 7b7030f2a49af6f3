"""The Transformer encoder of BERT: post-LayerNorm, exact GELU, embedding size apart from hidden size."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fairseq_electra.errors import InputError
from fairseq_electra.modules.attention import Seen, SelfAttention, rotary_turns, seen_by_documents, seen_past_padding
from fairseq_electra.modules.documents import PackedDocuments
from fairseq_electra.modules.dropout import Dropout
from fairseq_electra.modules.embeddings import LAYER_NORM_EPS
from fairseq_electra.modules.sizes import EncoderSizes

INITIALIZER_RANGE = 0.02


class EncoderLayer(nn.Module):
    """Attention and feed-forward network, each followed by dropout, residual connection and LayerNorm. (B, T, C) -> (B, T, C)."""

    def __init__(self, sizes: EncoderSizes):
        super().__init__()
        self.attention = SelfAttention(sizes)
        self.attention_layer_norm = nn.LayerNorm(sizes.hidden_size, eps=LAYER_NORM_EPS)
        self.intermediate = nn.Linear(sizes.hidden_size, sizes.intermediate_size)
        self.output = nn.Linear(sizes.intermediate_size, sizes.hidden_size)
        self.output_layer_norm = nn.LayerNorm(sizes.hidden_size, eps=LAYER_NORM_EPS)
        self.dropout = Dropout(sizes.dropout)

    def forward(self, hidden: Tensor, seen: Seen, turns: Tensor | None) -> Tensor:
        """Apply the layer; arguments as :meth:`SelfAttention.forward` has them.

        Under autocast the residual stream has the products' type, half as much to move; each LayerNorm computes in float32.
        """
        mixed = self.attention(hidden, seen, turns)
        hidden = self.attention_layer_norm(hidden + self.dropout(mixed)).to(mixed.dtype)
        output = self.output(F.gelu(self.intermediate(hidden)))
        return self.output_layer_norm(hidden + self.dropout(output)).to(output.dtype)


class Encoder(nn.Module):
    """Projection from embedding to hidden size (where they differ) and the layers.

    Args:
        sizes: of the encoder.
        checkpoint_activations: keep only each layer's input for the backward pass, which computes the rest again.

    Source: google-research/electra model/modeling.py::BertModel, transformer_model.
    """

    def __init__(self, sizes: EncoderSizes, checkpoint_activations: bool = False):
        super().__init__()
        self.sizes, self.checkpoint_activations = sizes, checkpoint_activations
        same = sizes.embedding_size == sizes.hidden_size
        self.projection = None if same else nn.Linear(sizes.embedding_size, sizes.hidden_size)
        self.layers = nn.ModuleList(EncoderLayer(sizes) for _ in range(sizes.num_hidden_layers))

    def forward(
        self,
        embedded: Tensor,
        padding_mask: Tensor | None,
        all_layers: list[Tensor] | None = None,
        documents: PackedDocuments | None = None,
    ) -> Tensor:
        """Encode rows.

        Args:
            embedded: what :class:`Embeddings` gives. Shape: (B, T, E).
            padding_mask: True at padding. Shape: (B, T). None: there is none.
            all_layers: a list that receives the input of the first layer and the output of each. Shapes: (B, T, C).
            documents: of packed rows, in which each document sees itself alone. None: a row is one.

        Returns:
            the last layer's output. Shape: (B, T, C).
        """
        hidden = embedded if self.projection is None else self.projection(embedded)
        seen = seen_past_padding(padding_mask, hidden.dtype) if documents is None else seen_by_documents(documents, hidden)
        turns = None
        if self.sizes.positions == "rotary":
            turns = rotary_turns(hidden.shape[1], self.sizes.hidden_size // self.sizes.num_attention_heads, hidden.device)
            turns = turns if documents is None else turns[documents.positions]
        if all_layers is not None:
            all_layers.append(hidden)
        for layer in self.layers:
            if self.checkpoint_activations and torch.is_grad_enabled():
                hidden = checkpoint(layer, hidden, seen, turns, use_reentrant=False)
            else:
                hidden = layer(hidden, seen, turns)
            if all_layers is not None:
                all_layers.append(hidden)
        return hidden


def check_row_length(sizes: EncoderSizes, tokens_per_sample: int, remedy: str) -> None:
    """Refuse rows that the position table has no vectors for; ``remedy`` ends the sentence."""
    if sizes.positions == "learned" and tokens_per_sample > sizes.max_position_embeddings:
        raise InputError(
            f"rows of {tokens_per_sample} tokens are longer than the position table of {sizes.max_position_embeddings}; {remedy}"
        )


def initialize(module: nn.Module) -> None:
    """Draw a module's own parameters as the original does; use with ``Module.apply``.

    Truncated normal (two standard deviations of .02) for matrices, zero for biases, one and zero for LayerNorm.

    Source: google-research/electra model/modeling.py::create_initializer.
    """
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.trunc_normal_(module.weight, std=INITIALIZER_RANGE, a=-2 * INITIALIZER_RANGE, b=2 * INITIALIZER_RANGE)
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        with torch.no_grad():
            module.weight[module.padding_idx] = 0.0
    if isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
    if getattr(module, "bias", None) is not None:
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]


def initialize_as_dense_default(linear: nn.Linear) -> None:
    """Glorot-uniform, where the original left TensorFlow's default: the projection of embeddings and the last layer of each head."""
    nn.init.xavier_uniform_(linear.weight)
    nn.init.zeros_(linear.bias)
