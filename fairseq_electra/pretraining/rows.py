"""Rows: which stretches of the binarized text the network sees together.

fairseq keeps a text as one stream of ids, every line closed by ``</s>``, a blank line being a lone ``</s>``. A row is a stretch of
that stream without its ``</s>``, cut into at most two segments. Rows are found for the whole corpus at once and held as a few
numbers each; nothing is copied until a batch is read.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from fairseq_electra.electra.hashing import Stream, bits, fractions, row_keys
from fairseq_electra.electra.masking import columns_before
from fairseq_electra.errors import InputError

SINGLE_SEGMENT_PROB = (
    0.1  # google-research/electra build_pretraining_dataset.py::ExampleBuilder._create_example
)
SHORT_ROW_PROB = 0.05  # the same file, end of _create_example
SHORTEST_ROW = 5
TOKENS_AT_ONCE = 1 << 24  # bounds the memory of the search


@dataclass(frozen=True)
class Rows:
    """Where each row lies. All arrays have the shape (number of rows,)."""

    start: np.ndarray  # int64, offset of the first id in the stream
    length: np.ndarray  # int32, ids of the stream it spans, line ends among them
    first: np.ndarray  # uint16, tokens of the first segment
    second: np.ndarray  # uint16, tokens of the second segment; 0: there is none

    def __len__(self) -> int:
        return len(self.start)

    @property
    def sizes(self) -> np.ndarray:
        """Tokens of each row with its ``<s>`` and ``</s>``. Shape: (number of rows,), int32."""
        return self.first.astype(np.int32) + self.second + 2 + (self.second > 0)


def build_rows(
    line_sizes: np.ndarray,
    tokens_per_sample: int,
    *,
    pairs: bool = True,
    across_documents: bool = False,
    seed: int = 1,
) -> Rows:
    """Cut a corpus into rows of at most ``tokens_per_sample`` tokens.

    Pairs: segment A takes whole lines up to half of the row (with even odds the line that crosses the half as well), segment B
    the text that follows; one row in ten is a single segment and one in twenty has a random shorter length. Blocks: one segment
    each, as long as can be.

    Deviation: the original drops what does not fit in a row and lets a long line be a segment by itself. Here the text left over
    begins the next row, and a line longer than half of a row is cut there, so that no text is lost and paragraphs give pairs too.

    Args:
        line_sizes: ids of each line, its ``</s>`` included; 1 is a blank line. Shape: (number of lines,).
        tokens_per_sample: longest row, with ``<s>`` and ``</s>``.
        pairs: segment pairs; otherwise plain blocks.
        across_documents: let blocks run on over blank lines. Pairs never do.
        seed: of the random choices.

    Source: google-research/electra build_pretraining_dataset.py::ExampleBuilder.
    """
    line_sizes = np.asarray(line_sizes)
    ends = np.cumsum(line_sizes, dtype=np.int64)  # stream offset behind each line
    tokens_until = ends - np.arange(1, len(ends) + 1)  # tokens (without line ends) up to there
    texts = line_sizes > 1
    last_line = last_lines(line_sizes)
    if across_documents and not pairs:
        last_line = last_line[-1:]
    document_ends = tokens_until[last_line]  # in tokens
    document_starts = np.concatenate([[0], document_ends[:-1]]).astype(np.int64)
    line_ends = tokens_until[texts]  # in tokens: where segment A may end
    nothing = np.zeros(0, np.int64)
    parts = [(nothing, nothing, nothing)]
    for part in _parts(document_ends):
        parts.append(
            _cut(
                document_starts[part],
                document_ends[part],
                line_ends,
                tokens_per_sample,
                pairs,
                seed,
                part.start,
            )
        )  # noqa: PERF401
    start, first, second = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    # from tokens to stream offsets: add the line ends that lie before
    begin = start + np.searchsorted(tokens_until, start, side="right")
    end = start + first + second
    end += np.searchsorted(tokens_until, end, side="left")
    return Rows(begin, (end - begin).astype(np.int32), first.astype(np.uint16), second.astype(np.uint16))


def last_lines(line_sizes: np.ndarray) -> np.ndarray:
    """Find each document's last line of text. Shapes: (number of lines,) -> (number of documents,)."""
    texts = np.asarray(line_sizes) > 1
    return np.flatnonzero(texts & np.append(~texts[1:], True))


def _parts(document_ends: np.ndarray) -> list[slice]:
    """Slices of whole documents, of about TOKENS_AT_ONCE tokens each."""
    if not len(document_ends):
        return []
    marks = np.searchsorted(document_ends, np.arange(TOKENS_AT_ONCE, document_ends[-1], TOKENS_AT_ONCE))
    edges = np.unique(np.concatenate([[0], marks, [len(document_ends)]]))
    return [slice(int(a), int(b)) for a, b in itertools.pairwise(edges)]


