"""Rows: the pieces of a corpus that the model reads one by one, each of one or two segments.

fairseq stores a text as one array of ids in which every line ends with ``</s>``; a blank line is a lone
``</s>``. A row covers consecutive ids of that array, without their ``</s>``, cut into at most two segments.
All rows of a corpus are found at once and stored as four numbers each; no ids are copied before a batch is
read. Ranges are half-open here: an end is not part of its range.
"""

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fairseq_electra.electra.hashing import Stream, bits, fractions, row_keys
from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.wordpiece import BOS_ID, EOS_ID, PAD_ID

SINGLE_SEGMENT_PROB = (
    0.1  # google-research/electra build_pretraining_dataset.py::ExampleBuilder._create_example
)
SHORT_ROW_PROB = 0.05  # the same file, end of _create_example
SHORTEST_ROW = 5
# rows are found in parts of the corpus of about this size, which bounds the memory needed
TOKENS_PER_PART = 1 << 24


@dataclass(frozen=True)
class RowSpans:
    """Where each row lies in the ids of a corpus. All arrays have the shape (number of rows,)."""

    start: np.ndarray  # int64, index of the row's first id
    num_ids: np.ndarray  # int32, number of ids that the row covers, </s> of lines included
    first_length: np.ndarray  # uint16, tokens of the first segment
    second_length: np.ndarray  # uint16, tokens of the second segment; 0 for a row of one segment

    def __len__(self) -> int:
        return len(self.start)

    @property
    def lengths(self) -> np.ndarray:
        """Length of each row in tokens, with its ``<s>`` and ``</s>``. Shape: (number of rows,), int32."""
        return self.first_length.astype(np.int32) + self.second_length + 2 + (self.second_length > 0)


class RowBatch(NamedTuple):
    """Rows read from a corpus, padded on the right."""

    tokens: np.ndarray  # (B, T), int32
    segments: np.ndarray  # (B, T), int32: 0 in the first segment and in padding, 1 in the second
    lengths: np.ndarray  # (B,), int64: tokens of each row without padding
    document_ends: np.ndarray | None = (
        None  # (B, D), int32: see packing.gather_packed; None for rows that are not packed
    )


class _Segments(NamedTuple):
    """Rows in tokens of the corpus, without ``</s>`` of lines. All arrays: (number of rows,)."""

    start: np.ndarray
    first_length: np.ndarray
    second_length: np.ndarray


class _DrawnRows(NamedTuple):
    """The random choices for rows, made before the text is cut. All arrays: (number of rows,)."""

    document: np.ndarray  # number of the document
    start: np.ndarray  # tokens of the document before the row
    target: np.ndarray  # length to fill, special tokens included
    budget: np.ndarray  # tokens of text that fit in this length
    is_single: np.ndarray  # whether the row has one segment
    crosses_half: np.ndarray  # whether the line that crosses the half of the row belongs to segment A


