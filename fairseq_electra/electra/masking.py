"""Masking: which tokens the generator must predict, and what it sees in their place (Clark et al. 2020, section 2)."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fairseq_electra.electra.hashing import Stream, bits, fractions, row_keys
from fairseq_electra.electra.spans import choose_spans
from fairseq_electra.electra.whole_words import choose_words

LAST = np.uint32(2**32 - 1)


class MaskedTokens(NamedTuple):
    """A batch after masking. A row uses the first ``counts`` of its K slots; the spare slots come last."""

    src_tokens: np.ndarray  # (B, T), what the generator sees
    positions: np.ndarray  # (B, K), int64: positions of the masked tokens, ascending; 0 in spare slots
    target: np.ndarray  # (B, K), int64: the original tokens there; padding in spare slots
    sample_uniforms: (
        np.ndarray
    )  # (B, K), float64: uniform random numbers in [0, 1) that the generator is sampled with
    counts: np.ndarray  # (B,): masked tokens of each row


def choose_tokens(draws: np.ndarray, candidate: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Choose tokens uniformly at random, without replacement.

    Args:
        draws: random numbers. Shape: (B, T), uint32.
        candidate: tokens that may be masked. Shape: (B, T), bool.
        wanted: how many to mask in each row; if there are fewer candidates, all of them. Shape: (B,).

    Returns:
        True at the tokens to mask. Shape: (B, T), bool.
    """
    order = np.where(candidate, draws, LAST).argsort(
        axis=1, kind="stable"
    )  # at random, with what may not be masked at the end
    chosen = np.zeros(candidate.shape, bool)
    np.put_along_axis(chosen, order, columns_before(wanted, candidate.shape[1]), axis=1)
    return chosen & candidate


@dataclass(frozen=True)
class Masking:
    """How to mask.

    Args:
        mask_prob: share of a row's tokens (special ones counted) that are masked.
        leave_unmasked_prob: share of the masked tokens that the generator sees as they are.
        random_token_prob: share of the masked tokens that it sees replaced by a random one; the rest becomes ``<mask>``.
        mask_index: id of ``<mask>``, the last of the vocabulary.
        pad_index: id of padding.
        first_piece: ids from here up to ``<mask>`` are pieces of text; of the smaller ids only ``<unk>``, the last, may be masked.
        word_starts: True for tokens that begin a word; given, whole words are masked (:mod:`fairseq_electra.electra.whole_words`).
            Shape: (V,).
        mean_span: above 1, spans of this mean length are masked (:mod:`fairseq_electra.electra.spans`), in tokens, or with
            ``word_starts`` in words.
        seed: random seed.

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
        """Return K, the slots of a row of ``width`` tokens."""
        return max(1, round(self.mask_prob * width))

    def __call__(self, tokens: np.ndarray, lengths: np.ndarray, epoch: int, rows: np.ndarray) -> MaskedTokens:
        """Mask a batch. A row of n tokens has ``round(mask_prob * n)`` masked, at least 1; whole words and spans at most so many.

        Args:
            tokens: the text. Shape: (B, T).
            lengths: tokens of each row, padding left out. Shape: (B,).
            epoch: epoch, which the random numbers depend on.
            rows: numbers of the rows, which they depend on as well; so a row is masked alike in any batch. Shape: (B,).
        """
        width, num_slots = tokens.shape[1], self.slots(tokens.shape[1])
        draws = _Draws(row_keys(Stream.MASKS, self.seed, epoch, rows), width, num_slots)
        candidate = (tokens >= self.first_piece - 1) & (tokens != self.mask_index)
        wanted = np.clip(np.rint(self.mask_prob * lengths).astype(np.int64), 1, num_slots)
        chosen = self._choose(tokens, candidate, wanted, draws)

        counts = chosen.sum(1)
        used = columns_before(counts, num_slots)
        positions = np.sort(np.where(chosen, np.arange(width), width), axis=1)[:, :num_slots]
        positions[~used] = 0
        target = np.where(used, np.take_along_axis(tokens, positions, 1), self.pad_index).astype(np.int64)
        src_tokens = tokens.copy()
        src_tokens[np.nonzero(used)[0], positions[used]] = self._shown(target, draws)[used]
        return MaskedTokens(src_tokens, positions, target, draws.fractions(1), counts)

    def _choose(
        self, tokens: np.ndarray, candidate: np.ndarray, wanted: np.ndarray, draws: "_Draws"
    ) -> np.ndarray:
        if self.word_starts is None and self.mean_span <= 1:
            return choose_tokens(draws.of_tokens(), candidate, wanted)
        starts = np.ones(tokens.shape, bool) if self.word_starts is None else self.word_starts[tokens]
        if self.mean_span > 1:
            return choose_spans(
                draws.of_tokens(), draws.of_tokens(again=True), candidate, starts, wanted, self.mean_span
            )
        return choose_words(draws.of_tokens(), draws.of_rows(), candidate, starts, wanted)

    def _shown(self, target: np.ndarray, draws: "_Draws") -> np.ndarray:
        """Draw what the generator sees instead of the masked tokens. Shape kept: (B, K)."""
        draw = draws.fractions(0)
        shown = np.where(draw < self.leave_unmasked_prob, target, self.mask_index)
        if not self.random_token_prob:
            return shown
        piece = self.first_piece + (draws.fractions(2) * (self.mask_index - self.first_piece)).astype(
            np.int64
        )
        is_random = (draw >= self.leave_unmasked_prob) & (
            draw < self.leave_unmasked_prob + self.random_token_prob
        )
        return np.where(is_random, piece, shown)


class _Draws:
    """The random numbers of a batch: a stream of words for each row, each for one purpose.

    Words 0 to T: the order of tokens, 32 bits each; then K words each for what is shown, for the generator's samples and for random
    tokens; then T more for spans and whole words.
    """

    def __init__(self, keys: np.ndarray, width: int, num_slots: int):
        self.keys, self.width, self.num_slots = keys, width, num_slots

    def of_tokens(self, again: bool = False) -> np.ndarray:
        first = self.width + 3 * self.num_slots if again else 0
        return bits(self.keys, (self.width + 1) // 2, first).view(np.uint32)[:, : self.width]

    def fractions(self, which: int) -> np.ndarray:
        return fractions(bits(self.keys, self.num_slots, self.width + which * self.num_slots))

    def of_rows(self) -> np.ndarray:
        return fractions(bits(self.keys, 1, self.width + 3 * self.num_slots))[:, 0]


def columns_before(ends: np.ndarray, width: int) -> np.ndarray:
    """True in the columns before each end. Shapes: (B,) -> (B, T), bool."""
    return np.arange(width) < ends[:, None]
