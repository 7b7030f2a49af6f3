"""Attention in the form that is quickest for the device, the length of the rows, and packing.

==================================  ============================================  ==========================
where                               rows of one document each                     packed rows
==================================  ============================================  ==========================
CPU, rows up to SHORT_ROW_ON_CPU    the formula                                   the formula, a mask of T x T
CPU, longer rows                    PyTorch's fused kernel                        :class:`LengthBuckets`
CPU, longer rows, torch.compile     PyTorch's fused kernel                        (``--pack`` is refused)
GPU, half precision                 PyTorch's fused kernel                        :class:`DocumentBounds`
GPU, float32                        PyTorch's fused kernel                        the same, a mask of T x T
==================================  ============================================  ==========================

Layers with a window have a mask of T x T, longer rows :class:`WindowBlocks`, and packed rows on a GPU in half
precision :class:`DocumentBounds`, where PyTorch's kernel takes a window.

All of them compute :func:`fairseq_electra.electra.scaled_dot_product.attend`. Encoders that see one side of
each token always have a mask of T x T, which the formula and PyTorch's kernel take.
"""

import functools
import inspect
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fairseq_electra.electra.fast.windows import WindowBlocks, block_size
from fairseq_electra.electra.packed import PackedDocuments
from fairseq_electra.electra.scaled_dot_product import (
    BLOCKED,
    document_mask_to_add,
    mask_to_add,
    padding_mask_to_add,
)
from fairseq_electra.electra.scaled_dot_product import attend as attend_by_formula

SHORT_ROW_ON_CPU = 256  # up to here the formula beats the fused kernel on a CPU, whose backward pass is slow
BLOCKS_THAT_PAY = 4  # rows of more blocks are quicker in blocks (examples/benchmark/windows.py)


class LengthBuckets(NamedTuple):
    """Documents of similar length side by side, each padded to the longest of its bucket: for CPUs.

    The tokens of all buckets, padding included, lie in P slots.
    """

    token_of_slot: (
        Tensor  # (P,), index into the flattened batch; padding repeats the first token of its document
    )
    slot_of_token: Tensor  # (B * T,)
    num_documents: list[int]  # of each bucket
    num_slots: list[int]  # of each bucket
    masks: list[Tensor]  # of each bucket, added to the scores; shape: (documents, 1, 1, length)

    @classmethod
    def of(cls, documents: PackedDocuments, multiple: int = 32) -> "LengthBuckets":
        """Group documents by length, rounded up to a multiple.

        The shapes depend on the data, which rules out torch.compile, and would make a GPU wait.
        """
        bounds = documents.bounds().long()
        starts, lengths = bounds[:-1], bounds.diff()
        starts, lengths = starts[lengths > 0], lengths[lengths > 0]
        padded_lengths = (lengths + multiple - 1) // multiple * multiple
        slot_of_token = torch.empty(int(bounds[-1]), dtype=torch.long)
        token_of_slot: list[Tensor] = []
        num_documents: list[int] = []
        num_slots: list[int] = []
        masks: list[Tensor] = []
        for length in padded_lengths.unique().tolist():
            in_bucket = padded_lengths == length
            start, is_token = starts[in_bucket, None], torch.arange(length) < lengths[in_bucket, None]
            token = torch.where(is_token, start + torch.arange(length), start)
            slot_of_token[token[is_token]] = (
                sum(num_slots) + torch.arange(token.numel()).view_as(token)[is_token]
            )
            token_of_slot.append(token.flatten())
            num_documents.append(len(token))
            num_slots.append(token.numel())
            masks.append((~is_token)[:, None, None, :] * BLOCKED)
        return cls(torch.cat(token_of_slot), slot_of_token, num_documents, num_slots, masks)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, probability: float) -> Tensor:
        """Attend within documents. Shapes: (B, T, H, D) each -> (B * T, H, D)."""
        parts = [x.flatten(0, 1).index_select(0, self.token_of_slot) for x in (query, key, value)]
        buckets = zip(*(part.split(self.num_slots) for part in parts), strict=True)
        mixed = []
        for bucket, number, mask in zip(buckets, self.num_documents, self.masks, strict=True):
            query, key, value = (part.unflatten(0, (number, -1)) for part in bucket)
            mixed.append(attend_by_formula(query, key, value, mask, probability).flatten(0, 1))
        return torch.cat(mixed).index_select(0, self.slot_of_token)


