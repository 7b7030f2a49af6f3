"""The Transformer encoder of BERT: exact GELU, separate embedding size, LayerNorm as ``--norm`` says."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fairseq_electra.electra.attention import SelfAttention
from fairseq_electra.electra.fast.attention import AttentionMask, attention_mask, local_attention_mask
from fairseq_electra.electra.fast.cross_entropy import loss_dtype
from fairseq_electra.electra.fast.dropout import Dropout
from fairseq_electra.electra.norms import Norm, norm_of, normalize
from fairseq_electra.electra.packed import PackedDocuments
from fairseq_electra.electra.recurrence import Recurrence
from fairseq_electra.electra.rotary import rotary_angles
from fairseq_electra.electra.scaled_dot_product import View, mask_to_add
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
      2002.04745);
    - ``pre_but_first``: ``pre``, but the first sublayer reads h as it is, since the embeddings have been
      normalised already (Warner et al. 2024, arXiv 2412.13663).

    ``sizes.norm_kind`` says what LN is (:mod:`fairseq_electra.electra.norms`), ``sizes.feed_forward`` what is
    between the two linear layers (:meth:`feed_forward`).

    Args:
        sizes: sizes of the encoder.
        number: number of the layer, from 0.
    """

    def __init__(self, sizes: EncoderSizes, number: int):
        super().__init__()
        has_bias, self.is_gated = not sizes.no_linear_bias, sizes.feed_forward == "geglu"
        inner = sizes.intermediate_size
        self.attention = SelfAttention(sizes)
        self.attention_layer_norm: Norm | None = None
        if sizes.norm != "pre_but_first" or number > 0:
            self.attention_layer_norm = norm_of(sizes, sizes.hidden_size)
        self.intermediate = nn.Linear(sizes.hidden_size, 2 * inner if self.is_gated else inner, bias=has_bias)
        self.output = nn.Linear(inner, sizes.hidden_size, bias=has_bias)
        self.output_layer_norm = norm_of(sizes, sizes.hidden_size)
        self.dropout = Dropout(sizes.dropout)
        self.output_dropout = Dropout(sizes.dropout_elsewhere)
        self.pre_norm, self.residual_scale = sizes.is_pre_norm, sizes.residual_scale

    def forward(self, hidden: Tensor, mask: AttentionMask | Recurrence, angles: Tensor | None) -> Tensor:
        """Apply the layer; arguments as those of :meth:`SelfAttention.forward`. Shape kept: (B, T, C).

        Under autocast the residual stream is kept in half precision, which halves the memory traffic; each
        LayerNorm computes in float32. With ``pre`` the stream is never normalised and its sum over the layers
        would lose digits, so it stays in float32.
        """
        if self.pre_norm:
            read = hidden.to(self.output.weight.dtype)
            if self.attention_layer_norm is not None:
                read = normalize(hidden, self.attention_layer_norm)
            hidden = hidden + self.dropout(self.attention(read, mask, angles))
            output = self.feed_forward(normalize(hidden, self.output_layer_norm))
            return hidden + self.output_dropout(output)
        mixed = self.attention(hidden, mask, angles)
        assert self.attention_layer_norm is not None
        hidden = self.attention_layer_norm(self.add(hidden, self.dropout(mixed))).to(mixed.dtype)
        output = self.feed_forward(hidden)
        return self.output_layer_norm(self.add(hidden, self.output_dropout(output))).to(output.dtype)

    def feed_forward(self, hidden: Tensor) -> Tensor:
        """Apply two linear layers with GELU between them. Shape kept: (B, T, C).

        ``geglu``: the first layer makes a value and a gate for each number, and GELU(value) * gate is between
        them (Shazeer 2020, arXiv 2002.05202, equation 6).
        """
        if self.is_gated:
            values, gates = self.intermediate(hidden).chunk(2, -1)
            return self.output(F.gelu(values) * gates)
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
        self.projection = (
            None
            if same
            else nn.Linear(sizes.embedding_size, sizes.hidden_size, bias=not sizes.no_linear_bias)
        )
        self.is_local = [sizes.is_local(i) for i in range(sizes.num_hidden_layers)]
        self.layers = nn.ModuleList(EncoderLayer(sizes, i) for i in range(sizes.num_hidden_layers))
        self.layer_norm = norm_of(sizes, sizes.hidden_size) if sizes.is_pre_norm else None
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
        whole_row = self._sight(hidden, padding_mask, documents)
        local = whole_row
        if any(self.is_local):
            local = self._sight(hidden, padding_mask, documents, is_local=True)
        if all_layers is not None:
            all_layers.append(hidden)
        for layer, is_local in zip(self.layers, self.is_local, strict=True):
            mask, angles = local if is_local else whole_row
            if self.checkpoint_activations and torch.is_grad_enabled():
                hidden = checkpoint(layer, hidden, mask, angles, use_reentrant=False)
            else:
                hidden = layer(hidden, mask, angles)
            if all_layers is not None:
                all_layers.append(hidden)
        return hidden if self.layer_norm is None else normalize(hidden, self.layer_norm)

    def _sight(
        self,
        hidden: Tensor,
        padding_mask: Tensor | None,
        documents: PackedDocuments | None,
        is_local: bool = False,
    ) -> "Sight":
        mask: AttentionMask | Recurrence
        sizes, angles = self.sizes, None
        window = sizes.local_window if is_local else 0
        if 0 < sizes.recurrence < hidden.shape[1]:
            if documents is not None or self.view != "row":
                raise InputError(
                    f"--recurrence {sizes.recurrence} is for rows of one text each that every token sees on"
                    " both sides: it goes neither with packed rows nor with encoders of one side"
                )
            mask = Recurrence.of(hidden, padding_mask, sizes.recurrence)
        elif self.view != "row":
            mask = mask_to_add(hidden, self.view, padding_mask, documents, window)
        elif is_local:
            mask = local_attention_mask(hidden, padding_mask, documents, window)
        else:
            mask = attention_mask(hidden, padding_mask, documents)
        if sizes.positions == "rotary":
            head_size = sizes.hidden_size // sizes.num_attention_heads
            base = sizes.local_rotary_base if is_local else sizes.rotary_base
            angles = rotary_angles(hidden.shape[1], head_size, hidden.device, base)
            angles = angles if documents is None else angles[documents.positions]
        return Sight(mask, angles)


class Sight(NamedTuple):
    """What the tokens of a layer see, and how queries and keys are turned."""

    mask: AttentionMask | Recurrence
    angles: Tensor | None  # rotary angles; None: positions are learned


def check_row_length(sizes: EncoderSizes, tokens_per_sample: int, remedy: str) -> None:
    """Refuse rows that are longer than the table of learned positions; ``remedy`` ends the error."""
    if sizes.positions == "learned" and tokens_per_sample > sizes.max_position_embeddings:
        raise InputError(
            f"rows of {tokens_per_sample} tokens are longer than the position table of"
            f" {sizes.max_position_embeddings}; {remedy}"
        )