def build_rows(
    line_sizes: np.ndarray,
    tokens_per_sample: int,
    *,
    pairs: bool = True,
    across_documents: bool = False,
    seed: int = 1,
) -> RowSpans:
    """Cut a corpus into rows of at most ``tokens_per_sample`` tokens.

    Pairs: segment A takes whole lines up to half of the row (with even odds also the line that crosses the
    half), and segment B takes the text that follows. One row in ten has a single segment, and one in twenty
    has a random shorter length. Blocks: each row is one segment, as long as possible.

    Deviation: the original drops text that does not fit in a row, and a long line becomes a segment by
    itself. Here the text left over starts the next row, and a line longer than half of a row is cut there, so
    no text is lost and paragraphs give pairs too.

    Args:
        line_sizes: number of ids of each line, its ``</s>`` included; 1 is a blank line. Shape: (number of
            lines,).
        tokens_per_sample: largest length of a row, with ``<s>`` and ``</s>``.
        pairs: make segment pairs; otherwise plain blocks.
        across_documents: let blocks continue over blank lines. Pairs never do.
        seed: random seed.

    Source: google-research/electra build_pretraining_dataset.py::ExampleBuilder.
    """
    line_sizes = np.asarray(line_sizes)
    id_ends = np.cumsum(line_sizes, dtype=np.int64)  # end of each line, in ids
    token_ends = id_ends - np.arange(1, len(id_ends) + 1)  # the same in tokens: no line's </s> counted
    last_line = last_lines(line_sizes)
    if across_documents and not pairs:
        last_line = last_line[-1:]
    document_ends = token_ends[last_line]
    document_starts = np.concatenate([[0], document_ends[:-1]]).astype(np.int64)
    line_ends = token_ends[line_sizes > 1]  # where segment A may end
    nothing = np.zeros(0, np.int64)
    parts = [_Segments(nothing, nothing, nothing)]
    for part in _parts(document_ends):
        starts, ends = document_starts[part], document_ends[part]
        drawn = _draw_rows(ends - starts, tokens_per_sample, pairs, seed, part.start)
        parts.append(_cut(drawn, starts, ends, line_ends if pairs else None))
    start, first, second = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    # from tokens to ids: add the </s> of the lines before
    id_start = start + np.searchsorted(token_ends, start, side="right")
    end = start + first + second
    id_end = end + np.searchsorted(token_ends, end, side="left")
    return RowSpans(
        id_start, (id_end - id_start).astype(np.int32), first.astype(np.uint16), second.astype(np.uint16)
    )


def last_lines(line_sizes: np.ndarray) -> np.ndarray:
    """Find each document's last line of text. Shapes: (number of lines,) -> (number of documents,)."""
    has_text = np.asarray(line_sizes) > 1
    return np.flatnonzero(has_text & np.append(~has_text[1:], True))


def _parts(document_ends: np.ndarray) -> list[slice]:
    """Divide the documents into slices of about TOKENS_PER_PART tokens each."""
    if not len(document_ends):
        return []
    marks = np.searchsorted(document_ends, np.arange(TOKENS_PER_PART, document_ends[-1], TOKENS_PER_PART))
    edges = np.unique(np.concatenate([[0], marks, [len(document_ends)]]))
    return [slice(int(start), int(end)) for start, end in itertools.pairwise(edges)]


def _draw_rows(
    document_lengths: np.ndarray, row_length: int, pairs: bool, seed: int, first_document: int
) -> _DrawnRows:
    """Draw each document's rows. Row j depends on nothing but the seed, the document's number and j."""
    rows_per_document = document_lengths // max(row_length - 3, 1) + 1
    while True:
        drawn, is_enough = _draw(document_lengths, rows_per_document, row_length, pairs, seed, first_document)
        if is_enough:
            break
        rows_per_document = rows_per_document + rows_per_document // 8 + 1
    has_text = drawn.start < document_lengths[drawn.document]
    return _DrawnRows(*(array[has_text] for array in drawn))


def _draw(
    document_lengths: np.ndarray,
    rows_per_document: np.ndarray,
    row_length: int,
    pairs: bool,
    seed: int,
    first_document: int,
) -> tuple[_DrawnRows, bool]:
    """Draw so many rows of each document, and tell whether they reach the end of every document."""
    document = np.repeat(np.arange(len(document_lengths)), rows_per_document)
    document_end = np.cumsum(rows_per_document)  # in rows
    document_start = document_end - rows_per_document
    row = np.arange(len(document)) - document_start[document]
    draws = fractions(bits(row_keys(Stream.ROWS, seed, first_document + document, row), slots=4))
    if pairs:
        is_single, is_short = draws[:, 0] < SINGLE_SEGMENT_PROB, draws[:, 1] < SHORT_ROW_PROB
        short_length = SHORTEST_ROW + np.floor(draws[:, 2] * (row_length + 1 - SHORTEST_ROW))
        target = np.where(is_short, short_length, row_length).astype(np.int64)
    else:
        is_single, target = np.ones(len(document), bool), np.full(len(document), row_length, np.int64)
    budget = target - np.where(is_single, 2, 3)
    end = np.cumsum(budget)
    end -= np.concatenate([[0], end])[document_start][document]  # counted from the start of the document
    drawn = _DrawnRows(document, end - budget, target, budget, is_single, draws[:, 3] < 0.5)
    return drawn, bool((end[document_end - 1] >= document_lengths).all())


