"""Multi-head self-attention within a row, with optional rotary positions."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_electra.electra.fast.attention import AttentionMask, attend
from fairseq_electra.electra.recurrence import Recurrence
from fairseq_electra.electra.rotary import rotate
from fairseq_electra.electra.sizes import EncoderSizes


class SelfAttention(nn.Module):
    """Multi-head scaled dot-product attention, with its output projection.

    Args:
        sizes: sizes of the encoder.

    One projection makes queries, keys and values.

    Source: google-research/electra model/modeling.py::attention_layer.
    """

    def __init__(self, sizes: EncoderSizes):
        super().__init__()
        self.heads = sizes.num_attention_heads
        self.attention_dropout = sizes.attention_dropout
        has_bias = not sizes.no_linear_bias
        self.qkv = nn.Linear(sizes.hidden_size, 3 * sizes.hidden_size, bias=has_bias)
        self.out = nn.Linear(sizes.hidden_size, sizes.hidden_size, bias=has_bias)

    def forward(self, hidden: Tensor, mask: AttentionMask | Recurrence, angles: Tensor | None) -> Tensor:
        """Let every token attend to the tokens that it may see.

        Args:
            hidden: hidden states. Shape: (B, T, C).
            mask: which tokens see each other (:func:`fairseq_electra.electra.fast.attention.attention_mask`),
                or the parts of a row.
            angles: rotary angles (:func:`fairseq_electra.electra.rotary.rotary_angles`), or None.

        Returns:
            Shape: (B, T, C).
        """
        rows, length, hidden_size = hidden.shape
        qkv = self.qkv(hidden).view(rows, length, 3, self.heads, hidden_size // self.heads)
        query, key, value = qkv.unbind(2)  # (B, T, H, D) each
        if angles is not None:
            query, key = rotate(qkv[:, :, :2], angles).unbind(2)
        dropped = self.attention_dropout if self.training else 0.0
        if isinstance(mask, Recurrence):
            before = key, value
            if torch.is_grad_enabled():
                before = self._without_gradient(hidden, angles)
            mixed = mask.attend(query, (key, value), before, dropped)
        else:
            mixed = attend(query, key, value, mask, dropped)
        return self.out(mixed.reshape(rows, length, hidden_size))

    def _without_gradient(self, hidden: Tensor, angles: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return keys and values of states that get no gradient, though the projection gets its own.

        Shapes: (B, T, C) -> (B, T, H, D) each.
        """
        size = hidden.shape[-1]
        bias = None if self.qkv.bias is None else self.qkv.bias[size:]
        both = F.linear(hidden.detach(), self.qkv.weight[size:], bias)
        both = both.view(*hidden.shape[:2], 2, self.heads, size // self.heads)
        key, value = both.unbind(2)
        return (key if angles is None else rotate(key, angles)), value
