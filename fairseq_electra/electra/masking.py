"""Masking: the tokens that the generator must predict, and what it reads there (the paper's section 2)."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fairseq_electra.electra.hashing import Stream, bits, fractions, row_keys
from fairseq_electra.electra.spans import choose_spans
from fairseq_electra.electra.whole_words import choose_words

NO_CANDIDATE = np.uint32(2**32 - 1)  # sorts behind the candidates


class MaskedTokens(NamedTuple):
    """A batch after masking. A row uses the first ``counts`` of its K slots; the spare slots come last."""

    src_tokens: np.ndarray  # (B, T), what the generator sees
    positions: np.ndarray  # (B, K), int64: positions of the masked tokens, ascending; 0 in spare slots
    target: np.ndarray  # (B, K), int64: the original tokens there; padding in spare slots
    # (B, K), float64: uniform random numbers in [0, 1) that the generator is sampled with
    sample_uniforms: np.ndarray
    counts: np.ndarray  # (B,): masked tokens of each row


def choose_tokens(draws: np.ndarray, candidate: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Choose tokens uniformly at random, without replacement.

    Args:
        draws: random numbers. Shape: (B, T), uint32.
        candidate: tokens that may be masked. Shape: (B, T), bool.
        wanted: number of tokens to mask in each row; if there are fewer candidates, all of them. Shape: (B,).

    Returns:
        True at the tokens to mask. Shape: (B, T), bool.
    """
    # candidates first, in random order
    order = np.where(candidate, draws, NO_CANDIDATE).argsort(axis=1, kind="stable")
    chosen = np.zeros(candidate.shape, bool)
    np.put_along_axis(chosen, order, columns_before(wanted, candidate.shape[1]), axis=1)
    return chosen & candidate


@dataclass(frozen=True)
class Masking:
    """The rule of masking; calling it masks a batch.

    Args:
        mask_prob: share of a row's tokens (special ones counted) that are masked.
        leave_unmasked_prob: share of the masked tokens that the generator reads unchanged.
        random_token_prob: share of the masked tokens that it reads replaced by a random one; the rest becomes
            ``<mask>``.
        mask_index: id of ``<mask>``, the last of the vocabulary.
        pad_index: id of padding.
        first_piece: id of the first WordPiece. The ids below are those of the special symbols, ``<unk>``
            last.
        word_starts: True for tokens that start a word; if given, whole words are masked
            (:mod:`fairseq_electra.electra.whole_words`). Shape: (V,).
        mean_span: above 1, spans of this mean length are masked (:mod:`fairseq_electra.electra.spans`), in
            tokens, or with ``word_starts`` in words.
        seed: random seed.

    Source: google-research/electra pretrain/pretrain_helpers.py::mask. Deviation: drawn without replacement,
    so that the share is exact (the original's is 13.8 % for a row of 128) and no token is masked twice.
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

    def slots(self, length: int) -> int:
        """Return K, the number of slots of a row of ``length`` tokens."""
        return max(1, round(self.mask_prob * length))

    def candidates(self, tokens: np.ndarray) -> np.ndarray:
        """Return True at the tokens that may be masked: WordPieces and ``<unk>``. Shape kept."""
        unk_index = self.first_piece - 1
        return (tokens >= unk_index) & (tokens != self.mask_index)

    def __call__(self, tokens: np.ndarray, lengths: np.ndarray, epoch: int, rows: np.ndarray) -> MaskedTokens:
        """Mask a batch.

        In a row of n tokens ``round(mask_prob * n)`` are masked, at least 1; whole words and spans may leave
        fewer.

        Args:
            tokens: the text. Shape: (B, T).
            lengths: length of each row in tokens, without padding. Shape: (B,).
            epoch: number of the epoch; each has its own random numbers.
            rows: number of each row; each has its own random numbers, in whichever batch it is. Shape: (B,).
        """
        length, num_slots = tokens.shape[1], self.slots(tokens.shape[1])
        draws = _Draws(row_keys(Stream.MASKS, self.seed, epoch, rows), length, num_slots)
        wanted = np.clip(np.rint(self.mask_prob * lengths).astype(np.int64), 1, num_slots)
        chosen = self._choose(tokens, wanted, draws)

        counts = chosen.sum(1)
        used = columns_before(counts, num_slots)
        positions = np.sort(np.where(chosen, np.arange(length), length), axis=1)[:, :num_slots]
        positions[~used] = 0
        target = np.where(used, np.take_along_axis(tokens, positions, 1), self.pad_index).astype(np.int64)
        src_tokens = tokens.copy()
        src_tokens[np.nonzero(used)[0], positions[used]] = self._shown(target, draws)[used]
        return MaskedTokens(src_tokens, positions, target, draws.fractions(1), counts)

    def _choose(self, tokens: np.ndarray, wanted: np.ndarray, draws: "_Draws") -> np.ndarray:
        candidate = self.candidates(tokens)
        if self.word_starts is None and self.mean_span <= 1:
            return choose_tokens(draws.of_tokens(), candidate, wanted)
        starts = np.ones(tokens.shape, bool) if self.word_starts is None else self.word_starts[tokens]
        if self.mean_span > 1:
            return choose_spans(
                draws.of_tokens(), draws.of_tokens(again=True), candidate, starts, wanted, self.mean_span
            )
        return choose_words(draws.of_tokens(), draws.of_rows(), candidate, starts, wanted)

    def _shown(self, target: np.ndarray, draws: "_Draws") -> np.ndarray:
        """Draw what the generator reads in place of the masked tokens. Shape kept: (B, K)."""
        draw = draws.fractions(0)
        shown = np.where(draw < self.leave_unmasked_prob, target, self.mask_index)
        if not self.random_token_prob:
            return shown
        random_token = self.first_piece + (draws.fractions(2) * (self.mask_index - self.first_piece)).astype(
            np.int64
        )
        is_random = (draw >= self.leave_unmasked_prob) & (
            draw < self.leave_unmasked_prob + self.random_token_prob
        )
        return np.where(is_random, random_token, shown)


class _Draws:
    """The random numbers of a batch. Each row has a stream of 64-bit words, each word one purpose.

    The first T words give the order of the tokens, 32 bits each; then come K words each for what the
    generator reads, for its samples and for random tokens; then T more words for spans and whole words.
    """

    def __init__(self, keys: np.ndarray, length: int, num_slots: int):
        self.keys, self.length, self.num_slots = keys, length, num_slots

    def of_tokens(self, again: bool = False) -> np.ndarray:
        first = self.length + 3 * self.num_slots if again else 0
        return bits(self.keys, (self.length + 1) // 2, first).view(np.uint32)[:, : self.length]

    def fractions(self, which: int) -> np.ndarray:
        return fractions(bits(self.keys, self.num_slots, self.length + which * self.num_slots))

    def of_rows(self) -> np.ndarray:
        return fractions(bits(self.keys, 1, self.length + 3 * self.num_slots))[:, 0]


def columns_before(ends: np.ndarray, length: int) -> np.ndarray:
    """Return True in the columns before each end. Shapes: (B,) -> (B, T), bool."""
    return np.arange(length) < ends[:, None]
