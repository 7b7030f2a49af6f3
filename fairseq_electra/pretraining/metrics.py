"""ELECTRA's metrics, computed from sums, so that batches and ranks add up."""

from collections import OrderedDict
from collections.abc import Iterable
from functools import partial, reduce
from operator import add

from fairseq.logging import metrics
from fairseq.logging.meters import AverageMeter, MetersDict
from torch import Tensor

from fairseq_electra.electra.objectives import Objective
from fairseq_electra.electra.packed import PackedDocuments
from fairseq_electra.pretraining.fixed_corruption import BY_FREQUENCY, BY_GENERATOR
from fairseq_electra.pretraining.log import PER_CENT
from fairseq_electra.pretraining.meters import SumsOnDevice, pack
from fairseq_electra.pretraining.score_histogram import (
    BINS,
    area_under_curve,
    score_histogram,
    to_current_bins,
)

HISTOGRAM = "_histogram"  # ending of the names of counts that an _auc metric is computed from
# The meter that all figures are derived from; its leading underscore keeps it out of the log
SUMS = "_electra_sums"
# Masked tokens, and those except <unk>; derived, because the sums in older checkpoints lack them
MASKED_TOKENS, MASKED_PIECES = "masked_tokens", "masked_pieces"
# metric: names of the sums in its numerator and denominator
SHARES = {
    "loss": ("loss", "sample_size"),
    "masked_lm_loss": ("masked_lm_sum", "sample_size"),
    "masked_lm_accuracy": ("masked_lm_correct", MASKED_PIECES),
    "mask_token_accuracy": ("mask_token_correct", "mask_token_count"),
    "z_loss": ("z_sum", "sample_size"),
    "gen_entropy": ("gen_entropy_sum", MASKED_TOKENS),
    "sampled_masked_lm_accuracy": ("sampled_correct", MASKED_PIECES),
    "replaced_rate": ("replaced", "ntokens"),
    "disc_loss": ("disc_sum", "ntokens"),
    "disc_accuracy": ("disc_right", "ntokens"),
    "disc_precision": ("flagged_replaced", "flagged"),
    "disc_recall": ("flagged_replaced", "replaced"),
    "main_lm_loss": ("main_lm_sum", "main_lm_count"),
    "main_lm_accuracy": ("main_lm_correct", MASKED_PIECES),
    **{f"{name}_lm_loss": (f"{name}_lm_sum", f"{name}_lm_count") for name in (BY_FREQUENCY, BY_GENERATOR)},
    "noise_loss": ("noise_sum", "noise_count"),
    "noise_accuracy": ("noise_correct", "noise_known"),
}
DERIVED = ("disc_right", MASKED_TOKENS, MASKED_PIECES)
COUNTED = tuple(
    dict.fromkeys(
        [
            *("masked_unknown", "unmasked_in_size"),
            *(name for pair in SHARES.values() for name in pair if name not in DERIVED),
        ]
    )
)
IN_PER_CENT = tuple(name for name in SHARES if name.endswith(PER_CENT))
GENERATOR_METRICS = ("masked_lm_loss", "masked_lm_accuracy", "mask_token_accuracy", "gen_entropy")
CORRUPTION_METRICS = ("sampled_masked_lm_accuracy", "replaced_rate")
DETECTION_METRICS = ("disc_loss", "disc_accuracy", "disc_precision", "disc_recall")
MAIN_LM_METRICS = ("main_lm_loss", "main_lm_accuracy")
NOISE_METRICS = ("noise_loss", "noise_accuracy")
NOT_ALWAYS_LOGGED = ("disc_precision",)  # has no value while no token is flagged, as at the start of training


def fixed_sums(model, sample: dict, predicts_originals: bool) -> dict[str, Tensor]:
    """Score the fixed corruptions of a batch (:mod:`~fairseq_electra.pretraining.fixed_corruption`).

    Args:
        model: a :class:`fairseq_electra.electra.model.Discriminator`.
        sample: a batch of :meth:`fairseq_electra.pretraining.batches.MaskedRows.collater`.
        predicts_originals: whether the model, perhaps wrapped, is a language model of corrupted text.

    Returns:
        the counts of :func:`score_histogram` for each corruption, named by the corruption and ``_histogram``.
        Of a :class:`~fairseq_electra.electra.language_models.CorruptedTextModel` also the sums of the loss of
        each: over all tokens, or over those that were replaced where only masked ones are trained.
    """
    net_input, sums = sample["net_input"], dict[str, Tensor]()
    ends = net_input.get("document_ends")
    documents = None if ends is None else PackedDocuments.of(ends, net_input["src_tokens"].shape[1])
    rest, is_token = (
        (net_input["segment_ids"], net_input["padding_mask"], documents),
        ~net_input["padding_mask"],
    )
    for name, fixed in sample.get("fixed", {}).items():
        if predicts_originals:
            counted = is_token if model.predicts_all else fixed["is_replaced"] & is_token
            logits, chances = model.judge(fixed["tokens"], sample["original"], *rest)
            sums[f"{name}_lm_sum"] = -chances.masked_fill(~counted, 0.0).sum()
            sums[f"{name}_lm_count"] = counted.sum()
        else:
            logits = model.discriminate(fixed["tokens"], *rest)
        sums[name + HISTOGRAM] = score_histogram(logits, fixed["is_replaced"], is_token)
    return sums


