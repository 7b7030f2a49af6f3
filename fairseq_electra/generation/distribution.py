"""The distribution that a token is drawn from."""

import torch
from torch import Tensor

from fairseq_electra.electra.fast.cross_entropy import probabilities
from fairseq_electra.generation.settings import Settings


def token_probabilities(logits: Tensor, settings: Settings) -> Tensor:
    """Compute the probability that each token is drawn with.

    First the temperature divides the scores, then the ``top_k`` likeliest tokens stay, and of these the
    likeliest ones whose probabilities, renormalized, reach ``top_p``.

    Args:
        logits: scores; minus infinity for tokens that must not be drawn. Shape: (..., V).
        settings: temperature, top-k and top-p.

    Returns:
        probabilities that add up to 1. Shape: (..., V).

    Source: Holtzman et al. 2020 (arXiv 1904.09751), section 3.1 (top-p); Fan et al. 2018 (arXiv 1805.04833)
    (top-k).
    """
    if settings.temperature == 0:
        best = logits.argmax(-1, keepdim=True)
        return probabilities(torch.full_like(logits, float("-inf")).scatter(-1, best, 0.0))
    # the largest score becomes 0, so that a small temperature does not make scores overflow
    scores = (logits - logits.amax(-1, keepdim=True)) / settings.temperature
    if 0 < settings.top_k < logits.shape[-1]:
        kept, ids = scores.topk(settings.top_k)
        scores = torch.full_like(scores, float("-inf")).scatter(-1, ids, kept)
    probs = probabilities(scores)
    if settings.top_p == 1:
        return probs
    ordered, ids = probs.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered  # the probability of all likelier tokens together
    ordered = ordered.masked_fill(before >= settings.top_p, 0.0)
    return torch.zeros_like(probs).scatter(-1, ids, ordered / ordered.sum(-1, keepdim=True))
