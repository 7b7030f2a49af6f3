"""Masked positions that are drawn with replacement, as google-research/electra draws them.

A position that is drawn twice has two slots: its token counts twice in the generator's loss, and the
generator is sampled twice there. The text has room for one of the samples.
"""

import numpy as np
import torch
from torch import Tensor

WITH_REPLACEMENT = "with_replacement"  # the name of the masker, for --masker


def draw_positions(uniforms: np.ndarray, candidate: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Draw positions uniformly at random from the candidates of each row, with replacement.

    Args:
        uniforms: uniform random numbers in [0, 1), one for each draw. Shape: (B, K).
        candidate: tokens that may be masked. Shape: (B, T), bool.
        wanted: number of draws of each row, at most K; a row without candidates has none. Shape: (B,).

    Returns:
        the positions drawn, ascending; behind them T, in the slots that are left. Shape: (B, K), int64.

    Source: google-research/electra pretrain/pretrain_helpers.py::mask.
    """
    length, num_candidates = candidate.shape[1], candidate.sum(1)
    candidates_first = np.argsort(~candidate, axis=1, kind="stable")
    drawn = np.take_along_axis(candidates_first, (uniforms * num_candidates[:, None]).astype(np.int64), 1)
    is_draw = np.arange(uniforms.shape[1]) < np.where(num_candidates > 0, wanted, 0)[:, None]
    return np.sort(np.where(is_draw, drawn, length), axis=1)


def first_of_duplicates(values: Tensor, positions: Tensor, length: int) -> Tensor:
    """Give the slots of a position the value of the first of them.

    All slots of a position then write the same value, so that the result of writing them does not depend on
    their order, which is undefined on a GPU.

    Args:
        values: a value for each slot. Shape: (B, K).
        positions: position of each slot. Shape: (B, K), int64.
        length: tokens of a row, T.

    Returns:
        Shape: (B, K).
    """
    slots = torch.arange(positions.shape[1], device=positions.device).expand_as(positions)
    none = positions.new_full((len(positions), length), positions.shape[1])
    first = none.scatter_reduce(1, positions, slots, "amin")  # (B, T), the first slot of each position
    return values.gather(1, first.gather(1, positions))


def mean_of_duplicates(ids: Tensor, positions: Tensor, used: Tensor, length: int) -> Tensor:
    """Give the slots of a position the mean of their ids, rounded down: the token that has this id.

    It is a token unlike both samples. Whole numbers are added, so the order of the slots does not matter.

    Args:
        ids: the sampled tokens. Shape: (B, K), int64.
        positions: position of each slot. Shape: (B, K), int64.
        used: False in spare slots. Shape: (B, K), bool.
        length: tokens of a row, T.

    Returns:
        Shape: (B, K), int64; in spare slots 0.

    Source: google-research/electra pretrain/pretrain_helpers.py::scatter_update. Deviation: the ids are those
    of this package's vocabularies, which have the special symbols first and ``<mask>`` last. Between two
    pieces lie pieces alone; in BERT's vocabulary an unused or special token may lie there.
    """
    none = positions.new_zeros((len(positions), length))
    total = none.scatter_add(1, positions, ids.masked_fill(~used, 0))
    count = none.scatter_add(1, positions, used.to(none.dtype))
    return total.gather(1, positions) // count.gather(1, positions).clamp(min=1)
