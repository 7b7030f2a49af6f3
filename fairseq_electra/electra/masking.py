"""Masking: which tokens the generator must guess, and what it sees in their place. A whole batch at once, the same for ever."""

from dataclasses import dataclass

import numpy as np

from fairseq_electra.electra.hashing import Stream, bits, fractions, row_keys
from fairseq_electra.electra.spans import choose_spans
from fairseq_electra.electra.whole_words import choose_words
from fairseq_electra.pretraining.rows import columns_before

LAST = np.uint32(2**32 - 1)


@dataclass(frozen=True)
class Masking:
    """How to mask.

    Args:
        mask_prob: share of a row's tokens (special ones counted) to guess.
        leave_unmasked_prob: share of these that the generator sees as they are.
        random_token_prob: share of these that it sees replaced by a random piece; the rest becomes ``<mask>``.
        mask_index: id of ``<mask>``, the last of the vocabulary.
        pad_index: marks the slots without a token in ``target``.
        first_piece: the ids from here up to ``<mask>`` are pieces; the smaller ones are special symbols, but for ``<unk>``.
        word_starts: True for pieces that begin a word; given, whole words are masked, as :mod:`fairseq_electra.electra.whole_words` chooses
            them. Shape: (V,).
        mean_span: above 1, spans of this mean length are masked, in tokens, or where words are given in words, as
            :mod:`fairseq_electra.electra.spans` chooses them.
        seed: of all choices.

    Source: google-research/electra pretrain/pretrain_helpers.py::mask. Deviation: drawn without replacement, so that the share is
    exact (the original's is 13.8 % for a row of 128) and no token counts twice.
    """

    mask_prob: float
    leave_unmasked_prob: float
    random_token_prob: float
    mask_index: int
    pad_index: int
    first_piece: int
    word_starts: np.ndarray | None = None
    mean_span: float = 1.0
    seed: int = 1

    def slots(self, width: int) -> int:
        """K, the slots of a row of ``width`` tokens."""
        return max(1, round(self.mask_prob * width))

    def __call__(
        self, tokens: np.ndarray, lengths: np.ndarray, epoch: int, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Mask a batch.

        Row i uses ``clip(round(mask_prob * length), 1, candidates)`` of the K slots; with whole words or spans at most so many.
        The spare slots come last: position 0, target ``pad_index``.

        Args:
            tokens: the text; written over with what the generator sees. Shape: (B, T), contiguous.
            lengths: tokens of each row. Shape: (B,).
            epoch, rows: what the draws are keyed by. ``rows`` has shape (B,).

        Returns:
            positions of the masked tokens, ascending, int64; the tokens that stood there, int64; uniform numbers in [0, 1) for the
            generator's samples, float64 (so that no half precision rounds them); masked tokens of each row. Shapes: (B, K) thrice, (B,).
        """
        width, num_slots = tokens.shape[1], self.slots(tokens.shape[1])
        # one stream of random words a row for all that is drawn: the order of the tokens, what is shown, the samples, random pieces
        keys = row_keys(Stream.MASKS, self.seed, epoch, rows)
        order = bits(keys, (width + 1) // 2).view(np.uint32)[:, :width]
        drawn = fractions(bits(keys, (3 if self.random_token_prob else 2) * num_slots, first=width))
        # a copy: views of other strides would make compiled graphs anew for batches that are filled up
        draw, sample_uniforms = drawn[:, :num_slots], drawn[:, num_slots : 2 * num_slots].copy()

        candidate = (tokens >= self.first_piece - 1) & (tokens != self.mask_index)
        wanted = np.clip(np.rint(self.mask_prob * lengths).astype(np.int64), 1, num_slots)
        if self.word_starts is None and self.mean_span <= 1:
            positions, num_masked = _smallest(order, candidate, wanted, num_slots)
        else:
            starts = np.ones(tokens.shape, bool) if self.word_starts is None else self.word_starts[tokens]
            if self.mean_span > 1:
                begin_draws = bits(keys, (width + 1) // 2, first=width + 3 * num_slots).view(np.uint32)[:, :width]
                chosen = choose_spans(order, begin_draws, candidate, starts, wanted, self.mean_span)
            else:
                offset = fractions(bits(keys, 1, first=width + 3 * num_slots))[:, 0]
                chosen = choose_words(order, offset, candidate, starts, wanted)
            num_masked = chosen.sum(1)
            positions = np.sort(np.where(chosen, np.arange(width), width), axis=1)[:, :num_slots]
        used = columns_before(num_masked, num_slots)
        positions[~used] = width
        positions.sort(axis=1)
        positions[~used] = 0

        flat = tokens.reshape(-1)
        places = positions + np.arange(0, len(flat), width)[:, None]
        originals = flat.take(places)
        shown = np.where(draw < self.leave_unmasked_prob, originals, self.mask_index)
        if self.random_token_prob:
            piece = self.first_piece + (drawn[:, 2 * num_slots :] * (self.mask_index - self.first_piece)).astype(np.int64)
            random = (draw >= self.leave_unmasked_prob) & (draw < self.leave_unmasked_prob + self.random_token_prob)
            shown = np.where(random, piece, shown)
        flat[places[used]] = shown[used]
        return positions, np.where(used, originals, self.pad_index).astype(np.int64), sample_uniforms, num_masked


def _smallest(order: np.ndarray, candidate: np.ndarray, wanted: np.ndarray, num_slots: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the candidates that come first in ``order``, which is written over.

    Returns their positions in that order, (B, K), and how many of them each row uses, (B,): as many as wanted, if there are.
    """
    # order and position in one word: one partition of values does the work of an argpartition and a gather
    position_bits = np.uint32((1 << (order.shape[1] - 1).bit_length()) - 1)
    order &= ~position_bits
    order |= np.arange(order.shape[1], dtype=np.uint32)
    order |= (candidate.astype(np.int32) - 1).view(np.uint32)  # LAST where there is none, in half the time of a choice
    order.partition(num_slots - 1, axis=1)
    first = np.sort(order[:, :num_slots], axis=1)
    return (first & position_bits).astype(np.int64), np.minimum(wanted, (first != LAST).sum(1))
