"""Draw from the generator."""

import torch
from torch import Tensor

from fairseq_electra.electra.fast.cross_entropy import probabilities

BLOCK = 128
BELOW_ONE = 1 - 2**-24  # the largest float32 below 1: rounding must not reach past the last token


@torch.no_grad()
def sample_tokens(probs: Tensor, uniforms: Tensor) -> Tensor:
    """Draw one token per masked slot from the generator's softmax, by inverting its distribution function.

    No gradient flows: the generator is trained by maximum likelihood alone. The random numbers come from outside, so the draw is
    the same on every device, and the graph holds no generator state.

    Args:
        probs: of the pieces, need not add up to 1. Shape: (..., V), float32 (in half precision the tail would vanish).
        uniforms: in [0, 1). Shape: (...,).

    Returns:
        ids. Shape: (...,), int64.

    Source: Clark et al. 2020 section 2; google-research/electra pretrain/pretrain_helpers.py::sample_from_softmax.
    Deviation: the original adds Gumbel noise and takes the maximum; same distribution, five times the work.
    """
    # in two steps, blocks and then pieces of one block: sums over blocks cost a fraction of a running sum over the vocabulary
    whole = probs.shape[-1] // BLOCK * BLOCK
    blocks = probs[..., :whole].unflatten(-1, (-1, BLOCK)).sum(-1)
    blocks = torch.cat([blocks, probs[..., whole:].sum(-1, keepdim=True)], -1).cumsum(-1)
    threshold = uniforms.to(probs.dtype).clamp(max=BELOW_ONE).unsqueeze(-1) * blocks[..., -1:]
    block = torch.searchsorted(blocks, threshold, right=True).clamp_(max=blocks.shape[-1] - 1)
    threshold = threshold - torch.where(block > 0, blocks.gather(-1, (block - 1).clamp(min=0)), 0.0)
    piece = block * BLOCK + torch.arange(BLOCK, device=probs.device)
    inside = torch.where(piece < probs.shape[-1], probs.gather(-1, piece.clamp(max=probs.shape[-1] - 1)), 0.0).cumsum(-1)
    # rounding may leave the threshold at or above the block's last sum: then the block's last likely piece is meant
    threshold = torch.minimum(threshold, inside[..., -1:] * BELOW_ONE)
    drawn = block * BLOCK + torch.searchsorted(inside, threshold, right=True)
    return drawn.squeeze(-1).clamp(max=probs.shape[-1] - 1)  # only matters when probs hold nan


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


def corrupt(src_tokens: Tensor, masked_positions: Tensor, target: Tensor, sampled: Tensor, pad: int) -> tuple[Tensor, Tensor]:
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
