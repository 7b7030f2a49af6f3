"""Choose spans to mask: neighbouring tokens, or neighbouring whole words, of a given mean length."""

import numpy as np

from fairseq_electra.electra.whole_words import join_keys, start_of_word, take_words, word_lengths

NO_CANDIDATE = np.uint64(2**64 - 1)  # sorts behind all spans


def choose_spans(
    draws: np.ndarray,
    start_draws: np.ndarray,
    candidate: np.ndarray,
    starts: np.ndarray,
    wanted: np.ndarray,
    mean: float,
) -> np.ndarray:
    """Choose the tokens to mask, in spans of words.

    1. Each row is cut into spans: every word starts a span with the same probability, so that lengths are
       geometric. Special symbols end a span.
    2. The spans are masked in random order, each from its start or from its end on, until the budget is used
       up; the last one may be masked in part. A word that does not fit into the rest of the budget is passed
       over, so long words are masked more rarely: in rows of 128 tokens of which .15 are masked, words of
       five tokens at .13 and words of one at .16. :mod:`fairseq_electra.electra.whole_words` evens this out
       for single words. The first and the last word of a row are masked more often, as they always end a
       span, and the last span is cut from an end: with spans of three tokens at .16, the others at .15.

    Of n masked words the first starts a span, and on average p (n - 1) of the others do. So p = (n / mean -
    1) / (n - 1) gives n / mean spans, the last counted as far as it is masked. Adjoining spans count as two.

    Args:
        draws: random numbers; a span uses that of its first token. Shape: (B, T), uint32.
        start_draws: random numbers: their size decides where spans start, their last bit from which end each
            is masked.
            Shape: (B, T), uint32.
        candidate: True at tokens that may be masked. Shape: (B, T), bool.
        starts: True at tokens that start a word; at all of them for spans of tokens. Shape: (B, T), bool.
        wanted: number of tokens to mask in each row, the budget. Shape: (B,).
        mean: mean length of a span in words, above 1.

    Returns:
        True at the tokens to mask, at most ``wanted`` of each row. Shape: (B, T), bool.

    Source: Joshi et al. 2020 (arXiv 1907.10529), section 3.1: geometric lengths, whole words. Deviation:
    there is no maximal length, and the mean length is kept; in the paper, leaving out spans beyond the budget
    lowers it.
    """
    column = np.arange(candidate.shape[1])
    candidates = candidate.sum(1)
    budget = np.minimum(wanted, candidates)
    word = start_of_word(candidate, starts)
    words = (candidate & (word == column)).sum(1)
    masked_words = budget * words / np.maximum(candidates, 1)
    share = np.clip((masked_words / mean - 1) / np.maximum(masked_words - 1, 1e-9), 0, 1)
    span = start_of_word(candidate, starts & (start_draws < share[:, None] * 2.0**32))
    # cutting at the end alone would favour the start of a text
    from_end = np.take_along_axis(start_draws, span, 1) % 2 == 1
    draw = np.take_along_axis(draws, span, 1)
    within = np.where(from_end, len(column) - word, word)
    keys = np.where(candidate, join_keys(draw, within.astype(np.uint32)), NO_CANDIDATE)
    return take_words(keys, candidate, word_lengths(word, candidate), word, budget)
