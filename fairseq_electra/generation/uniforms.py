"""The random numbers of text generation: the same for a text, whatever the batch it is generated in."""

from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from fairseq_electra.electra.hashing import Stream, bits, fractions, row_keys

MAX_LENGTH = 1 << 16  # positions of a row


class Purpose(IntEnum):
    """What a random number decides. Numbers of different purposes are independent."""

    TOKEN = 0
    ORDER = 1
    LENGTH = 2


class Uniforms:
    """Uniform random numbers that depend on the seed, the text, the candidate, the step and the position.

    Args:
        seed: random seed.
        texts: number of each row's text among all that are asked for. Shape: (B,).
        candidates: number of each row among the candidates for its text. Shape: (B,).
    """

    def __init__(self, seed: int, texts: np.ndarray, candidates: np.ndarray):
        self._keys = row_keys(Stream.GENERATION, seed, candidates, texts)

    def __call__(self, purpose: Purpose, step: int, length: int) -> np.ndarray:
        """Return the numbers of a step, one for each position, in [0, 1). Shape: (B, length), float64."""
        return fractions(bits(self._keys, length, (step * len(Purpose) + purpose) * MAX_LENGTH))

    def tensor(self, purpose: Purpose, step: int, like: Tensor) -> Tensor:
        """Return the numbers of a step on the device of rows ``like``. Shape: (B, T), float64."""
        return torch.from_numpy(self(purpose, step, like.shape[1])).to(like.device)


def drawn_length(seed: int, text: int, shortest: int, longest: int) -> int:
    """Draw the number of tokens of a text, from ``shortest`` to ``longest``, each as likely."""
    uniforms = Uniforms(seed, np.array([text]), np.array([0]))
    return shortest + int(uniforms(Purpose.LENGTH, 0, 1)[0, 0] * (longest - shortest + 1))
