"""Rows of random tokens and words, and the masking of them."""

import numpy as np

from fairseq_electra.electra.masking import Masking

VOCABULARY, MASK, PAD, EOS, BOS = 1000, 999, 1, 2, 0
STARTS = np.arange(VOCABULARY) < 500  # ids from 500 on continue a word


def masking(**changes):
    plain = {
        "mask_prob": 0.15,
        "leave_unmasked_prob": 0.15,
        "random_token_prob": 0.0,
        "mask_index": MASK,
        "pad_index": PAD,
        "first_piece": 4,
    }
    return Masking(**(plain | changes))


def text(rows, width=128, continues=0.3, seed=0):
    """Rows of words: a piece continues the last word with this probability."""
    rng = np.random.default_rng(seed)
    tokens = np.where(
        rng.random((rows, width)) < continues,
        rng.integers(500, MASK, (rows, width)),
        rng.integers(4, 500, (rows, width)),
    )
    tokens[:, 0], tokens[:, -1], tokens[:, width // 2] = BOS, EOS, EOS
    return tokens, np.full(rows, width), np.arange(rows)


def words_of(tokens):
    """Columns of each word of a row; special symbols part words."""
    words, before = [], None
    for t, token in enumerate(tokens):
        if token > 2:
            if STARTS[token] or before is None or before <= 2:
                words.append([])
            words[-1].append(t)
        before = token
    return words
