"""The Transformer encoder of BERT: exact GELU, embedding size apart from hidden size; LayerNorm where the sizes say."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fairseq_electra.electra.attention import Seen, SelfAttention, rotary_turns, seen_by_documents, seen_past_padding
from fairseq_electra.electra.embeddings import LAYER_NORM_EPS
from fairseq_electra.electra.fast.cross_entropy import loss_dtype
from fairseq_electra.electra.fast.dropout import Dropout
from fairseq_electra.electra.packed import PackedDocuments
from fairseq_electra.electra.sizes import EncoderSizes
from fairseq_electra.errors import InputError

INITIALIZER_RANGE = 0.02


class EncoderLayer(nn.Module):
    """Attention and feed-forward network, each with dropout, residual connection and LayerNorm. (B, T, C) -> (B, T, C).

    With f for a sublayer and its dropout, ``sizes.norm`` chooses between

    - ``post``, the original: LN(h + f(h));
    - ``deepnorm`` and ``scaled``: LN(a h + f(h)), a above 1 (:attr:`EncoderSizes.residual_scale`), which calms deep nets under a
      short warm-up. It equals LN(h + f(h) / a), so a trained net becomes a ``post`` one by dividing the last matrix of each sublayer.
      ``deepnorm`` also starts with smaller sublayers, as its authors have it (Wang et al. 2022, arXiv 2203.00555);
    - ``pre``: h + f(LN(h)), with one more LayerNorm behind the last layer (Xiong et al. 2020, arXiv 2002.04745).
    """

    def __init__(self, sizes: EncoderSizes):
        super().__init__()
        self.attention = SelfAttention(sizes)
        self.attention_layer_norm = nn.LayerNorm(sizes.hidden_size, eps=LAYER_NORM_EPS)
        self.intermediate = nn.Linear(sizes.hidden_size, sizes.intermediate_size)
        self.output = nn.Linear(sizes.intermediate_size, sizes.hidden_size)
        self.output_layer_norm = nn.LayerNorm(sizes.hidden_size, eps=LAYER_NORM_EPS)
        self.dropout = Dropout(sizes.dropout)
        self.pre_norm, self.residual_scale = sizes.norm == "pre", sizes.residual_scale

    def forward(self, hidden: Tensor, seen: Seen, turns: Tensor | None) -> Tensor:
        """Apply the layer; arguments as :meth:`SelfAttention.forward` has them.

        Under autocast the residual stream has the products' type, half as much to move; each LayerNorm computes in float32. With
        ``pre`` nothing normalizes the stream, whose sum over the layers would lose digits: it stays float32.
        """
        if self.pre_norm:
            hidden = hidden + self.dropout(self.attention(normalize(hidden, self.attention_layer_norm), seen, turns))
            return hidden + self.dropout(self.feed_forward(normalize(hidden, self.output_layer_norm)))
        mixed = self.attention(hidden, seen, turns)
        hidden = self.attention_layer_norm(self.add(hidden, self.dropout(mixed))).to(mixed.dtype)
        output = self.feed_forward(hidden)
        return self.output_layer_norm(self.add(hidden, self.dropout(output))).to(output.dtype)

    def feed_forward(self, hidden: Tensor) -> Tensor:
        """Apply the two matrices and GELU between them. Shape kept: (B, T, C)."""
        return self.output(F.gelu(self.intermediate(hidden)))

    def add(self, hidden: Tensor, branch: Tensor) -> Tensor:
        """Add a sublayer's output to the scaled residual stream. Shapes kept: (B, T, C)."""
        return torch.add(branch, hidden, alpha=self.residual_scale)


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
        self.layer_norm = nn.LayerNorm(sizes.hidden_size, eps=LAYER_NORM_EPS) if sizes.norm == "pre" else None
        if sizes.residual_scale != 1:  # the tensors of post-LayerNorm compute something else here, and must not be loaded unsaid
            self.register_buffer("residual_scale", torch.tensor(sizes.residual_scale))

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
            the last layer's output, normalized. Shape: (B, T, C).
        """
        hidden = embedded if self.projection is None else self.projection(embedded)
        if self.layer_norm is not None:
            hidden = hidden.to(loss_dtype(hidden.dtype))
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
        return hidden if self.layer_norm is None else normalize(hidden, self.layer_norm)


def normalize(hidden: Tensor, layer_norm: nn.LayerNorm) -> Tensor:
    """Apply LayerNorm to a stream that may be more precise than its weights, which --bf16 halves. Shape kept: (B, T, C)."""
    return layer_norm(hidden.to(layer_norm.weight.dtype))


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


@torch.no_grad()
def shrink_branches(module: nn.Module) -> None:
    """Let an encoder with ``deepnorm`` start with smaller sublayers; use with ``Module.apply``, behind :func:`initialize`.

    Values, the projection behind attention and both feed-forward matrices times (8 N)^(-1/4), N layers; queries and keys stay.

    Source: Wang et al. 2022 (arXiv 2203.00555), figure 2 and table 2.
    """
    if isinstance(module, Encoder) and module.sizes.norm == "deepnorm":
        gain = (8 * len(module.layers)) ** -0.25
        for layer in cast(list[EncoderLayer], module.layers):
            values = layer.attention.qkv.weight[2 * module.sizes.hidden_size :]
            for weight in (values, layer.attention.out.weight, layer.intermediate.weight, layer.output.weight):
                weight.mul_(gain)


def initialize_as_dense_default(linear: nn.Linear) -> None:
    """Glorot-uniform, where the original left TensorFlow's default: the projection of embeddings and the last layer of each head."""
    nn.init.xavier_uniform_(linear.weight)
    nn.init.zeros_(linear.bias)
