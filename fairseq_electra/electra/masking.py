"""Masking: the tokens that the generator must predict, and what it reads there (the paper's section 2)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fairseq_electra.electra.hashing import Stream, bits, fractions, row_keys
from fairseq_electra.electra.spans import choose_spans
from fairseq_electra.electra.whole_words import choose_words
from fairseq_electra.electra.with_replacement import WITH_REPLACEMENT, draw_positions

NO_CANDIDATE = np.uint32(2**32 - 1)  # sorts behind the candidates


class MaskedTokens(NamedTuple):
    """A batch after masking. A row uses the first ``counts`` of its K slots; the spare slots come last."""

    src_tokens: np.ndarray  # (B, T), what the generator sees
    # (B, K), int64: positions of the masked tokens, ascending; 0 in spare slots. Drawn with replacement, a
    # position may have several slots
    positions: np.ndarray
    target: np.ndarray  # (B, K), int64: the original tokens there; padding in spare slots
    # (B, K), float64: uniform random numbers in [0, 1) that the generator is sampled with
    sample_uniforms: np.ndarray
    counts: np.ndarray  # (B,): slots that each row uses


def wanted_tokens(rate: float, lengths: np.ndarray, num_slots: int) -> np.ndarray:
    """Return the number of tokens to mask in each row: at least 1, at most ``num_slots``. Shape: (B,)."""
    return np.clip(np.rint(rate * lengths).astype(np.int64), 1, num_slots)


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


class Draws:
    """The random numbers of a batch: a stream of 64-bit words for each row, with a place for each purpose.

    The first T words are for the order of tokens, 32 bits each, or the first K of them for positions that are
    drawn with replacement. K words each follow for what is shown, for the generator's samples and for random
    tokens. Behind them is what a masker draws beside the order of
    tokens: :meth:`of_rows` or ``of_tokens(again=True)``. These two share their words, so a masker
    uses one of them.

    Args:
        keys: one key for each row (:func:`fairseq_electra.electra.hashing.row_keys`). Shape: (B,).
        width: tokens of a row, T.
        num_slots: masked tokens of a row at most, K.
    """

    def __init__(self, keys: np.ndarray, width: int, num_slots: int):
        self.keys, self.width, self.num_slots = keys, width, num_slots

    def of_tokens(self, again: bool = False) -> np.ndarray:
        """Draw a number for each token; ``again`` gives other ones. Shape: (B, T), uint32."""
        first = self.width + 3 * self.num_slots if again else 0
        return bits(self.keys, (self.width + 1) // 2, first).view(np.uint32)[:, : self.width]

    def of_positions(self) -> np.ndarray:
        """Draw a uniform number in [0, 1) for each slot, to choose its position. Shape: (B, K)."""
        return fractions(bits(self.keys, self.num_slots))

    def of_rows(self) -> np.ndarray:
        """Draw a uniform number in [0, 1) for each row. Shape: (B,)."""
        return fractions(bits(self.keys, 1, self.width + 3 * self.num_slots))[:, 0]

    def of_slots(self, purpose: int) -> np.ndarray:
        """Draw a uniform number in [0, 1) for each slot. Shape: (B, K).

        ``purpose`` is 0 for what is shown, 1 for samples, 2 for random tokens.
        """
        return fractions(bits(self.keys, self.num_slots, self.width + purpose * self.num_slots))


class Candidates(NamedTuple):
    """What a masker chooses from."""

    tokens: np.ndarray  # (B, T)
    may_be_masked: np.ndarray  # (B, T), bool: tokens of the text
    starts: np.ndarray  # (B, T), bool: tokens that begin a word; all of them, unless words are known
    wanted: np.ndarray  # (B,): how many to mask
    mean_span: float  # of maskers that choose spans
    draws: Draws


# a masker returns True at the tokens to mask, at most ``wanted`` of each row; --masker names it
MASKERS: dict[str, Callable[[Candidates], np.ndarray]] = {
    "tokens": lambda c: choose_tokens(c.draws.of_tokens(), c.may_be_masked, c.wanted),
    "words": lambda c: choose_words(
        c.draws.of_tokens(), c.draws.of_rows(), c.may_be_masked, c.starts, c.wanted
    ),
    "spans": lambda c: choose_spans(
        c.draws.of_tokens(), c.draws.of_tokens(again=True), c.may_be_masked, c.starts, c.wanted, c.mean_span
    ),
}


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
        masker: a key of :data:`MASKERS`, or ``with_replacement``
            (:mod:`fairseq_electra.electra.with_replacement`); empty: ``spans``, ``words`` or ``tokens``, as
            ``mean_span`` and ``word_starts`` ask for.
        seed: random seed.
        draw_rates: in each row of n candidates, mask m of them, m being drawn from 1 to n; ``mask_prob`` is 1
            then, so that a row has a slot for each token.

    Source: google-research/electra pretrain/pretrain_helpers.py::mask. Deviation: unless ``masker`` says
    otherwise, drawn without replacement, so that the share is exact (the original's is 13.8 % for a row of
    128) and no token is masked twice.
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
    masker: str = ""
    draw_rates: bool = False

    def slots(self, length: int) -> int:
        """Return K, the number of slots of a row of ``length`` tokens."""
        return max(1, round(self.mask_prob * length))

    def candidates(self, tokens: np.ndarray) -> np.ndarray:
        """Return True at the tokens that may be masked: WordPieces and ``<unk>``. Shape kept."""
        unk_index = self.first_piece - 1
        return (tokens >= unk_index) & (tokens != self.mask_index)

    def __call__(self, tokens: np.ndarray, lengths: np.ndarray, epoch: int, rows: np.ndarray) -> MaskedTokens:
        """Mask a batch.

        In a row of n tokens ``round(mask_prob * n)`` are masked, at least 1, or with ``draw_rates`` a number
        drawn for the row; whole words and spans may leave fewer.

        Args:
            tokens: the text. Shape: (B, T).
            lengths: length of each row in tokens, without padding. Shape: (B,).
            epoch: number of the epoch; each has its own random numbers.
            rows: number of each row; each has its own random numbers, in whichever batch it is. Shape: (B,).
        """
        length, num_slots = tokens.shape[1], self.slots(tokens.shape[1])
        draws = self.draws(epoch, rows, length)
        starts = np.ones(tokens.shape, bool) if self.word_starts is None else self.word_starts[tokens]
        may_be_masked = self.candidates(tokens)
        wanted = (
            self._drawn_numbers(may_be_masked.sum(1), epoch, rows)
            if self.draw_rates
            else wanted_tokens(self.mask_prob, lengths, num_slots)
        )
        positions = self._positions(Candidates(tokens, may_be_masked, starts, wanted, self.mean_span, draws))

        used = positions < length
        positions[~used] = 0
        target = np.where(used, np.take_along_axis(tokens, positions, 1), self.pad_index).astype(np.int64)
        shown, src_tokens = self._shown(target, draws), tokens.copy()
        # of a token that is drawn twice, one draw is enough to hide it, as in the original
        changed = used & (shown != target)
        src_tokens[np.nonzero(changed)[0], positions[changed]] = shown[changed]
        return MaskedTokens(src_tokens, positions, target, draws.of_slots(1), used.sum(1))

    def _positions(self, candidates: Candidates) -> np.ndarray:
        """Choose the positions to mask, ascending, and T in spare slots. Shape: (B, K), int64."""
        draws, length = candidates.draws, candidates.tokens.shape[1]
        if self.masker == WITH_REPLACEMENT:
            return draw_positions(draws.of_positions(), candidates.may_be_masked, candidates.wanted)
        default = "spans" if self.mean_span > 1 else "tokens" if self.word_starts is None else "words"
        chosen = MASKERS[self.masker or default](candidates)
        return np.sort(np.where(chosen, np.arange(length), length), axis=1)[:, : draws.num_slots]

    def draws(self, epoch: int, rows: np.ndarray, length: int) -> Draws:
        """Return the random numbers of rows of ``length`` tokens; arguments as :meth:`__call__`."""
        return Draws(row_keys(Stream.MASKS, self.seed, epoch, rows), length, self.slots(length))

    def _drawn_numbers(self, candidates: np.ndarray, epoch: int, rows: np.ndarray) -> np.ndarray:
        """Draw the number of tokens to mask, uniform from 1 to the number of candidates. Shape kept: (B,)."""
        draw = fractions(bits(row_keys(Stream.RATES, self.seed, epoch, rows), 1))[:, 0]
        return np.minimum(candidates, 1 + (draw * candidates).astype(np.int64))

    def _shown(self, target: np.ndarray, draws: Draws) -> np.ndarray:
        """Draw what the generator reads in place of the masked tokens. Shape kept: (B, K)."""
        draw = draws.of_slots(0)
        shown = np.where(draw < self.leave_unmasked_prob, target, self.mask_index)
        if not self.random_token_prob:
            return shown
        last = self.leave_unmasked_prob + self.random_token_prob
        random_token = self.first_piece + (draws.of_slots(2) * (self.mask_index - self.first_piece)).astype(
            np.int64
        )
        is_random = (draw >= self.leave_unmasked_prob) & (draw < last)
        return np.where(is_random, random_token, shown)


def columns_before(ends: np.ndarray, length: int) -> np.ndarray:
    """Return True in the columns before each end. Shapes: (B,) -> (B, T), bool."""
    return np.arange(length) < ends[:, None]