def logged_by_validation(objective: Objective, corruptions: Iterable[str]) -> tuple[str, ...]:
    """Name the metrics that every validation logs.

    Args:
        objective: the objective of the run.
        corruptions: names of the fixed corruptions.
    """
    names = ["loss"]
    names += GENERATOR_METRICS if objective.has_generator else ()
    names += CORRUPTION_METRICS if objective.has_discriminator else ()
    names += DETECTION_METRICS if objective.detects else ()
    names += MAIN_LM_METRICS if objective.predicts_originals else ()
    names += NOISE_METRICS if objective.has_noise_model else ()
    names += [f"{name}_lm_loss" for name in corruptions] if objective.predicts_originals else []
    areas = ["disc"] if objective.detects else []
    areas += corruptions if objective.has_discriminator else ()
    return (*(name for name in names if name not in NOT_ALWAYS_LOGGED), *(f"{name}_auc" for name in areas))


def log_metrics(logs: list[dict]) -> None:
    """Turn the criterion's sums into fairseq's meters.

    Losses and entropy are in nats; accuracy, precision and recall in per cent; other metrics are shares of 1.

    Nothing is read from the device here: metrics are derived from the sums when the log asks for them.
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
            _restore_averages(meters)
        meters[SUMS].update(on_host, layout, vector)
    for name, (numerator, _) in SHARES.items():
        if numerator in sums or (numerator == "disc_right" and "flagged" in sums):
            metrics.log_derived(name, partial(_logged_share, name), priority=10)
    for name in histograms:
        metrics.log_derived(f"{name.removesuffix(HISTOGRAM)}_auc", partial(_logged_area, name))


def share_of(total: dict, name: str) -> float | None:
    """Compute a metric of ``SHARES`` from sums by name; None if its denominator is 0.

    ``sample_size``, which losses are divided by, is the number of masked tokens. Where masking rates are
    drawn, it counts all tokens that may be masked, ``unmasked_in_size`` of which are not.
    """
    (numerator, denominator), unit = SHARES[name], 100 if name in IN_PER_CENT else 1
    masked = total.get("sample_size", 0) - total.get("unmasked_in_size", 0)
    total = {**total, MASKED_TOKENS: masked, MASKED_PIECES: masked - total.get("masked_unknown", 0)}
    if not total.get(denominator, 0) > 0:
        return None
    if numerator == "disc_right":
        return (
            unit
            * (total["ntokens"] - total["replaced"] - total["flagged"] + 2 * total["flagged_replaced"])
            / total[denominator]
        )
    return unit * total[numerator] / total[denominator]


def auc_of(total: dict, name: str = "disc_histogram") -> float:
    """Compute the area under the ROC curve from sums by name; nan if there is nothing to compare."""
    histogram = total.get(name)
    return float("nan") if histogram is None else area_under_curve(histogram.view(2, BINS))


def _logged_share(name: str, meters: MetersDict) -> float | None:
    share = share_of(meters[SUMS].read(), name)
    return None if share is None else round(share, 2 if name in IN_PER_CENT else 4)


def _logged_area(name: str, meters: MetersDict) -> float:
    return round(auc_of(meters[SUMS].read(), name), 4)


def _restore_averages(meters: MetersDict) -> None:
    """Convert the averages in older checkpoints to sums."""
    total: dict = {}
    for name, (numerator, denominator) in SHARES.items():
        average = meters.get(name)
        if isinstance(average, AverageMeter):
            total |= {
                key: value
                for key, value in ((denominator, average.count), (numerator, average.sum))
                if key not in DERIVED
            }
            # replaces the meter: MetersDict itself allows no second meter of a name
            OrderedDict.__setitem__(meters, name, MetersDict._DerivedMeter(partial(_logged_share, name)))
    histogram = meters.get("_disc_histogram")
    if histogram is not None and isinstance(histogram.sum, Tensor):
        total["disc_histogram"] = to_current_bins(histogram.sum.flatten())
        histogram.reset()
    meters[SUMS].total = total
