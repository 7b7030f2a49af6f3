"""Draw tokens from the generator, and corrupt the text with them (Clark et al. 2020, section 2)."""

import torch
from torch import Tensor

from fairseq_electra.electra.fast.cross_entropy import probabilities

BELOW_ONE = 1 - 2**-24  # the largest float32 below 1: rounding must not reach past the last token


@torch.no_grad()
def sample_tokens(probs: Tensor, uniforms: Tensor) -> Tensor:
    """Draw one token for each masked slot from the generator's softmax, by inverting its cumulative distribution function.

    No gradient flows: the generator is trained by maximum likelihood alone. The random numbers come from outside, so the draw is the
    same on every device. :func:`fairseq_electra.electra.fast.sampling.sample_tokens` does the same in less time.

    Args:
        probs: probabilities of the tokens; they need not add up to 1. Shape: (..., V), float32 (in half precision the tail would vanish).
        uniforms: uniform random numbers in [0, 1). Shape: (...,).

    Returns:
        ids. Shape: (...,), int64.

    Source: google-research/electra pretrain/pretrain_helpers.py::sample_from_softmax. Deviation: the original adds Gumbel noise and takes
    the maximum, which gives the same distribution and takes a random number for each token of the vocabulary.
    """
    cumulative = probs.cumsum(-1)
    threshold = uniforms.to(probs.dtype).clamp(max=BELOW_ONE).unsqueeze(-1) * cumulative[..., -1:]
    drawn = torch.searchsorted(cumulative, threshold, right=True).squeeze(-1)
    return drawn.clamp(max=probs.shape[-1] - 1)  # only matters where probs hold nan


@torch.no_grad()
def sampling_probabilities(logits: Tensor, temperature: float, disallow: Tensor | None) -> Tensor:
    """Bend the generator's distribution before it is sampled.

    Args:
        logits: scores. Shape: (..., V).
        temperature: divides the scores; below 1 the draws are likelier tokens, above 1 less likely ones.
        disallow: ids that may not be drawn (ELECTRA's ``disallow_correct``). Shape: (...,).

    Returns:
        float32. Shape: (..., V).
    """
    scores = logits.float() / temperature
    if disallow is not None:
        scores = scores.scatter(-1, disallow.unsqueeze(-1), float("-inf"))
    return probabilities(scores)


def corrupt(
    src_tokens: Tensor, masked_positions: Tensor, target: Tensor, sampled: Tensor, pad: int
) -> tuple[Tensor, Tensor]:
    """Put the generator's samples where the masks are, and tell where the text changed.

    A sample that happens to equal the original token is not a replacement (Clark et al. 2020 section 2).

    Args:
        src_tokens: what the generator read. Shape: (B, T).
        masked_positions: where it guessed; spare slots point to position 0. Shape: (B, K).
        target: the original tokens, ``pad`` in spare slots. Shape: (B, K).
        sampled: the samples. Shape: (B, K).
        pad: id of padding.

    Returns:
        the corrupted tokens, int64, and True where one differs from the original. Shapes: (B, T) twice.
    """
    used = target != pad
    # spare slots write back what stands at position 0, which is never masked: every slot can be written without a branch
    written = torch.where(used, sampled.to(src_tokens.dtype), src_tokens.gather(1, masked_positions))
    replaced = used & (sampled != target)
    corrupted = src_tokens.scatter(1, masked_positions, written)
    return corrupted, torch.zeros_like(src_tokens, dtype=torch.bool).scatter(1, masked_positions, replaced)
