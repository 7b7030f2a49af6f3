"""Self-attention within a row, with optional rotary positions."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_electra.modules.dropout import dropout
from fairseq_electra.modules.losses import precise
from fairseq_electra.modules.sizes import EncoderSizes

SHORT_ROW_ON_CPU = 256  # up to here plain matrix products beat the fused kernel on a CPU (its backward pass is the slow part)


def rotary_angles(num_positions: int, head_size: int, device: torch.device) -> Tensor:
    """Unit complex numbers that turn pair i at position t by t / 10000^(2i / head_size). Shape: (T, head_size / 2), complex128.

    Source: Su et al. 2021 (arXiv 2104.09864) section 3.2.2.
    """
    frequency = 10000.0 ** (-torch.arange(0, head_size, 2, device=device, dtype=torch.float64) / head_size)
    angle = torch.arange(num_positions, device=device, dtype=torch.float64)[:, None] * frequency
    return torch.polar(torch.ones_like(angle), angle)


def rotate(vectors: Tensor, angles: Tensor) -> Tensor:
    """Turn neighbouring pairs (0, 1), (2, 3), ... of each head, as RoFormer does. Shape kept: (B, T, ..., head size)."""
    pairs = torch.view_as_complex(vectors.to(precise(vectors.dtype)).unflatten(-1, (-1, 2)))
    turns = angles.to(pairs.dtype).reshape(1, angles.shape[0], *(1,) * (pairs.dim() - 3), angles.shape[1])
    return torch.view_as_real(pairs * turns).flatten(-2).to(vectors.dtype)


class SelfAttention(nn.Module):
    """Multi-head scaled dot-product attention, with its output projection.

    Args:
        sizes: of the encoder.

    Source: google-research/electra model/modeling.py::attention_layer. One projection makes queries, keys and values.
    """

    def __init__(self, sizes: EncoderSizes):
        super().__init__()
        self.heads = sizes.num_attention_heads
        self.attention_dropout = sizes.attention_dropout
        self.qkv = nn.Linear(sizes.hidden_size, 3 * sizes.hidden_size)
        self.out = nn.Linear(sizes.hidden_size, sizes.hidden_size)

    def forward(self, hidden: Tensor, bias: Tensor | None, angles: Tensor | None) -> Tensor:
        """Attend.

        Args:
            hidden: Shape: (B, T, C).
            bias: added to the scores, large and negative where a token must not be seen. Shape: (B, 1, 1, T). None: all are seen.
            angles: of :func:`rotary_angles`, or None.

        Returns:
            Shape: (B, T, C).
        """
        rows, length, width = hidden.shape
        qkv = self.qkv(hidden).view(rows, length, 3, self.heads, width // self.heads)
        if angles is None:
            query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, H, T, D) each
        else:
            query, key = rotate(qkv[:, :, :2], angles).permute(2, 0, 3, 1, 4).unbind(0)
            value = qkv[:, :, 2].transpose(1, 2)
        probability = self.attention_dropout if self.training else 0.0
        if hidden.device.type == "cpu" and length <= SHORT_ROW_ON_CPU:
            mixed = _matrix_attention(query, key, value, bias, probability)
        else:
            mask = None if bias is None else bias.to(query.dtype)
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=probability)
        return self.out(mixed.transpose(1, 2).reshape(rows, length, width))


def _matrix_attention(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, probability: float) -> Tensor:
    """Attention as two matrix products. Shapes: (B, H, T, D) thrice -> (B, H, T, D)."""
    scores = torch.matmul(query * query.shape[-1] ** -0.5, key.transpose(-2, -1))
    if bias is not None:
        scores = scores + bias.to(scores.dtype)
    weights = dropout(scores.softmax(-1), probability, training=True)
    return torch.matmul(weights.to(value.dtype), value)
