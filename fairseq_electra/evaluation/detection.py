"""How well replaced tokens are detected: ELECTRA's metrics from sums, so that batches and ranks add up."""

import torch
from fairseq.logging import metrics
from torch import Tensor

from fairseq_electra.modules.documents import PackedDocuments

BINS = 2000
LARGEST_LOGIT = 10.0
HISTOGRAM = "_histogram"  # ends the names of sums that a metric ending in _auc is made of


def score_histogram(logits: Tensor, is_replaced: Tensor, real: Tensor) -> Tensor:
    """Count scores in bins of equal width, apart for original and replaced tokens.

    Logits rather than probabilities, so that a timid discriminator, whose probabilities all lie near the base rate, is resolved too.

    Args:
        logits, is_replaced, real: scores, labels, and False at padding. Shapes: (B, T).

    Returns:
        counts. Shape: (2, BINS), int64; row 1 holds the replaced tokens.
    """
    logits = logits.nan_to_num()  # fairseq finds out about these, and says so
    bin_of = ((logits.clamp(-LARGEST_LOGIT, LARGEST_LOGIT) + LARGEST_LOGIT) * ((BINS - 1) / (2 * LARGEST_LOGIT))).round().long()
    bin_of = bin_of + BINS * is_replaced
    counts = torch.zeros(2 * BINS, dtype=torch.int64, device=logits.device)
    return counts.scatter_add_(0, bin_of.flatten(), real.flatten().long()).view(2, BINS)


def fixed_histograms(model, sample: dict) -> dict[str, Tensor]:
    """Let the discriminator judge a batch's fixed corruptions (:mod:`fairseq_electra.data.fixed_corruption`).

    Args:
        model: an :class:`fairseq_electra.models.electra.ElectraModel`; without a discriminator there is nothing to judge.
        sample: of :meth:`fairseq_electra.data.masked_rows.MaskedRows.collater`.

    Returns:
        for each corruption what :func:`score_histogram` counts, by the corruption's name and ``_histogram``.
    """
    if model.discriminator is None:
        return {}
    net, found = sample["net_input"], {}
    ends = net.get("document_ends")
    documents = None if ends is None else PackedDocuments.of(ends, net["src_tokens"].shape[1])
    for name, fixed in sample.get("fixed", {}).items():
        logits = model.discriminate(fixed["tokens"], net["segment_ids"], net["padding_mask"], documents)
        found[name + HISTOGRAM] = score_histogram(logits.float(), fixed["is_replaced"], ~net["padding_mask"])
    return found


def area_under_curve(histogram: Tensor) -> float:
    """Area under the ROC curve: how often a replaced token scores above an original one, ties counted half; nan without both.

    Args:
        histogram: as :func:`score_histogram` makes it. Shape: (2, BINS).
    """
    original, replaced = histogram.double()
    pairs = original.sum() * replaced.sum()
    if pairs == 0:
        return float("nan")
    below = original.cumsum(0) - original / 2
    return float((replaced * below).sum() / pairs)


def log_metrics(logs: list[dict]) -> None:
    """Turn the criterion's sums into fairseq's meters; losses and entropy in nats, the rest shares of 1."""
    histograms = {key for log in logs for key in log if key.endswith(HISTOGRAM)}
    total = _numbers({key: sum(log.get(key, 0) for log in logs) for key in logs[0] if key not in histograms})
    masked, tokens = total["sample_size"], total["ntokens"]

    def share(name: str, part: str, whole: float) -> None:
        if whole > 0:
            metrics.log_scalar(name, total[part] / whole, whole, round=4)

    share("loss", "loss", masked)
    share("masked_lm_loss", "masked_lm_sum", masked)
    share("masked_lm_accuracy", "masked_lm_correct", masked)
    share("mask_token_accuracy", "mask_token_correct", total["mask_token_count"])
    if "gen_entropy_sum" in total:
        share("gen_entropy", "gen_entropy_sum", masked)
    if "disc_sum" not in total:
        return
    share("sampled_masked_lm_accuracy", "sampled_correct", masked)
    share("replaced_rate", "replaced", tokens)
    share("disc_loss", "disc_sum", tokens)
    total["disc_right"] = tokens - total["replaced"] - total["flagged"] + 2 * total["flagged_replaced"]
    share("disc_accuracy", "disc_right", tokens)
    share("disc_precision", "flagged_replaced", total["flagged"])
    share("disc_recall", "flagged_replaced", total["replaced"])
    for key in sorted(histograms):
        _log_area(key.removesuffix(HISTOGRAM), sum(log[key] for log in logs if key in log))


def _log_area(name: str, histogram: Tensor) -> None:
    # a leading underscore keeps a meter out of the log
    metrics.log_scalar_sum(f"_{name}{HISTOGRAM}", histogram.cpu())
    metrics.log_derived(f"{name}_auc", lambda meters: round(area_under_curve(meters[f"_{name}{HISTOGRAM}"].sum), 4))


def _numbers(sums: dict[str, Tensor | float]) -> dict[str, float]:
    """Read all from the device at once: each one apart would wait for it again."""
    tensors = {key: value.double() for key, value in sums.items() if isinstance(value, Tensor)}
    read = torch.stack(list(tensors.values())).tolist() if tensors else []
    return {**{key: float(value) for key, value in sums.items() if key not in tensors}, **dict(zip(tensors, read, strict=True))}
