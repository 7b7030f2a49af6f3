"""Histograms of scores that add up over batches and ranks, and the area under their ROC curve."""

import torch
from torch import Tensor

# bins of equal width up to a size of 10, where the scores of most discriminators lie; beyond, wider ones that
# reach to the largest float32
LINEAR_LIMIT, LINEAR_BINS = 10.0, 1000  # of each sign
# width in ln(1 + ln(size / 10)): bins of .4 % at 10, 1.3 % at 100, 3 % at 10,000
OUTER_BINS, OUTER_WIDTH = (1120, 0.004)
BINS = 2 * (LINEAR_BINS + OUTER_BINS)
BINS_BEFORE = 2000  # in older checkpoints: of equal width, the outermost at -10 and 10 for all scores beyond


def bin_of(scores: Tensor) -> Tensor:
    """Return the bin of each score: larger scores never have smaller ones. Shape kept, int64, below BINS."""
    scores = scores.float().nan_to_num()  # fairseq reports these itself
    size = scores.abs()
    beyond = LINEAR_BINS + (size.clamp(min=LINEAR_LIMIT) / LINEAR_LIMIT).log().log1p() / OUTER_WIDTH
    steps = torch.where(size < LINEAR_LIMIT, size * (LINEAR_BINS / LINEAR_LIMIT), beyond)
    return (torch.where(scores < 0, -steps, steps) + BINS // 2).floor().long()


def score_histogram(logits: Tensor, is_replaced: Tensor, real: Tensor) -> Tensor:
    """Count scores in bins, separately for original and replaced tokens.

    Bins of logits, not of probabilities, also resolve a discriminator whose probabilities are all near the
    base rate, or all near 0 and 1.

    Args:
        logits, is_replaced, real: scores, labels, and False at padding. Shapes: (B, T).

    Returns:
        counts. Shape: (2, BINS), int64; row 1 holds the replaced tokens.
    """
    bins = bin_of(logits) + BINS * is_replaced
    counts = torch.zeros(2 * BINS, dtype=torch.int64, device=logits.device)
    return counts.scatter_add_(0, bins.flatten(), real.flatten().long()).view(2, BINS)


def area_under_curve(histogram: Tensor) -> float:
    """Return the area under the ROC curve: how often a replaced token outscores an original one, ties half.

    nan if there are no tokens of either kind.

    Args:
        histogram: as :func:`score_histogram` makes it. Shape: (2, BINS).
    """
    original, replaced = histogram.double()
    pairs = original.sum() * replaced.sum()
    if pairs == 0:
        return float("nan")
    below = original.cumsum(0) - original / 2
    return float((replaced * below).sum() / pairs)


def to_current_bins(counts: Tensor) -> Tensor:
    """Convert the counts of an older checkpoint to current bins; others stay. Shape: (2 * BINS,), int64."""
    if counts.numel() != 2 * BINS_BEFORE:
        return counts
    bins = bin_of(torch.linspace(-LINEAR_LIMIT, LINEAR_LIMIT, BINS_BEFORE))
    converted = torch.zeros(2, BINS, dtype=torch.int64)
    return converted.index_add_(1, bins, counts.view(2, BINS_BEFORE).long()).flatten()
