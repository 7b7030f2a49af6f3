"""Packing: several documents share a row, so that little of a batch is padding. Nothing is copied until a batch is read."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from fairseq_electra.electra.masking import columns_before
from fairseq_electra.pretraining.rows import Rows, gather_rows

WIDTHS = 32  # documents are read to a multiple of this: few widths, whose tables of columns are kept


@dataclass(frozen=True)
class Packing:
    """Which documents (rows of :mod:`fairseq_electra.pretraining.rows`, short ones and full ones) share a packed row.

    Args:
        documents: their numbers, those of one packed row side by side. Shape: (number of documents,), int64.
        bounds: where each packed row begins in ``documents``, and the end. Shape: (number of packed rows + 1,), int64.
        sizes: tokens of each packed row. Shape: (number of packed rows,), int32.
        columns: one more than the packed row of most documents has, rounded up to a power of two: much the same for all texts of a
            kind, which a compiled graph is glad of.
    """

    documents: np.ndarray
    bounds: np.ndarray
    sizes: np.ndarray
    columns: int

    def __len__(self) -> int:
        return len(self.sizes)


def pack(sizes: np.ndarray, width: int, seed: int = 1) -> Packing:
    """Pack documents into as few rows as a greedy search finds.

    Each row takes the longest document left, and then again and again the longest that still fits. Documents of one size are as good as
    each other, so the search goes over sizes, and what it finds is used for as many rows as there are documents for: it takes
    milliseconds for millions. Which documents of a size go together is random.

    Args:
        sizes: tokens of each document, at most ``width``. Shape: (number of documents,).
        width: tokens of a row.
        seed: of the random choices.

    Source: the "longest-pack-first" histograms of Krell et al. 2021 (arXiv 2107.02027) section 3, in their simplest form.
    """
    left = np.bincount(sizes, minlength=width + 1)
    patterns: list[tuple[list[int], int]] = []  # sizes of the documents of a row, and rows of that kind
    while left.any():
        taken: Counter[int] = Counter()
        room = width
        while room and (fitting := np.flatnonzero(left[: room + 1])).size:
            size = next((int(s) for s in fitting[::-1] if left[s] > taken[int(s)]), 0)
            if not size:
                break
            taken[size] += 1
            room -= size
        rows = min(int(left[size]) // times for size, times in taken.items())
        for size, times in taken.items():
            left[size] -= times * rows
        patterns.append((list(taken.elements()), rows))
    # documents of each size in random order, and how many of them are given away
    by_size = np.lexsort((np.random.default_rng(seed).random(len(sizes)), sizes))
    begin = np.searchsorted(sizes[by_size], np.arange(width + 2))
    parts: list[np.ndarray] = []
    for pattern, rows in patterns:
        columns = np.empty((rows, len(pattern)), np.int64)
        for column, size in enumerate(pattern):
            columns[:, column] = by_size[begin[size] : begin[size] + rows]
            begin[size] += rows
        parts.append(columns)
    counts = np.repeat([len(pattern) for pattern, _ in patterns], [rows for _, rows in patterns]).astype(
        np.int64
    )
    bounds = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    documents = np.concatenate([np.zeros(0, np.int64), *(part.ravel() for part in parts)])
    row_sizes = np.repeat([sum(pattern) for pattern, _ in patterns], [rows for _, rows in patterns]).astype(
        np.int32
    )
    return Packing(documents, bounds, row_sizes, 1 << int(counts.max(initial=0)).bit_length())


def gather_packed(
    stream: np.ndarray,
    rows: Rows,
    packing: Packing,
    index: np.ndarray,
    width: int,
    *,
    bos: int,
    pad: int,
    eos: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Read packed rows: ``<s> A </s> B </s> <s> A </s> ...``, padded on the right.

    Args:
        stream: all ids of the corpus. Shape: (number of ids,).
        rows: of that corpus: the documents.
        packing: of them.
        index: which packed rows. Shape: (B,).
        width: tokens of the result. T below.
        bos, pad, eos: ids of the special symbols.

    Returns:
        tokens and segments as :func:`gather_rows` gives them, (B, T); lengths, (B,); and the column behind each document of a row, int32,
        ``T`` in spare places, of which there is one at least: so padding is a document too, (B, D).
    """
    counts = packing.bounds[index + 1] - packing.bounds[index]
    last = np.cumsum(counts)
    documents = packing.documents[
        np.arange(last[-1]) + np.repeat(packing.bounds[index] - last + counts, counts)
    ]
    longest = -(-int(rows.sizes[documents].max()) // WIDTHS) * WIDTHS
    tokens, segments, lengths = gather_rows(stream, rows, documents, longest, bos=bos, pad=pad, eos=eos)
    ends = np.cumsum(lengths)  # in the batch, as if it had no padding
    behind_row = ends[last - 1]
    row_lengths = np.diff(behind_row, prepend=0)
    real, filled = columns_before(lengths, tokens.shape[1]), columns_before(row_lengths, width)
    packed_tokens, packed_segments = (
        np.full((len(index), width), pad, np.int32),
        np.zeros((len(index), width), np.int32),
    )
    packed_tokens[filled], packed_segments[filled] = tokens[real], segments[real]
    document_ends = np.full((len(index), packing.columns), width, np.int32)
    within = columns_before(counts, packing.columns)
    document_ends[within] = ends - np.repeat(behind_row - row_lengths, counts)
    return packed_tokens, packed_segments, row_lengths, document_ends
