"""The Transformer encoder of BERT: exact GELU, separate embedding size, LayerNorm as ``--norm`` says."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fairseq_electra.electra.attention import SelfAttention
from fairseq_electra.electra.embeddings import LAYER_NORM_EPS
from fairseq_electra.electra.fast.attention import AttentionMask, attention_mask
from fairseq_electra.electra.fast.cross_entropy import loss_dtype
from fairseq_electra.electra.fast.dropout import Dropout
from fairseq_electra.electra.packed import PackedDocuments
from fairseq_electra.electra.rotary import rotary_angles
from fairseq_electra.electra.scaled_dot_product import View, one_sided_mask_to_add
from fairseq_electra.electra.sizes import EncoderSizes
from fairseq_electra.errors import InputError


class EncoderLayer(nn.Module):
    """Attention and feed-forward network, each with dropout, residual connection and LayerNorm.

    Let h be the residual stream, and f a sublayer with its dropout. ``sizes.norm`` chooses between

    - ``post``, the original: LN(h + f(h));
    - ``deepnorm`` and ``scaled``: LN(a h + f(h)) with a above 1 (:attr:`EncoderSizes.residual_scale`), which
      keeps deep models stable under a short warm-up. It equals LN(h + f(h) / a), so dividing the last matrix
      of each sublayer by a turns a trained model into a ``post`` one. ``deepnorm`` also initialises the
      sublayers with smaller weights (Wang et al. 2022, arXiv 2203.00555);
    - ``pre``: h + f(LN(h)), with one more LayerNorm behind the last layer (Xiong et al. 2020, arXiv
      2002.04745).
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

    def forward(self, hidden: Tensor, mask: AttentionMask, angles: Tensor | None) -> Tensor:
        """Apply the layer; arguments as those of :meth:`SelfAttention.forward`. Shape kept: (B, T, C).

        Under autocast the residual stream is kept in half precision, which halves the memory traffic; each
        LayerNorm computes in float32. With ``pre`` the stream is never normalised and its sum over the layers
        would lose digits, so it stays in float32.
        """
        if self.pre_norm:
            hidden = hidden + self.dropout(
                self.attention(normalize(hidden, self.attention_layer_norm), mask, angles)
            )
            return hidden + self.dropout(self.feed_forward(normalize(hidden, self.output_layer_norm)))
        mixed = self.attention(hidden, mask, angles)
        hidden = self.attention_layer_norm(self.add(hidden, self.dropout(mixed))).to(mixed.dtype)
        output = self.feed_forward(hidden)
        return self.output_layer_norm(self.add(hidden, self.dropout(output))).to(output.dtype)

    def feed_forward(self, hidden: Tensor) -> Tensor:
        """Apply two linear layers with GELU between them. Shape kept: (B, T, C)."""
        return self.output(F.gelu(self.intermediate(hidden)))

    def add(self, hidden: Tensor, branch: Tensor) -> Tensor:
        """Add a sublayer's output to the scaled residual stream. Shapes kept: (B, T, C)."""
        return torch.add(branch, hidden, alpha=self.residual_scale)


class Encoder(nn.Module):
    """Projection from embedding to hidden size (where they differ) and the layers.

    Args:
        sizes: sizes of the encoder.
        checkpoint_activations: keep only each layer's input for the backward pass, which computes the rest
            again.
        view: what a token attends to, beside itself: all tokens of its row, or those on one side of it.

    Source: google-research/electra model/modeling.py::BertModel, transformer_model.
    """

    def __init__(self, sizes: EncoderSizes, checkpoint_activations: bool = False, view: View = "row"):
        super().__init__()
        self.sizes, self.checkpoint_activations, self.view = sizes, checkpoint_activations, view
        same = sizes.embedding_size == sizes.hidden_size
        self.projection = None if same else nn.Linear(sizes.embedding_size, sizes.hidden_size)
        self.layers = nn.ModuleList(EncoderLayer(sizes) for _ in range(sizes.num_hidden_layers))
        self.layer_norm = nn.LayerNorm(sizes.hidden_size, eps=LAYER_NORM_EPS) if sizes.norm == "pre" else None
        # saved, so that the weights of a post-LayerNorm model are not loaded by mistake
        if sizes.residual_scale != 1:
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
            embedded: output of :class:`Embeddings`. Shape: (B, T, E).
            padding_mask: True at padding; None: there is no padding. Shape: (B, T).
            all_layers: a list that receives the input of the first layer and the output of each. Shapes: (B,
                T, C).
            documents: the documents of packed rows, each of which attends to itself only; None: each row is
                one document.

        Returns:
            the last layer's output, normalised. Shape: (B, T, C).
        """
        hidden = embedded if self.projection is None else self.projection(embedded)
        if self.layer_norm is not None:
            hidden = hidden.to(loss_dtype(hidden.dtype))
        mask: AttentionMask
        if self.view == "row":
            mask = attention_mask(hidden, padding_mask, documents)
        else:
            mask = one_sided_mask_to_add(hidden, self.view, padding_mask, documents)
        angles = None
        if self.sizes.positions == "rotary":
            head_size = self.sizes.hidden_size // self.sizes.num_attention_heads
            angles = rotary_angles(hidden.shape[1], head_size, hidden.device)
            angles = angles if documents is None else angles[documents.positions]
        if all_layers is not None:
            all_layers.append(hidden)
        for layer in self.layers:
            if self.checkpoint_activations and torch.is_grad_enabled():
                hidden = checkpoint(layer, hidden, mask, angles, use_reentrant=False)
            else:
                hidden = layer(hidden, mask, angles)
            if all_layers is not None:
                all_layers.append(hidden)
        return hidden if self.layer_norm is None else normalize(hidden, self.layer_norm)


def normalize(hidden: Tensor, layer_norm: nn.LayerNorm) -> Tensor:
    """Apply LayerNorm in the type of its weights, not that of the residual stream. Shape kept: (B, T, C)."""
    return layer_norm(hidden.to(layer_norm.weight.dtype))


def check_row_length(sizes: EncoderSizes, tokens_per_sample: int, remedy: str) -> None:
    """Refuse rows that are longer than the table of learned positions; ``remedy`` ends the error."""
    if sizes.positions == "learned" and tokens_per_sample > sizes.max_position_embeddings:
        raise InputError(
            f"rows of {tokens_per_sample} tokens are longer than the position table of"
            f" {sizes.max_position_embeddings}; {remedy}"
        )