def _cut(
    starts: np.ndarray,
    ends: np.ndarray,
    line_ends: np.ndarray,
    width: int,
    pairs: bool,
    seed: int,
    first_document: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut documents into rows: (start, tokens of A, tokens of B), in tokens. Row j of a document depends on the seed, it and j alone."""
    lengths = ends - starts
    guess = lengths // max(width - 3, 1) + 1
    while True:
        # enough rows for every document: draw their lengths, then keep those that begin before the document ends
        document = np.repeat(np.arange(len(starts)), guess)
        first_row = np.cumsum(guess) - guess
        row = np.arange(len(document)) - first_row[document]
        draw = fractions(bits(row_keys(Stream.ROWS, seed, first_document + document, row), slots=4))
        if pairs:
            single = draw[:, 0] < SINGLE_SEGMENT_PROB
            short = draw[:, 1] < SHORT_ROW_PROB
            target = np.where(
                short, SHORTEST_ROW + np.floor(draw[:, 2] * (width + 1 - SHORTEST_ROW)), width
            ).astype(np.int64)
        else:
            single = np.ones(len(document), bool)
            target = np.full(len(document), width, np.int64)
        budget = target - np.where(single, 2, 3)
        behind = np.cumsum(budget)
        base = np.concatenate([[0], behind])[first_row]
        begin = behind - budget - base[document]  # tokens of the document before the row
        if ((behind - base[document])[np.cumsum(guess) - 1] >= lengths).all():
            break
        guess = guess + guess // 8 + 1
    keep = begin < lengths[document]
    document, begin, budget, target, single, draw = (
        x[keep] for x in (document, begin, budget, target, single, draw)
    )
    room = np.minimum(budget, lengths[document] - begin)
    begin = begin + starts[document]
    if not pairs:
        return begin, room, np.zeros_like(room)
    half = begin + (target - 3) // 2
    after = np.searchsorted(line_ends, half, side="right")  # the first line end beyond the half
    before_half = line_ends[np.maximum(after - 1, 0)]
    beyond_half = line_ends[np.minimum(after, len(line_ends) - 1)]
    has_before = (before_half > begin) & (after > 0)
    has_beyond = beyond_half < begin + room
    cross = has_beyond & (~has_before | (draw[:, 3] < 0.5))
    split = np.where(cross, beyond_half, np.where(has_before, before_half, half))
    first = np.where(single, room, np.minimum(split - begin, room))
    return begin, first, room - first


def gather_rows(
    stream: np.ndarray, rows: Rows, index: np.ndarray, width: int, *, bos: int, pad: int, eos: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read rows from the stream as ``<s> A </s>`` or ``<s> A </s> B </s>``, padded on the right.

    Args:
        stream: all ids of the corpus. Shape: (number of ids,).
        rows: of that corpus.
        index: which rows. Shape: (B,).
        width: tokens of the result, at least as many as the longest row has. T below.
        bos, pad, eos: ids of the special symbols.

    Returns:
        tokens, int32; segment of each token (0, 1; 0 for padding), int32; and the rows' lengths, int64. Shapes: (B, T), (B, T), (B,).
    """
    first, second = rows.first[index].astype(np.int32), rows.second[index].astype(np.int32)
    has_second = second > 0
    lengths = first + second + 2 + has_second
    ids = stream.take(_ranges(rows.start[index], rows.length[index]))
    ids = ids[ids != eos]
    if len(ids) != int(first.sum() + second.sum()):
        raise InputError(
            f"among the rows {', '.join(map(str, index[:8]))} ... a line does not end with </s>, or holds one inside; make the data again "
            "with fairseq-electra encode --destdir, which takes a </s> in the text for text"
        )
    # ids need no 64 bits, and half of the memory is half of the time
    tokens = np.full((len(index), width), pad, np.int32)
    row = np.arange(len(index))
    inside = columns_before(lengths - 1, width)
    inside[:, 0] = inside[row, first + 1] = False
    tokens[inside] = ids
    tokens[:, 0] = bos
    tokens[row, first + 1] = tokens[row, lengths - 1] = eos
    segments = columns_before(lengths, width) != columns_before(first + 2, width)
    return tokens, segments.astype(np.int32), lengths.astype(np.int64)


def _ranges(starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Concatenate ``arange(start, start + size)`` of all. Shapes: (N,), (N,) -> (sum of sizes,), int64."""
    ends = np.cumsum(sizes, dtype=np.int64)
    return np.arange(ends[-1]) + np.repeat(starts - ends + sizes, sizes)
