"""Which spans to mask: neighbouring tokens, or neighbouring whole words, of a mean length that is given."""

import numpy as np

from fairseq_electra.electra.whole_words import first_columns, join_keys, sizes_of_words, take_words

LAST = np.uint64(2**64 - 1)  # sorts behind all spans


def choose_spans(
    draws: np.ndarray,
    begin_draws: np.ndarray,
    candidate: np.ndarray,
    starts: np.ndarray,
    wanted: np.ndarray,
    mean: float,
) -> np.ndarray:
    """Choose the pieces to mask, in spans of words.

    1. Every word begins a span with one probability, so that lengths are geometric; special symbols end one. Each text is cut up so.
    2. Spans are masked in random order, each from its begin or from its end on, until the budget is used up: the last of them in part. A
       word that does not fit in what is left is passed over, so that long ones are masked more rarely: in rows of 128 of which .15 are
       masked, words of five pieces at .13 and of one at .16. :mod:`fairseq_electra.electra.whole_words` evens this out for single words.

    Of n words that are masked the first begins a span, and so do on average p (n - 1) of the others. With p = (n / mean - 1) / (n - 1)
    there are n / mean spans, counted with the last one as far as it is masked. Spans that adjoin count apart.

    Args:
        draws: random numbers; that of its first piece is the span's. Shape: (B, T), uint32.
        begin_draws: random numbers, whose size decides where spans begin, and whose last bit from which side one is masked. Shape: (B, T),
            uint32.
        candidate: pieces that may be masked. Shape: (B, T), bool.
        starts: pieces that begin a word; all of them, where spans are of pieces. Shape: (B, T), bool.
        wanted: pieces to mask in each row, the budget. Shape: (B,).
        mean: words of a span, above 1.

    Returns:
        True at the pieces to mask, at most ``wanted`` of each row. Shape: (B, T), bool.

    Source: Joshi et al. 2020, arXiv 1907.10529, section 3.1: geometric lengths, whole words. Deviation: no greatest length, and the mean is
    kept, which there the spans that are too long for the budget make smaller.
    """
    column = np.arange(candidate.shape[1])
    candidates = candidate.sum(1)
    budget = np.minimum(wanted, candidates)
    word = first_columns(candidate, starts)
    words = (candidate & (word == column)).sum(1)
    masked_words = budget * words / np.maximum(candidates, 1)
    share = np.clip((masked_words / mean - 1) / np.maximum(masked_words - 1, 1e-9), 0, 1)
    span = first_columns(candidate, starts & (begin_draws < share[:, None] * 2.0**32))
    from_end = (
        np.take_along_axis(begin_draws, span, 1) % 2 == 1
    )  # cut at the end alone, spans would favour the beginning of a text
    draw = np.take_along_axis(draws, span, 1)
    within = np.where(from_end, len(column) - word, word)
    keys = np.where(candidate, join_keys(draw, within.astype(np.uint32)), LAST)
    return take_words(keys, candidate, sizes_of_words(word, candidate), word, budget)
