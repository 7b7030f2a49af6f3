"""Draw tokens from the generator, and corrupt the text with them (Clark et al. 2020, section 2)."""

from typing import NamedTuple

import torch
from torch import Tensor

from fairseq_electra.electra.fast.cross_entropy import probabilities
from fairseq_electra.electra.with_replacement import first_of_duplicates, mean_of_duplicates

BELOW_ONE = 1 - 2**-24  # the largest float32 below 1: rounding must not reach past the last token


@torch.no_grad()
def sample_tokens(probs: Tensor, uniforms: Tensor) -> Tensor:
    """Draw one token for each slot from the generator's softmax.

    The draw inverts the cumulative distribution function. No gradient flows: the generator is trained by
    maximum likelihood alone. The random numbers are an argument, so the samples are the same on every device.
    :func:`fairseq_electra.electra.fast.sampling.sample_tokens` draws the same in less time.

    Args:
        probs: probabilities of the tokens, which need not add up to 1; in float32, since half precision would
            lose the tail. Shape: (..., V).
        uniforms: uniform random numbers in [0, 1). Shape: (...,).

    Returns:
        ids. Shape: (...,), int64.

    Source: google-research/electra pretrain/pretrain_helpers.py::sample_from_softmax. Deviation: the original
    adds Gumbel noise to the scores and takes the maximum, which has the same distribution and needs V random
    numbers a slot.
    """
    cumulative = probs.cumsum(-1)
    threshold = uniforms.to(probs.dtype).clamp(max=BELOW_ONE).unsqueeze(-1) * cumulative[..., -1:]
    drawn = torch.searchsorted(cumulative, threshold, right=True).squeeze(-1)
    return drawn.clamp(max=probs.shape[-1] - 1)  # only matters where probs hold nan


@torch.no_grad()
def sampling_probabilities(logits: Tensor, temperature: float | Tensor, disallow: Tensor | None) -> Tensor:
    """Return the distribution to sample from, where it is not the generator's own.

    Args:
        logits: scores. Shape: (..., V).
        temperature: divides the scores; below 1 likely tokens are drawn more often, above 1 less often. A
            tensor of one number may change without a new graph of ``torch.compile``. Shape: ().
        disallow: the id that is not drawn in each slot (ELECTRA's ``disallow_correct``). Shape: (...,).

    Returns:
        float32. Shape: (..., V).
    """
    scores = logits.float() / temperature
    if disallow is not None:
        scores = scores.scatter(-1, disallow.unsqueeze(-1), float("-inf"))
    return probabilities(scores)


class CorruptedText(NamedTuple):
    """What the discriminator reads, and its labels."""

    tokens: Tensor  # (B, T), int64
    is_replaced: Tensor  # (B, T), True where a token differs from the original


def corrupt(
    src_tokens: Tensor,
    masked_positions: Tensor,
    target: Tensor,
    sampled: Tensor,
    pad: int,
    average_duplicates: bool = False,
) -> CorruptedText:
    """Put the samples at the masked positions, and label the tokens that differ from the original.

    A sample that happens to equal the original token does not count as replaced (Clark et al. 2020, section
    2).

    Args:
        src_tokens: the masked text. Shape: (B, T).
        masked_positions: positions of the masked tokens; 0 in spare slots. Shape: (B, K).
        target: the original tokens, ``pad`` in spare slots. Shape: (B, K).
        sampled: the sampled tokens. Shape: (B, K).
        pad: id of padding.
        average_duplicates: where a position has several slots, write the mean of their ids
            (:func:`~fairseq_electra.electra.with_replacement.mean_of_duplicates`); else the sample of the
            first.
    """
    used, length = target != pad, src_tokens.shape[1]
    if average_duplicates:
        sampled = mean_of_duplicates(sampled, masked_positions, used, length)
    else:
        sampled = first_of_duplicates(sampled, masked_positions, length)
    # a spare slot writes back the token at position 0, which is never masked, so all slots are written
    # without a branch
    written = torch.where(used, sampled.to(src_tokens.dtype), src_tokens.gather(1, masked_positions))
    replaced = used & (sampled != target)
    corrupted = src_tokens.scatter(1, masked_positions, written)
    is_replaced = torch.zeros_like(src_tokens, dtype=torch.bool).scatter(1, masked_positions, replaced)
    return CorruptedText(corrupted, is_replaced)