class DocumentBounds(NamedTuple):
    """Bounds of the documents in the flattened batch: for a kernel for GPUs that takes any lengths."""

    bounds: Tensor  # (number of documents + 1,), int32
    max_length: int  # no document is longer
    reach: int | None = None  # tokens on each side that a token sees; None: its whole document

    def attend(self, query: Tensor, key: Tensor, value: Tensor, probability: float) -> Tensor:
        """Attend within documents; the kernel takes half precision only, and has no dropout.

        Shapes: (B, T, H, D) each -> (B * T, H, D).
        """
        from torch.nn.attention.varlen import varlen_attn

        query, key, value = (x.flatten(0, 1) for x in (query, key, value))
        longest = self.max_length
        # only where there is a window, as torch 2.10 does not know the argument
        window = {} if self.reach is None else {"window_size": (self.reach, self.reach)}
        return varlen_attn(query, key, value, self.bounds, self.bounds, longest, longest, **window)  # type: ignore


# a tensor is added to the scores; None: all tokens of a row see each other
AttentionMask = Tensor | LengthBuckets | DocumentBounds | WindowBlocks | None


def attention_mask(
    hidden: Tensor, padding_mask: Tensor | None, documents: PackedDocuments | None
) -> AttentionMask:
    """Return which tokens see each other, in the form that is quickest for the device.

    Args:
        hidden: the hidden states that will attend. Shape: (B, T, C).
        padding_mask: True at padding; None: there is none. Shape: (B, T).
        documents: the documents of packed rows; None: each row is one document.
    """
    if documents is None:
        return padding_mask_to_add(padding_mask, hidden.dtype)
    length, on_cpu = hidden.shape[1], hidden.device.type == "cpu"
    if not on_cpu and torch.is_autocast_enabled(hidden.device.type):
        return DocumentBounds(documents.bounds(), length)
    if on_cpu and length > SHORT_ROW_ON_CPU and not torch.compiler.is_compiling():
        return LengthBuckets.of(documents)
    return document_mask_to_add(documents, hidden.dtype)


def local_attention_mask(
    hidden: Tensor, padding_mask: Tensor | None, documents: PackedDocuments | None, window: int
) -> AttentionMask:
    """Return which tokens within a window see each other, in the form that is quickest for the device.

    Arguments as :func:`fairseq_electra.electra.scaled_dot_product.mask_to_add`.
    """
    length, device = hidden.shape[1], hidden.device.type
    longest = length
    if documents is not None and device == "cpu" and not torch.compiler.is_compiling():
        longest = int(documents.bounds().diff().max())
    if window // 2 >= longest - 1:
        return attention_mask(hidden, padding_mask, documents)
    in_half_precision = device != "cpu" and torch.is_autocast_enabled(device)
    if documents is not None and in_half_precision and kernel_has_window():
        return DocumentBounds(documents.bounds(), length, window // 2)
    if length > BLOCKS_THAT_PAY * block_size(window):
        return WindowBlocks.of(hidden, window, padding_mask, documents)
    return mask_to_add(hidden, "row", padding_mask, documents, window)


@functools.cache
def kernel_has_window() -> bool:
    """Return whether the kernel for packed rows takes a window, as it does from torch 2.11 on."""
    from torch.nn.attention.varlen import varlen_attn

    return "window_size" in inspect.signature(varlen_attn).parameters


def attend(query: Tensor, key: Tensor, value: Tensor, mask: AttentionMask, probability: float) -> Tensor:
    """Attend; arguments as those of :func:`fairseq_electra.electra.scaled_dot_product.attend`.

    Returns:
        Shape: (B, T, H, D), or (B * T, H, D).
    """
    if isinstance(mask, (LengthBuckets, DocumentBounds, WindowBlocks)):
        return mask.attend(query, key, value, probability)
    if query.device.type == "cpu" and query.shape[1] <= SHORT_ROW_ON_CPU:
        return attend_by_formula(query, key, value, mask, probability)
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))
    added = None if mask is None else mask.to(query.dtype)
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=added, dropout_p=probability
    ).transpose(1, 2)
