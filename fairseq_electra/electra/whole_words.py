"""Choose whole words to mask: long ones as often as short ones, and together as many tokens as wanted."""

import numpy as np

# the order in which words are taken; the last are tokens that may not be masked
SAMPLED, SINGLE, OTHER, NO_CANDIDATE = range(4)


def choose_words(
    draws: np.ndarray, offset: np.ndarray, candidate: np.ndarray, starts: np.ndarray, wanted: np.ndarray
) -> np.ndarray:
    """Choose the tokens to mask: all tokens of a word, or none.

    Taking words in random order, as far as they fit, would mask long words too rarely: the closer to the
    budget, the fewer of them fit. So words of several tokens are sampled first, each with the same
    probability, and words of one token fill the rest of the budget.

    1. A systematic sample of all words, the longest first, takes a share of wanted / candidates of the words
       of every length.
    2. Its words of several tokens are masked, then words of one token, then the other words, each group in
       the order of ``draws``, until the budget is used up. A word that does not fit into the rest of the
       budget is passed over.
    3. Where no word fits at all, the first is masked in part.

    Args:
        draws: random numbers; a word uses that of its first token. Shape: (B, T), uint32.
        offset: start of the systematic sample of each row, uniform in [0, 1). Shape: (B,).
        candidate: True at tokens that may be masked. Shape: (B, T), bool.
        starts: True at tokens that start a word. Shape: (B, T), bool.
        wanted: number of tokens to mask in each row, the budget. Shape: (B,).

    Returns:
        True at the tokens to mask, at most ``wanted`` of each row. Shape: (B, T), bool.

    Deviation: google-research/electra masks single tokens only. google-research/bert
    create_pretraining_data.py takes words in random order and passes over those that do not fit, so that in
    rows of 128 tokens words of 8 tokens are masked at 10 % and words of one at 17 %.
    """
    candidates = candidate.sum(1)
    budget = np.minimum(wanted, candidates)
    word = start_of_word(candidate, starts)
    length = word_lengths(word, candidate)
    is_first = candidate & (word == np.arange(candidate.shape[1]))
    sampled = _sample(length, draws, is_first, budget / np.maximum(candidates, 1), offset)
    group = np.select(
        [~candidate, length == 1, np.take_along_axis(sampled, word, 1)],
        [NO_CANDIDATE, SINGLE, SAMPLED],
        OTHER,
    )
    return take_words(join_keys(group, np.take_along_axis(draws, word, 1)), candidate, length, word, budget)


def take_words(
    keys: np.ndarray, candidate: np.ndarray, length: np.ndarray, word: np.ndarray, budget: np.ndarray
) -> np.ndarray:
    """Take each word in turn that fits into the rest of the budget; if none fits, the first in part.

    Args:
        keys: keys that order the words: the same for all tokens of a word, the greatest for tokens that may
            not be taken.
            Shape: (B, T), uint64.
        candidate: True at tokens that may be taken. Shape: (B, T), bool.
        length: length of each token's word in tokens. Shape: (B, T).
        word: position where each token's word starts. Shape: (B, T).
        budget: number of tokens to take in each row, at most the number of candidates. Shape: (B,).

    Returns:
        True at the tokens that are taken. Shape: (B, T), bool.
    """
    column = np.arange(candidate.shape[1])
    order = np.argsort(keys, axis=1, kind="stable")  # tokens of a word stay together, in their order
    is_candidate, lengths, within = (
        np.take_along_axis(each, order, 1) for each in (candidate, length, column - word)
    )
    taken = _fitting(is_candidate, lengths, within, budget)
    taken |= ~taken.any(1, keepdims=True) & (column < budget[:, None])
    chosen = np.empty_like(taken)
    np.put_along_axis(chosen, order, taken, 1)
    return chosen


def start_of_word(candidate: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the start of each token's word; what may not be masked is its own word. Shape: (B, T)."""
    is_start = starts | ~candidate
    is_start[:, 1:] |= ~candidate[:, :-1]
    is_start[:, 0] = True
    return np.maximum.accumulate(np.where(is_start, np.arange(candidate.shape[1]), 0), axis=1)


def word_lengths(word: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """Return the length of each token's word; 0 where the token may not be masked. Shape: (B, T)."""
    flat = word + word.shape[1] * np.arange(len(word))[:, None]
    return np.bincount(flat[candidate], minlength=word.size)[flat]


def _sample(
    length: np.ndarray, draws: np.ndarray, is_first: np.ndarray, share: np.ndarray, offset: np.ndarray
) -> np.ndarray:
    """Draw a systematic sample of the words, the longest first: its number of tokens varies little.

    Every word is taken with probability ``share``.

    Args:
        length, draws: as :func:`choose_words` has them; only those of first tokens of words count. Shape: (B,
            T).
        is_first: True at first tokens of words. Shape: (B, T), bool.
        share, offset: of each row. Shape: (B,).

    Returns:
        at the first token of each word, whether the word is taken. Shape: (B, T), bool.
    """
    num_columns = length.shape[1]
    keys = join_keys(np.where(is_first, num_columns - length, num_columns), draws)
    order = np.argsort(keys, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(num_columns)[None], 1)
    share, offset = share[:, None], offset[:, None]
    return np.floor((rank + 1) * share + offset) > np.floor(rank * share + offset)


def join_keys(first: np.ndarray, then: np.ndarray) -> np.ndarray:
    """Return keys that sort by two numbers below 2^32, the first counting more. Shape kept, uint64."""
    return first.astype(np.uint64) << np.uint64(32) | then


def _fitting(candidate: np.ndarray, length: np.ndarray, within: np.ndarray, budget: np.ndarray) -> np.ndarray:
    """Take words one after the other, each that fits into the rest of the budget.

    Args:
        candidate: True at tokens that may be taken. All arguments are in the order of the words. Shape: (B,
            T).
        length: length of each token's word in tokens. Shape: (B, T).
        within: position of each token within its word. Shape: (B, T).
        budget: number of tokens to take in each row. Shape: (B,).

    Returns:
        True at the tokens that are taken. Shape: (B, T), bool.
    """
    taken, rows = candidate.copy(), np.arange(len(candidate))
    while True:
        used = taken.cumsum(1)
        over = taken & (used - within + length - 1 > budget[:, None])
        if not over.any():
            return taken
        left = budget - used[rows, over.argmax(1)] + 1  # before the first word that is too long
        taken &= ~(over & (length > left[:, None]))