def _cut(drawn: _DrawnRows, starts: np.ndarray, ends: np.ndarray, line_ends: np.ndarray | None) -> _Segments:
    """Cut documents into the drawn rows.

    Args:
        drawn: the rows.
        starts, ends: start and end of each document, in tokens of the corpus. Shapes: (number of documents,).
        line_ends: ends of all lines of text, in tokens of the corpus; None: every row is a single segment.
    """
    start = drawn.start + starts[drawn.document]
    length = np.minimum(drawn.budget, ends[drawn.document] - start)
    if line_ends is None:
        return _Segments(start, length, np.zeros_like(length))
    half = start + (drawn.target - 3) // 2
    next_line = np.searchsorted(line_ends, half, side="right")  # the first line that ends behind the half
    end_before = line_ends[np.maximum(next_line - 1, 0)]
    end_behind = line_ends[np.minimum(next_line, len(line_ends) - 1)]
    has_end_before = (end_before > start) & (next_line > 0)
    has_end_behind = end_behind < start + length
    takes_line_behind = has_end_behind & (~has_end_before | drawn.crosses_half)
    split = np.where(takes_line_behind, end_behind, np.where(has_end_before, end_before, half))
    first_length = np.where(drawn.is_single, length, np.minimum(split - start, length))
    return _Segments(start, first_length, length - first_length)


def gather_rows(ids: np.ndarray, rows: RowSpans, numbers: np.ndarray, row_length: int) -> RowBatch:
    """Read rows as ``<s> A </s>`` or ``<s> A </s> B </s>``, padded on the right.

    Args:
        ids: all ids of the corpus. Shape: (number of ids,).
        rows: the rows of that corpus.
        numbers: numbers of the rows to read. Shape: (B,).
        row_length: length of the padded rows, T; no row may be longer.

    Raises:
        InputError: the ids of a row are not as many as its lines say.
    """
    tokens = np.full((len(numbers), row_length), PAD_ID, np.int32)
    segments = np.zeros((len(numbers), row_length), np.int32)
    lengths = np.array(
        [read_row(ids, rows, number, *row) for number, *row in zip(numbers, tokens, segments, strict=True)],
        np.int64,
    )
    return RowBatch(tokens, segments, lengths)


def read_row(ids: np.ndarray, rows: RowSpans, number: int, tokens: np.ndarray, segments: np.ndarray) -> int:
    """Write one row, ``<s> A </s>`` or ``<s> A </s> B </s>``, into the first columns of two arrays.

    Args:
        ids, rows: as for :func:`gather_rows`.
        number: number of the row.
        tokens: receives the row. Shape: (T,).
        segments: receives 1 for the second segment; must be 0 before. Shape: (T,).

    Returns:
        the length of the row, in tokens.

    Raises:
        InputError: the ids of the row are not as many as its lines say.
    """
    start = rows.start[number]
    text = ids[start : start + rows.num_ids[number]]
    text = text[text != EOS_ID]
    first, second = int(rows.first_length[number]), int(rows.second_length[number])
    if len(text) != first + second:
        raise InputError(
            f"row {number}: a line does not end with </s>, or holds one inside; make the data again "
            "with fairseq-electra encode --destdir, which takes a </s> in the text for text"
        )
    tokens[0] = BOS_ID
    tokens[1 : first + 1] = text[:first]
    tokens[first + 1] = EOS_ID
    if not second:
        return first + 2
    end = first + 2 + second
    tokens[first + 2 : end] = text[first:]
    tokens[end] = EOS_ID
    segments[first + 2 : end + 1] = 1
    return end + 1
