"""Scaled dot-product attention as its formula reads, and the masks that are added to its scores."""

from typing import Literal

import torch
from torch import Tensor

from fairseq_electra.electra.fast.dropout import dropout
from fairseq_electra.electra.packed import PackedDocuments

# added to the score of a token that must not be seen: its weight becomes 0 in every float type
BLOCKED = -10000.0
# what a token attends to, beside itself: all tokens of its row, or those on one side of it
View = Literal["row", "left", "right"]


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, probability: float) -> Tensor:
    """Compute dropout(softmax(query key^T / sqrt(D) + mask)) value for each head.

    Args:
        query, key, value: vectors of H heads. Shape: (B, T, H, D) each.
        mask: added to the scores: 0, or :data:`BLOCKED` where a token must not be seen; None: every token
            sees all tokens of its row. Shape: (B, 1, 1 or T, T).
        probability: probability of dropping an attention weight.

    Returns:
        Shape: (B, T, H, D).

    Source: Vaswani et al. 2017 (arXiv 1706.03762), equation 1. :mod:`fairseq_electra.electra.fast.attention`
    computes the same in less time.
    """
    query, key, value = (x.transpose(-3, -2) for x in (query, key, value))  # (B, H, T, D)
    scores = torch.matmul(query * query.shape[-1] ** -0.5, key.transpose(-2, -1))
    if mask is not None:
        scores = scores + mask.to(scores.dtype)
    weights = dropout(scores.softmax(-1), probability, training=True)
    return torch.matmul(weights.to(value.dtype), value).transpose(-3, -2)


def padding_mask_to_add(padding_mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """Block padding. Shape: (B, T), True at padding -> (B, 1, 1, T); None: there is no padding."""
    return None if padding_mask is None else padding_mask.to(dtype)[:, None, None, :] * BLOCKED


def document_mask_to_add(documents: PackedDocuments, dtype: torch.dtype) -> Tensor:
    """Let each token see its own document only. Shape: (B, 1, T, T)."""
    return documents.different_documents().to(dtype) * BLOCKED


def mask_to_add(
    hidden: Tensor,
    view: View,
    padding_mask: Tensor | None,
    documents: PackedDocuments | None,
    window: int = 0,
) -> Tensor:
    """Let each token see itself and a part of the tokens beside it, in its own document.

    Args:
        hidden: the hidden states that will attend. Shape: (B, T, C).
        view: the sides that a token sees.
        padding_mask: True at padding; None: there is none. Shape: (B, T).
        documents: the documents of packed rows; None: each row is one document.
        window: number of tokens around it that a token sees, half of them on each side; 0: all.

    Returns:
        Shape: (B or 1, 1, T, T).
    """
    length = hidden.shape[1]
    blocked = torch.zeros(1, 1, length, length, dtype=torch.bool, device=hidden.device)
    if view != "row":
        behind = torch.ones_like(blocked).triu(1)
        blocked = behind if view == "left" else behind.mT
    if window:
        blocked = blocked | outside_window(torch.arange(length, device=hidden.device), window)
    if padding_mask is not None:
        blocked = blocked | padding_mask[:, None, None, :]
    if documents is not None:
        blocked = blocked | documents.different_documents()
    return blocked.to(hidden.dtype) * BLOCKED


def outside_window(positions: Tensor, window: int) -> Tensor:
    """Return True for pairs of tokens that are more than half a window apart. Shape: (T,) -> (T, T)."""
    return (positions[:, None] - positions).abs() > window // 2
