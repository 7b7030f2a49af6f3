"""Gibbs sampling: mask a token, draw it anew, and so on.

Source: Wang and Cho 2019 (arXiv 1902.04094).
"""

import itertools

import numpy as np
import torch

from fairseq_electra.generation.drawing import Filled, Rows, draw, without_joint_repeats
from fairseq_electra.generation.networks import Networks
from fairseq_electra.generation.settings import Settings
from fairseq_electra.generation.uniforms import Purpose, Uniforms


def sample(networks: Networks, rows: Rows, uniforms: Uniforms, settings: Settings) -> Filled:
    """Complete rows, one token in each step, or as few as finish a text in ``settings.steps`` steps.

    Deviation from the source: a step takes the next token of a random order of all, and each further round
    has an order of its own, so that no token stays masked by chance.

    Args:
        networks: the generator.
        rows: the rows, each with a token to be generated.
        uniforms: random numbers of the rows.
        settings: method ``gibbs``.
    """
    tokens = rows.tokens
    logprobs = torch.zeros_like(tokens, dtype=torch.float64)
    visits = torch.from_numpy(_visits(rows.is_open.cpu().numpy(), uniforms, settings.steps)).to(tokens.device)
    visited = torch.zeros_like(rows.is_open)
    for step in itertools.count():
        where = visited & (tokens == networks.mask)  # would have repeated an n-gram
        if step < settings.steps:
            where = where | visits[step]
        elif not where.any():
            return Filled(tokens, logprobs)
        visited = visited | where
        before = tokens.masked_fill(where, networks.mask)
        drawn = draw(networks, before, where, uniforms.tensor(Purpose.TOKEN, step, tokens), settings)
        logprobs = torch.where(where, drawn.logprobs.double(), logprobs)
        tokens = drawn.tokens
        if settings.no_repeat:
            tokens = without_joint_repeats(before, tokens, -logprobs, settings.no_repeat, networks.mask)
    raise AssertionError("unreachable")


def _visits(is_open: np.ndarray, uniforms: Uniforms, steps: int) -> np.ndarray:
    """Choose the tokens of each step. Shape: (B, T) -> (steps, B, T), bool."""
    visits = np.zeros((steps, *is_open.shape), dtype=bool)
    numbers = is_open.sum(1)
    in_a_step = -(-numbers // steps)
    rounds = int((-(-in_a_step * steps // numbers)).max())
    draws = np.stack([uniforms(Purpose.ORDER, i, is_open.shape[1]) for i in range(rounds)])
    for row, positions in enumerate(map(np.flatnonzero, is_open)):
        order = positions[draws[:, row, positions].argsort(1)].ravel()[: steps * in_a_step[row]]
        visits[np.arange(len(order)) // in_a_step[row], row, order] = True
    return visits
