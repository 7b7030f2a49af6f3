"""Which whole words to mask: long ones as often as short ones, and together as many pieces as wanted."""

import numpy as np

SAMPLED, SINGLE, OTHER, NONE = range(4)  # in what order words are taken; the last are no candidates


def choose_words(
    draws: np.ndarray, offset: np.ndarray, candidate: np.ndarray, starts: np.ndarray, wanted: np.ndarray
) -> np.ndarray:
    """Choose the pieces to mask, all pieces of a word or none.

    Words in random order, as far as they fit, would leave long words behind: the closer to the budget, the fewer of them fit. So
    words of several pieces are sampled first, each with the same probability, and words of one piece fill up what they leave.

    1. A systematic sample of all words, the longest first, takes a share of wanted / candidates of them, of every length alike.
    2. Its words of several pieces are masked, then words of one piece, then the other words, each group by ``draws``, until the
       budget is used up. A word that does not fit in what is left of it is passed over.
    3. Where no word fits at all, the first is masked in part.

    Args:
        draws: random numbers; that of its first piece is the word's. Shape: (B, T), uint32.
        offset: where the systematic sample of each row begins, uniform in [0, 1). Shape: (B,).
        candidate: pieces that may be masked. Shape: (B, T), bool.
        starts: pieces that begin a word. Shape: (B, T), bool.
        wanted: pieces to mask in each row, the budget. Shape: (B,).

    Returns:
        True at the pieces to mask, at most ``wanted`` of each row. Shape: (B, T), bool.

    Deviation: google-research/electra masks single pieces only; google-research/bert create_pretraining_data.py takes words in random
    order and passes over those that do not fit, so that words of 8 pieces in rows of 128 are masked at 10 % and single ones at 17 %.
    """
    column = np.arange(candidate.shape[1])
    candidates = candidate.sum(1)
    budget = np.minimum(wanted, candidates)
    head = first_columns(candidate, starts)
    size = sizes_of_words(head, candidate)
    draw = np.take_along_axis(draws, head, 1)
    sampled = np.take_along_axis(
        _sample(size, draws, candidate & (head == column), budget / np.maximum(candidates, 1), offset),
        head,
        1,
    )
    group = np.where(~candidate, NONE, np.where(size == 1, SINGLE, np.where(sampled, SAMPLED, OTHER)))
    return take_words(join_keys(group, draw), candidate, size, head, budget)


def take_words(
    keys: np.ndarray, candidate: np.ndarray, size: np.ndarray, head: np.ndarray, budget: np.ndarray
) -> np.ndarray:
    """Take words one after the other, each that fits in what is left of the budget; where none fits at all, the first in part.

    Args:
        keys: words are taken in their order; all pieces of a word have one, and what is no candidate the greatest. Shape: (B, T), uint64.
        candidate: pieces that may be taken. Shape: (B, T), bool.
        size, head: of each piece's word. Shape: (B, T).
        budget: pieces of each row, no more than there are candidates. Shape: (B,).

    Returns:
        True at the pieces that are taken. Shape: (B, T), bool.
    """
    column = np.arange(candidate.shape[1])
    order = np.argsort(keys, axis=1, kind="stable")  # pieces of a word stay together, in their order
    is_candidate, pieces, within = (
        np.take_along_axis(each, order, 1) for each in (candidate, size, column - head)
    )
    taken = _fitting(is_candidate, pieces, within, budget)
    taken |= ~taken.any(1, keepdims=True) & (column < budget[:, None])
    chosen = np.empty_like(taken)
    np.put_along_axis(chosen, order, taken, 1)
    return chosen


def first_columns(candidate: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Column where each piece's word begins; what is no candidate is a word of its own. Shape: (B, T)."""
    begins = starts | ~candidate
    begins[:, 1:] |= ~candidate[:, :-1]
    begins[:, 0] = True
    return np.maximum.accumulate(np.where(begins, np.arange(candidate.shape[1]), 0), axis=1)


def sizes_of_words(head: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """Pieces of each piece's word; 0 for what is no candidate. Shape: (B, T)."""
    flat = head + head.shape[1] * np.arange(len(head))[:, None]
    return np.bincount(flat[candidate], minlength=head.size)[flat]


def _sample(
    size: np.ndarray, draws: np.ndarray, is_head: np.ndarray, share: np.ndarray, offset: np.ndarray
) -> np.ndarray:
    """Take every word with probability ``share``, and of the longest so many, of the next so many, ... that the sum varies little.

    Args:
        size, draws, is_head: of the pieces; only first pieces of words count. Shape: (B, T).
        share, offset: of the rows. Shape: (B,).

    Returns:
        whether a word is taken, at its first piece. Shape: (B, T), bool.
    """
    order = np.argsort(
        join_keys(np.where(is_head, size.shape[1] - size, size.shape[1]), draws), axis=1, kind="stable"
    )
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(size.shape[1])[None], 1)
    share, offset = share[:, None], offset[:, None]
    return np.floor((rank + 1) * share + offset) > np.floor(rank * share + offset)


def join_keys(first: np.ndarray, then: np.ndarray) -> np.ndarray:
    """Keys that sort by the first number, below 2^32, and where it is the same by the second, uint32. Shape kept, uint64."""
    return first.astype(np.uint64) << np.uint64(32) | then


def _fitting(candidate: np.ndarray, size: np.ndarray, within: np.ndarray, budget: np.ndarray) -> np.ndarray:
    """Take words one after the other, each that fits in what is left of the budget.

    Args:
        candidate, size, within: of each piece, in the order of the words: whether it may be taken, pieces of its word, and how many of
            them stand before it. Shape: (B, T).
        budget: pieces of each row. Shape: (B,).

    Returns:
        pieces that are taken. Shape: (B, T), bool.
    """
    taken, rows = candidate.copy(), np.arange(len(candidate))
    while True:
        used = taken.cumsum(1)
        over = taken & (used - within + size - 1 > budget[:, None])
        if not over.any():
            return taken
        left = budget - used[rows, over.argmax(1)] + 1  # before the first word that is too long
        taken &= ~(over & (size > left[:, None]))
