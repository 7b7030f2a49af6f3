"""Draw from the generator."""

import torch
from torch import Tensor

BELOW_ONE = 1 - 2**-24  # the largest float32 below 1: rounding must not reach past the last token


@torch.no_grad()
def sample_tokens(logits: Tensor, uniforms: Tensor, temperature: float = 1.0, disallow: Tensor | None = None) -> Tensor:
    """Draw one token per masked slot from the generator's softmax, by inverting its distribution function.

    No gradient flows: the generator is trained by maximum likelihood alone. The random numbers come from outside, so the draw is
    the same on every device, and the graph holds no generator state.

    Args:
        logits: scores. Shape: (..., V), any float type; the work is done in float32 (in half precision the tail would vanish).
        uniforms: in [0, 1). Shape: (...,).
        temperature: divides the scores; below 1 the draws are likelier tokens, above 1 less likely ones.
        disallow: ids that may not be drawn (ELECTRA's ``disallow_correct``). Shape: (...,).

    Returns:
        ids. Shape: (...,), int64.

    Source: Clark et al. 2020 section 2; google-research/electra pretrain/pretrain_helpers.py::sample_from_softmax.
    Deviation: the original adds Gumbel noise and takes the maximum; same distribution, five times the work.
    """
    scores = logits.float() if temperature == 1.0 else logits.float() / temperature
    if disallow is not None:
        scores = scores.scatter(-1, disallow.unsqueeze(-1), float("-inf"))
    cumulative = scores.softmax(-1).cumsum_(-1)
    threshold = uniforms.to(cumulative.dtype).clamp(max=BELOW_ONE).unsqueeze(-1) * cumulative[..., -1:]
    drawn = torch.searchsorted(cumulative, threshold, right=True).squeeze(-1)
    return drawn.clamp_(max=logits.shape[-1] - 1)


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
    written = torch.where(used, sampled, src_tokens.gather(1, masked_positions))
    replaced = used & (sampled != target)
    corrupted = src_tokens.scatter(1, masked_positions, written)
    return corrupted, torch.zeros_like(src_tokens, dtype=torch.bool).scatter(1, masked_positions, replaced)
