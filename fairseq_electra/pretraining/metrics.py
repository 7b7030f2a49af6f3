"""How well replaced tokens are detected: ELECTRA's metrics from sums, so that batches and ranks add up."""

from collections import OrderedDict
from collections.abc import Iterable
from functools import partial, reduce
from operator import add

from fairseq.logging import metrics
from fairseq.logging.meters import AverageMeter, MetersDict
from torch import Tensor

from fairseq_electra.electra.packed import PackedDocuments
from fairseq_electra.pretraining.log import PER_CENT
from fairseq_electra.pretraining.meters import SumsOnDevice, pack
from fairseq_electra.pretraining.score_histogram import (
    BINS,
    area_under_curve,
    score_histogram,
    to_current_bins,
)

HISTOGRAM = "_histogram"  # ends the names of counts that a metric ending in _auc is made of
# The meter that all figures are derived from; its leading underscore keeps it out of the log
SUMS = "_electra_sums"
# Masked tokens except <unk>; derived, because the sums in older checkpoints lack it
MASKED_PIECES = "masked_pieces"
# metric: sum of what is counted, and of what it is a share of
SHARES = {
    "loss": ("loss", "sample_size"),
    "masked_lm_loss": ("masked_lm_sum", "sample_size"),
    "masked_lm_accuracy": ("masked_lm_correct", MASKED_PIECES),
    "mask_token_accuracy": ("mask_token_correct", "mask_token_count"),
    "gen_entropy": ("gen_entropy_sum", "sample_size"),
    "sampled_masked_lm_accuracy": ("sampled_correct", MASKED_PIECES),
    "replaced_rate": ("replaced", "ntokens"),
    "disc_loss": ("disc_sum", "ntokens"),
    "disc_accuracy": ("disc_right", "ntokens"),
    "disc_precision": ("flagged_replaced", "flagged"),
    "disc_recall": ("flagged_replaced", "replaced"),
}
DERIVED = ("disc_right", MASKED_PIECES)
COUNTED = tuple(
    dict.fromkeys(
        ["masked_unknown", *(name for pair in SHARES.values() for name in pair if name not in DERIVED)]
    )
)
IN_PER_CENT = tuple(name for name in SHARES if name.endswith(PER_CENT))
OF_GENERATOR = ("loss", "masked_lm_loss", "masked_lm_accuracy", "mask_token_accuracy", "gen_entropy")
SOMETIMES = (
    "disc_precision",
)  # has no value as long as no token is taken for a replacement, as at the begin of a training


def fixed_histograms(model, sample: dict) -> dict[str, Tensor]:
    """Score the fixed corruptions of a batch (:mod:`~fairseq_electra.pretraining.fixed_corruption`).

    Args:
        model: an :class:`fairseq_electra.electra.model.Electra`.
        sample: of :meth:`fairseq_electra.pretraining.batches.MaskedRows.collater`.

    Returns:
        for each corruption what :func:`score_histogram` counts, by the corruption's name and ``_histogram``.
    """
    net, found = sample["net_input"], {}
    ends = net.get("document_ends")
    documents = None if ends is None else PackedDocuments.of(ends, net["src_tokens"].shape[1])
    for name, fixed in sample.get("fixed", {}).items():
        logits = model.discriminate(fixed["tokens"], net["segment_ids"], net["padding_mask"], documents)
        found[name + HISTOGRAM] = score_histogram(logits.float(), fixed["is_replaced"], ~net["padding_mask"])
    return found


def logged_by_validation(with_discriminator: bool, corruptions: Iterable[str]) -> tuple[str, ...]:
    """Name the metrics that every validation logs.

    Args:
        with_discriminator: else there is a generator alone.
        corruptions: names of the fixed ones.
    """
    if not with_discriminator:
        return OF_GENERATOR
    areas = (f"{name}_auc" for name in ("disc", *corruptions))
    return (*(name for name in SHARES if name not in SOMETIMES), *areas)


def log_metrics(logs: list[dict]) -> None:
    """Turn the criterion's sums into fairseq's meters.

    Losses and entropy are in nats, accuracy, precision and recall in per cent, the rest in shares of 1.

    Nothing is read from the device here: the figures are derived from the sums when the log asks for them.
    """
    histograms = [name for name in logs[0] if name.endswith(HISTOGRAM)]
    counted = [name for name in COUNTED if name in logs[0]] + histograms
    sums = {name: reduce(add, (log[name] for log in logs if name in log)) for name in counted}
    on_device = {name: value for name, value in sums.items() if isinstance(value, Tensor)}
    on_host = {"updates": 1} | {name: value for name, value in sums.items() if name not in on_device}
    layout, vector = pack(on_device)
    for meters in metrics.get_active_aggregators():
        if SUMS not in meters:
            meters.add_meter(SUMS, SumsOnDevice(), priority=10)
            _take_over_averages(meters)
        meters[SUMS].update(on_host, layout, vector)
    for name, (part, _) in SHARES.items():
        if part in sums or (part == "disc_right" and "replaced" in sums):
            metrics.log_derived(name, partial(_logged_share, name), priority=10)
    for name in histograms:
        metrics.log_derived(f"{name.removesuffix(HISTOGRAM)}_auc", partial(_logged_area, name))


def share_of(total: dict, name: str) -> float | None:
    """Compute a metric of ``SHARES`` from sums by name; None where there is nothing to count."""
    (part, whole), unit = SHARES[name], 100 if name in IN_PER_CENT else 1
    total = {**total, MASKED_PIECES: total.get("sample_size", 0) - total.get("masked_unknown", 0)}
    if not total.get(whole, 0) > 0:
        return None
    if part == "disc_right":
        return (
            unit
            * (total["ntokens"] - total["replaced"] - total["flagged"] + 2 * total["flagged_replaced"])
            / total[whole]
        )
    return unit * total[part] / total[whole]


def auc_of(total: dict, name: str = "disc_histogram") -> float:
    """Compute the area under the curve from sums by name; nan where there is nothing to compare."""
    histogram = total.get(name)
    return float("nan") if histogram is None else area_under_curve(histogram.view(2, BINS))


def _logged_share(name: str, meters: MetersDict) -> float | None:
    share = share_of(meters[SUMS].read(), name)
    return None if share is None else round(share, 2 if name in IN_PER_CENT else 4)


def _logged_area(name: str, meters: MetersDict) -> float:
    return round(auc_of(meters[SUMS].read(), name), 4)


def _take_over_averages(meters: MetersDict) -> None:
    """Go on from the averages in checkpoints of this package before it kept sums."""
    total: dict = {}
    for name, (part, whole) in SHARES.items():
        average = meters.get(name)
        if isinstance(average, AverageMeter):
            total |= {
                key: value
                for key, value in ((whole, average.count), (part, average.sum))
                if key not in DERIVED
            }
            # in its place: MetersDict itself allows no second meter of a name
            OrderedDict.__setitem__(meters, name, MetersDict._DerivedMeter(partial(_logged_share, name)))
    histogram = meters.get("_disc_histogram")
    if histogram is not None and isinstance(histogram.sum, Tensor):
        total["disc_histogram"] = to_current_bins(histogram.sum.flatten())
        histogram.reset()
    meters[SUMS].total = total
