"""Self-attention within a row, with optional rotary positions."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_electra.electra.fast.cross_entropy import loss_dtype
from fairseq_electra.electra.fast.dropout import dropout
from fairseq_electra.electra.packed import Buckets, PackedDocuments, Spans
from fairseq_electra.electra.sizes import EncoderSizes

UNSEEN = -10000.0  # added to the scores of what must not be seen: its weight is exactly 0 in every float type
Seen = Tensor | Buckets | Spans | None
SHORT_ROW_ON_CPU = 256  # up to here plain matrix products beat the fused kernel on a CPU (its backward pass is the slow part)


def seen_past_padding(padding_mask: Tensor | None, dtype: torch.dtype) -> Seen:
    """Let all tokens of a row be seen but padding. Shape of ``padding_mask``: (B, T), True at padding; None: there is none."""
    return None if padding_mask is None else padding_mask.to(dtype)[:, None, None, :] * UNSEEN


def seen_by_documents(documents: PackedDocuments, hidden: Tensor) -> Seen:
    """Let each document of packed rows see itself alone, in the way that suits the device and the length of rows.

    Args:
        documents: of the rows.
        hidden: what will attend. Shape: (B, T, C).
    """
    width, on_cpu = hidden.shape[1], hidden.device.type == "cpu"
    if not on_cpu and torch.is_autocast_enabled(hidden.device.type):
        return Spans(documents.bounds(), width)
    if on_cpu and width > SHORT_ROW_ON_CPU and not torch.compiler.is_compiling():
        return Buckets.of(documents, UNSEEN)
    return documents.apart().to(hidden.dtype) * UNSEEN


def rotary_turns(num_positions: int, head_size: int, device: torch.device) -> Tensor:
    """Cosine and sine of t / 10000^(2i / head_size), the angle by which pair i at position t is turned.

    Returns:
        float64. Shape: (T, head_size / 2, 2).

    Source: Su et al. 2021 (arXiv 2104.09864) section 3.2.2.
    """
    frequency = 10000.0 ** (-torch.arange(0, head_size, 2, device=device, dtype=torch.float64) / head_size)
    angle = torch.arange(num_positions, device=device, dtype=torch.float64)[:, None] * frequency
    return torch.stack([angle.cos(), angle.sin()], -1)


def rotate(vectors: Tensor, turns: Tensor) -> Tensor:
    """Turn neighbouring pairs (0, 1), (2, 3), ... of each head, as RoFormer does.

    Args:
        vectors: Shape: (B, T, ..., head size), which the result has too.
        turns: of :func:`rotary_turns`, for all rows or, (B, T, head size / 2, 2), for each.
    """
    pairs = vectors.to(loss_dtype(vectors.dtype)).unflatten(-1, (-1, 2))
    turns = turns.to(pairs.dtype).reshape(-1, vectors.shape[1], *(1,) * (vectors.dim() - 3), *turns.shape[-2:])
    if torch.compiler.is_compiling():  # the compiler knows no complex numbers
        (x, y), (cos, sin) = pairs.unbind(-1), turns.unbind(-1)
        turned = torch.stack([x * cos - y * sin, x * sin + y * cos], -1)
    else:
        turned = torch.view_as_real(torch.view_as_complex(pairs) * torch.view_as_complex(turns))
    return turned.flatten(-2).to(vectors.dtype)


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

    def forward(self, hidden: Tensor, seen: Seen, turns: Tensor | None) -> Tensor:
        """Attend.

        Args:
            hidden: Shape: (B, T, C).
            seen: what is added to the scores, large and negative where a token must not be seen, shape (B, 1, 1 or T, T); or documents,
                each of which sees itself alone. None: all are seen.
            turns: of :func:`rotary_turns`, or None.

        Returns:
            Shape: (B, T, C).
        """
        rows, length, width = hidden.shape
        qkv = self.qkv(hidden).view(rows, length, 3, self.heads, width // self.heads)
        query, key, value = qkv.unbind(2)  # (B, T, H, D) each
        if turns is not None:
            query, key = rotate(qkv[:, :, :2], turns).unbind(2)
        probability = self.attention_dropout if self.training else 0.0
        if isinstance(seen, Buckets):
            mixed = _bucket_attention(query, key, value, seen, probability)
        elif isinstance(seen, Spans):
            mixed = _span_attention(query, key, value, seen)
        elif hidden.device.type == "cpu" and length <= SHORT_ROW_ON_CPU:
            mixed = _matrix_attention(query, key, value, seen, probability)
        else:
            query, key, value = (x.transpose(1, 2) for x in (query, key, value))
            mask = None if seen is None else seen.to(query.dtype)
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=probability).transpose(1, 2)
        return self.out(mixed.reshape(rows, length, width))


def _bucket_attention(query: Tensor, key: Tensor, value: Tensor, buckets: Buckets, probability: float) -> Tensor:
    """Attention within documents, those of like length together. Shapes: (B, T, H, D) thrice -> (B * T, H, D)."""
    ordered = [x.flatten(0, 1).index_select(0, buckets.order).split(buckets.sizes) for x in (query, key, value)]
    mixed = []
    for bucket, (documents, bias) in enumerate(zip(buckets.documents, buckets.biases, strict=True)):
        query, key, value = (parts[bucket].unflatten(0, (documents, -1)) for parts in ordered)
        mixed.append(_matrix_attention(query, key, value, bias, probability).flatten(0, 1))
    return torch.cat(mixed).index_select(0, buckets.places)


def _span_attention(query: Tensor, key: Tensor, value: Tensor, spans: Spans) -> Tensor:
    """Attention within documents by a kernel for GPUs: half precision, no dropout. Shapes: (B, T, H, D) thrice -> (B * T, H, D)."""
    from torch.nn.attention.varlen import varlen_attn

    query, key, value = (x.flatten(0, 1) for x in (query, key, value))
    return varlen_attn(query, key, value, spans.bounds, spans.bounds, spans.longest, spans.longest)  # type: ignore[return-value]


def _matrix_attention(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, probability: float) -> Tensor:
    """Attention as two matrix products. Shapes: (B, T, H, D) thrice -> (B, T, H, D)."""
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))  # (B, H, T, D)
    scores = torch.matmul(query * query.shape[-1] ** -0.5, key.transpose(-2, -1))
    if bias is not None:
        scores = scores + bias.to(scores.dtype)
    weights = dropout(scores.softmax(-1), probability, training=True)
    return torch.matmul(weights.to(value.dtype), value).transpose(1, 2)
