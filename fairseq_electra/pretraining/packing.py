"""Packing: documents share rows, so that batches hold little padding; ids are copied when a batch is read."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from fairseq_electra.pretraining.rows import RowBatch, RowSpans, read_row
from fairseq_electra.pretraining.wordpiece import PAD_ID


@dataclass(frozen=True)
class Packing:
    """Which documents, rows of :mod:`fairseq_electra.pretraining.rows`, share a packed row.

    Args:
        documents: numbers of the documents, those of one packed row next to each other. Shape: (number of
            documents,), int64.
        bounds: packed row i holds ``documents[bounds[i] : bounds[i + 1]]``. Shape: (number of packed rows +
            1,), int64.
        lengths: tokens of each packed row. Shape: (number of packed rows,), int32.
        document_slots: number of columns for documents' ends in a batch, D: one more than the largest number
            of documents in a packed row, rounded up to a power of two. So similar corpora share one shape,
            and a compiled graph serves them all.
    """

    documents: np.ndarray
    bounds: np.ndarray
    lengths: np.ndarray
    document_slots: int

    def __len__(self) -> int:
        return len(self.lengths)

    def documents_of(self, row: int) -> np.ndarray:
        """Return the numbers of a packed row's documents."""
        return self.documents[self.bounds[row] : self.bounds[row + 1]]


def pack(lengths: np.ndarray, row_length: int, seed: int = 1) -> Packing:
    """Pack documents into few rows by a greedy search.

    Each row takes the longest document left, and then, again and again, the longest one that still fits.
    Documents of one length are interchangeable, so the search runs over lengths, and each pattern that it
    finds is used for as many rows as there are documents for; it takes milliseconds for millions of
    documents. Which documents of a length go together is random.

    Args:
        lengths: tokens of each document, at most ``row_length``. Shape: (number of documents,).
        row_length: tokens of a packed row.
        seed: random seed.

    Source: the "longest-pack-first" histograms of Krell et al. 2021 (arXiv 2107.02027) section 3, in their
        simplest form.
    """
    patterns = _find_patterns(np.bincount(lengths, minlength=row_length + 1), row_length)
    # the documents by length, those of one length in random order; each pattern takes the next ones of its
    # lengths
    by_length = np.lexsort((np.random.default_rng(seed).random(len(lengths)), lengths))
    next_of_length = np.searchsorted(lengths[by_length], np.arange(row_length + 2))
    parts: list[np.ndarray] = []
    for pattern, num_rows in patterns:
        documents = np.empty((num_rows, len(pattern)), np.int64)
        for column, length in enumerate(pattern):
            documents[:, column] = by_length[next_of_length[length] : next_of_length[length] + num_rows]
            next_of_length[length] += num_rows
        parts.append(documents.ravel())
    rows_per_pattern = [num_rows for _, num_rows in patterns]
    counts = np.repeat([len(pattern) for pattern, _ in patterns], rows_per_pattern).astype(np.int64)
    return Packing(
        documents=np.concatenate([np.zeros(0, np.int64), *parts]),
        bounds=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        lengths=np.repeat([sum(pattern) for pattern, _ in patterns], rows_per_pattern).astype(np.int32),
        document_slots=1 << int(counts.max(initial=0)).bit_length(),
    )


def _find_patterns(left: np.ndarray, row_length: int) -> list[tuple[list[int], int]]:
    """Find patterns, which are the lengths of the documents in a row, and the number of rows of each.

    Args:
        left: number of documents of each length; 0 everywhere afterwards. Shape: (row_length + 1,).
        row_length: tokens of a packed row.
    """
    patterns: list[tuple[list[int], int]] = []
    while left.any():
        taken: Counter[int] = Counter()
        free = row_length
        while free and (fitting := np.flatnonzero(left[: free + 1])).size:
            longest = next((int(length) for length in fitting[::-1] if left[length] > taken[int(length)]), 0)
            if not longest:
                break
            taken[longest] += 1
            free -= longest
        num_rows = min(int(left[length]) // times for length, times in taken.items())
        for length, times in taken.items():
            left[length] -= times * num_rows
        patterns.append((list(taken.elements()), num_rows))
    return patterns


def gather_packed(
    ids: np.ndarray, documents: RowSpans, packing: Packing, numbers: np.ndarray, row_length: int
) -> RowBatch:
    """Read packed rows: ``<s> A </s> B </s> <s> A </s> ...``, padded on the right.

    Args:
        ids: all ids of the corpus. Shape: (number of ids,).
        documents: the documents of that corpus.
        packing: which of them share a row.
        numbers: numbers of the packed rows to read. Shape: (B,).
        row_length: length of the padded rows, T.

    Returns:
        the rows, with the end of each document in ``document_ends``, (B, D). Spare slots hold ``T``; there is
        at least one, so padding counts as a document too.
    """
    tokens = np.full((len(numbers), row_length), PAD_ID, np.int32)
    segments = np.zeros((len(numbers), row_length), np.int32)
    lengths = np.zeros(len(numbers), np.int64)
    document_ends = np.full((len(numbers), packing.document_slots), row_length, np.int32)
    for row, number in enumerate(numbers):
        for slot, document in enumerate(packing.documents_of(number)):
            start = lengths[row]
            lengths[row] += read_row(ids, documents, document, tokens[row, start:], segments[row, start:])
            document_ends[row, slot] = lengths[row]
    return RowBatch(tokens, segments, lengths, document_ends)
