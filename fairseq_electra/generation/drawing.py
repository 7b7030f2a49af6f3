"""Draw tokens for masked positions of rows, all at once."""

from typing import NamedTuple

import torch
from torch import Tensor

from fairseq_electra.electra.fast.sampling import sample_tokens
from fairseq_electra.errors import InputError
from fairseq_electra.generation.distribution import token_probabilities
from fairseq_electra.generation.networks import Networks
from fairseq_electra.generation.repeats import forbidden, repeated
from fairseq_electra.generation.settings import Settings


class Rows(NamedTuple):
    """Texts to be completed, each between ``<s>`` and ``</s>``, with padding behind."""

    tokens: Tensor  # (B, T), int64: the given tokens, and <mask>
    is_open: Tensor  # (B, T), True where a token is to be generated


class Filled(NamedTuple):
    """Rows with tokens drawn."""

    tokens: Tensor  # (B, T)
    logprobs: Tensor  # (B, T), log-probability of each drawn token when it was drawn, else 0


def draw(networks: Networks, tokens: Tensor, where: Tensor, uniforms: Tensor, settings: Settings) -> Filled:
    """Draw a token for each of some positions, as if the others of them stayed masked.

    Args:
        networks: the generator.
        tokens: ids, ``<mask>`` where tokens are drawn. Shape: (B, T).
        where: True where tokens are drawn. Shape: (B, T).
        uniforms: uniform random numbers in [0, 1). Shape: (B, T).
        settings: temperature, top-k, top-p and no-repeat.

    Returns:
        the rows with the tokens. The log-probabilities are the generator's own, before temperature, top-k,
        top-p and no-repeat.

    Raises:
        InputError: the model's scores are not finite numbers.
    """
    # (B, K), spare ones behind
    positions = where.int().argsort(dim=1, descending=True, stable=True)[:, : int(where.sum(1).max())]
    used = where.gather(1, positions)
    logits = networks.scores(tokens, positions)
    allowed = logits
    if settings.no_repeat:
        allowed = _without_repeats(logits, tokens, positions, used, settings.no_repeat, networks.mask)
    drawn = sample_tokens(token_probabilities(allowed, settings), uniforms.gather(1, positions))
    logprobs = logits.log_softmax(-1).gather(-1, drawn.unsqueeze(-1)).squeeze(-1)
    check_scores(logprobs)
    return Filled(
        tokens.scatter(1, positions, torch.where(used, drawn, tokens.gather(1, positions))),
        torch.zeros_like(tokens, dtype=logits.dtype).scatter(1, positions, logprobs.masked_fill(~used, 0.0)),
    )


def check_scores(scores: Tensor) -> None:
    """Refuse scores that are not finite numbers.

    Raises:
        InputError: as said.
    """
    if not scores.isfinite().all():
        raise InputError(
            "the model's scores are not finite numbers: the run has diverged, or the checkpoint is damaged;"
            " use an earlier one"
        )


def _without_repeats(
    logits: Tensor, tokens: Tensor, positions: Tensor, used: Tensor, size: int, mask: int
) -> Tensor:
    """Give tokens that would repeat an n-gram minus infinity, unless no other token is left."""
    changed = logits.clone()
    rows = zip(tokens.tolist(), positions.tolist(), used.sum(1).tolist(), strict=True)
    for i, (row, places, number) in enumerate(rows):
        for slot, ids in enumerate(forbidden(row, places[:number], size, mask)):
            changed[i, slot, sorted(ids)] = float("-inf")
    return torch.where((changed == float("-inf")).all(-1, keepdim=True), logits, changed)


def without_joint_repeats(before: Tensor, after: Tensor, doubt: Tensor, size: int, mask: int) -> Tensor:
    """Mask those of the tokens drawn at once that repeat an n-gram together with others of them.

    The tokens are put in one after the other, the least doubtful first. The first one always stays, so that
    every step brings a text forward.

    Args:
        before: rows in which the tokens are masked. Shape: (B, T).
        after: rows with the tokens. Shape: (B, T).
        doubt: tokens with less of it come first. Shape: (B, T).
        size: length of the n-grams, n.
        mask: id of ``<mask>``.

    Returns:
        rows. Shape: (B, T).
    """
    rows, new_rows, doubts = before.tolist(), after.tolist(), doubt.tolist()
    for row, new, doubt_of in zip(rows, new_rows, doubts, strict=True):
        drawn = sorted((i for i in range(len(row)) if row[i] != new[i]), key=doubt_of.__getitem__)
        for number, i in enumerate(drawn):
            if not number or not repeated(row, i, new[i], size, mask):
                row[i] = new[i]
    return torch.tensor(rows, device=after.device)
