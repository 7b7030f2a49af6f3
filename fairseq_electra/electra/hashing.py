"""Random numbers without a generator: a hash of their purpose.

A random number depends on (stream, seed, epoch, row, slot) only, not on the worker, the rank, the batch or
the numbers drawn before. So masks are the same under any number of workers and ranks, and a resumed run draws
the same.
"""

import functools
from enum import IntEnum

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Stream(IntEnum):
    """The purpose of random numbers. Different streams are independent."""

    ROWS = 1
    MASKS = 2
    FIXED = 3
    RATES = 4
    GENERATION = 5


def mix(x: np.ndarray) -> np.ndarray:
    """Scramble 64-bit words, in place. Shape and dtype kept (uint64).

    Source: the output function of SplitMix64 (Steele, Lea and Flood 2014, section 5; constants of variant 13
    by D. Stafford).
    """
    shifted = x >> np.uint64(30)
    x ^= shifted
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= np.right_shift(x, np.uint64(27), out=shifted)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= np.right_shift(x, np.uint64(31), out=shifted)
    return x


def row_keys(stream: Stream, seed: int, epoch: np.ndarray | int, row: np.ndarray) -> np.ndarray:
    """Return a key for each row, from which all its random numbers are made. Shape: (B,), uint64."""
    key = _epoch_key(stream, seed, epoch) if isinstance(epoch, int) else _epoch_keys(stream, seed, epoch)
    return mix((key + GOLDEN) ^ np.asarray(row).astype(np.uint64))


def _epoch_keys(stream: Stream, seed: int, epoch: np.ndarray | int) -> np.ndarray:
    key = mix(np.array([(seed * 16 + stream) & (2**64 - 1)], np.uint64))
    return mix((key + GOLDEN) ^ np.asarray(epoch).astype(np.uint64))


_epoch_key = functools.lru_cache(maxsize=16)(_epoch_keys)  # all batches of an epoch ask for the same key


def bits(keys: np.ndarray, slots: int, first: int = 0) -> np.ndarray:
    """Return random 64-bit words: SplitMix64 started at each row's key, from word number ``first`` on.

    Shape: (B,) -> (B, slots), uint64.
    """
    return mix(keys[:, None] + np.arange(first + 1, first + slots + 1, dtype=np.uint64) * GOLDEN)


def fractions(words: np.ndarray) -> np.ndarray:
    """Turn random words into uniform numbers in [0, 1) with 53 random bits. Shape kept, float64."""
    return (words >> np.uint64(11)) * 2.0**-53
