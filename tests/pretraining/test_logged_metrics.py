"""The criterion's sums in fairseq's log equal plain averages, and are read only when the log asks."""

import pytest
import torch
from fairseq.logging import metrics
from fairseq.trainer import Trainer
from torch.utils._python_dispatch import TorchDispatchMode

from fairseq_electra.pretraining.meters import SumsOnDevice, pack
from fairseq_electra.pretraining.metrics import log_metrics
from fairseq_electra.pretraining.score_histogram import BINS, BINS_BEFORE, area_under_curve
from tests.helpers.logged_sums import MetricsAlone, sums_of


@pytest.fixture(autouse=True)
def fresh():
    metrics.reset()
    yield
    metrics.reset()


def log_averages(logs: list[dict], unit: float = 100.0) -> None:
    """Averages of each update's share, weighted by its denominator; accuracies in per cent or shares."""
    total = {key: sum(log[key] for log in logs) for key in logs[0]}
    histogram = total.pop("disc_histogram")
    total = {key: float(value) for key, value in total.items()}
    pieces = total["sample_size"] - total["masked_unknown"]
    right = total["ntokens"] - total["replaced"] - total["flagged"] + 2 * total["flagged_replaced"]
    for name, part, whole in (
        ("loss", total["loss"], total["sample_size"]),
        ("masked_lm_loss", total["masked_lm_sum"], total["sample_size"]),
        ("masked_lm_accuracy", total["masked_lm_correct"], pieces),
        ("mask_token_accuracy", total["mask_token_correct"], total["mask_token_count"]),
        ("gen_entropy", total.get("gen_entropy_sum"), total["sample_size"]),
        ("sampled_masked_lm_accuracy", total["sampled_correct"], pieces),
        ("replaced_rate", total["replaced"], total["ntokens"]),
        ("disc_loss", total["disc_sum"], total["ntokens"]),
        ("disc_accuracy", right, total["ntokens"]),
        ("disc_precision", total["flagged_replaced"], total["flagged"]),
        ("disc_recall", total["flagged_replaced"], total["replaced"]),
    ):
        if part is None or not whole > 0:
            continue
        if name.endswith(("_accuracy", "_precision", "_recall")):
            metrics.log_scalar(name, unit * part / whole, whole, round=2)
        else:
            metrics.log_scalar(name, part / whole, whole, round=4)
    metrics.log_scalar_sum("_disc_histogram", histogram)
    metrics.log_derived("disc_auc", lambda meters: round(area_under_curve(meters["_disc_histogram"].sum), 4))


def whole_run(log, resume: bool = False) -> list[dict]:
    """Log nine updates of two batches, a validation and the end of an epoch; returns fairseq's output."""
    metrics.reset()
    printed = []
    for epoch in range(2):
        with metrics.aggregate("train"):
            for update in range(epoch * 9 + 1, epoch * 9 + 10):
                with metrics.aggregate("train_inner"):
                    log([sums_of(2 * update), sums_of(2 * update + 1)])
                if update % 4 == 0:
                    printed.append(metrics.get_smoothed_values("train_inner"))
                    metrics.reset_meters("train_inner")
                if update == 6:
                    with metrics.aggregate(new_root=True) as valid:
                        for batch in range(3):
                            with metrics.aggregate("valid"):
                                log([sums_of(100 + batch, training=False)])
                    printed.append(valid.get_smoothed_values())
                if update == 7 and resume:
                    saved = metrics.state_dict()
                    metrics.reset()
                    metrics.load_state_dict(saved)
                    metrics._active_aggregators["train"] = metrics._aggregators["train"]
                    metrics._active_aggregators["default"] = metrics._aggregators["default"]
        printed.append(metrics.get_smoothed_values("train"))
        metrics.reset_meters("train")
    return [*printed, metrics.get_smoothed_values("default")]


def test_the_log_has_the_figures_of_plain_averages():
    expected, found = whole_run(log_averages), whole_run(log_metrics)
    assert len(expected) == 8 and len(expected[0]) == 11 and "gen_entropy" in expected[1]
    assert [list(figures.items()) for figures in found] == [list(figures.items()) for figures in expected]


def test_a_resumed_run_logs_the_same_figures():
    assert whole_run(log_metrics, resume=True) == whole_run(log_metrics)


def test_a_checkpoint_holds_numbers_and_counts_alone(tmp_path):
    whole_run(log_metrics)
    torch.save(metrics.state_dict(), tmp_path / "metrics.pt")
    saved = torch.load(tmp_path / "metrics.pt", weights_only=True)
    for subset in ("default", "valid"):
        ((_, name, _, state),) = saved[subset]
        assert name == "_electra_sums" and state["total"].pop("disc_histogram").dtype == torch.int64
        assert {type(value) for value in state["total"].values()} == {int, float}


@pytest.mark.parametrize("meter", ["sums", "averages"])
def test_a_histogram_in_the_bins_of_before_is_gone_on_with(meter):
    before = torch.zeros(2, BINS_BEFORE, dtype=torch.int64)
    # of 40 by 40 pairs 30 x 20 and 40 x 20 are right
    before[0, 800], before[0, 1200], before[1, 1000], before[1, -1] = (30, 10, 20, 20)
    log = log_metrics if meter == "sums" else log_averages
    log([{**sums_of(1), "disc_histogram": torch.zeros(2, BINS, dtype=torch.int64)}])
    saved = metrics.state_dict()
    for _, name, _, state in saved["default"]:
        if name == "_electra_sums":
            state["total"]["disc_histogram"] = before.flatten()
        elif name == "_disc_histogram":
            state["sum"] = before
    metrics.load_state_dict(saved)
    metrics._active_aggregators["default"] = metrics._aggregators["default"]
    log_metrics([{**sums_of(2), "disc_histogram": torch.zeros(2, BINS, dtype=torch.int64)}])
    assert metrics.get_smoothed_values("default")["disc_auc"] == (30 * 20 + 40 * 20) / 40**2


def test_a_checkpoint_with_averages_goes_on_with_sums():
    metrics.reset()
    # <unk> counted like any piece
    before = [sums_of(update) | {"masked_unknown": torch.tensor(0)} for update in range(5)]
    for sums in before:
        log_averages([sums], unit=1.0)  # as they were then
    metrics.load_state_dict(metrics.state_dict())
    metrics._active_aggregators["default"] = metrics._aggregators["default"]
    for update in range(5, 9):
        log_metrics([sums_of(update)])
    found = metrics.get_smoothed_values("default")
    metrics.reset()
    for sums in [*before, *(sums_of(update) for update in range(5, 9))]:
        log_averages([sums])
    assert found == metrics.get_smoothed_values("default")


def test_sums_of_a_checkpoint_that_counted_unk_as_a_piece_go_on():
    old = [
        {name: value for name, value in sums_of(update).items() if name != "masked_unknown"}
        for update in range(3)
    ]
    with metrics.aggregate("train"):
        for sums in old:
            log_metrics([sums])
    metrics.load_state_dict(metrics.state_dict())
    metrics._active_aggregators["train"] = metrics._aggregators["train"]
    log_metrics([sums_of(7)])
    logs = [*old, sums_of(7)]
    count = sum(log["sample_size"] - int(log.get("masked_unknown", 0)) for log in logs)
    expected = round(100 * sum(int(log["masked_lm_correct"]) for log in logs) / count, 2)
    assert metrics.get_smoothed_values("train")["masked_lm_accuracy"] == expected


def test_a_text_of_unk_alone_has_no_accuracy():
    with metrics.aggregate() as aggregate:
        log_metrics([sums_of(1) | {"masked_unknown": torch.tensor(31), "masked_lm_correct": torch.tensor(0)}])
    figures = aggregate.get_smoothed_values()
    assert (
        figures["masked_lm_accuracy"] is None
        and figures["sampled_masked_lm_accuracy"] is None
        and figures["masked_lm_loss"] > 0
    )


def test_where_no_token_was_flagged_there_is_no_precision():
    with metrics.aggregate() as aggregate:
        log_metrics([sums_of(1, flags=False)])
    figures = aggregate.get_smoothed_values()
    assert figures["disc_precision"] is None and figures["disc_recall"] == 0.0


def test_counts_beyond_float32_stay_exact():
    meter, counts = SumsOnDevice(), 0
    for count in (2**24 + 1, 2**30 + 3, 5):
        meter.update({}, *pack({"tokens": torch.tensor(count), "loss": torch.tensor(0.5)}))
        counts += count
    assert meter.read() == {"tokens": counts, "loss": 1.5}


class Reads(TorchDispatchMode):
    """Count what makes the host wait for the device: a number or truth value taken out of a tensor."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += "_local_scalar_dense" in str(function)
        return function(*args, **(kwargs or {}))


def on_device(sums: dict, all_ranks: bool) -> dict:
    """Sums on a device whose numbers cannot be read at all: with ``meta``, a read is an error.

    Of several processes all sums are tensors of float64 on the device.
    """
    if all_ranks:
        return {name: torch.as_tensor(value).double().to("meta") for name, value in sums.items()}
    return {
        name: value.to("meta") if isinstance(value, torch.Tensor) else value for name, value in sums.items()
    }


@pytest.mark.parametrize("all_ranks", [False, True])
def test_nothing_is_read_between_two_logs(make_task, all_ranks):
    """Through fairseq's trainer, which summarises each update, in training and validation."""
    task = make_task()
    task.peak = 1e12
    trainer = Trainer.__new__(Trainer)
    trainer.task, trainer._criterion, trainer.tpu, trainer._warn_once = task, MetricsAlone(), False, set()
    logs = [on_device(sums_of(update), all_ranks) for update in range(3)]
    held_out = on_device(sums_of(9, training=False), all_ranks)
    with Reads() as reads, metrics.aggregate("train"):
        for log in logs:
            with metrics.aggregate("train_inner"):
                stats = trainer._reduce_and_log_stats([log], 7)
        with metrics.aggregate(new_root=True):
            trainer._reduce_and_log_stats([held_out], 7)
    assert reads.count == 0 and stats["sample_size"] == 7 and "disc_auc" in stats
    # a tensor on the device "meta" cannot be read
    with pytest.raises(RuntimeError, match="meta"):
        stats["disc_auc"]
    with pytest.raises(RuntimeError, match="meta"):
        metrics.get_smoothed_values("train_inner")


def test_the_diagnosis_reads_only_what_the_log_reads_anyway(make_task, monkeypatch):
    task, read = make_task(log_interval=2), []
    plain = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: read.append(update) or plain(tensor))
    for update in range(1, 6):
        with metrics.aggregate("train_inner"):
            metrics.log_scalar("num_updates", update, weight=0)
            metrics.log_scalar("lr", update * 1e-4, weight=0)
            task.reduce_metrics([sums_of(update)], MetricsAlone())
        if update % 2 == 0:
            found = metrics.get_smoothed_values("train_inner")
            metrics.reset_meters("train_inner")
    seen = task.diagnosis.gathered
    assert read == [2, 4] and (seen.start, seen.end, seen.lr) == (0, 4, 4e-4)
    with metrics.aggregate() as whole:
        log_metrics([sums_of(update) for update in (1, 2, 3, 4)])
    expected = whole.get_smoothed_values()
    assert (
        round(100 * seen.recall, 2) == expected["disc_recall"]
        and round(seen.disc_loss, 4) == expected["disc_loss"]
    )
    assert round(100 * seen.accuracy, 2) == expected["mask_token_accuracy"]
    assert seen.auc == pytest.approx(expected["disc_auc"], abs=0.02) and found["num_updates"] == 4


def test_the_log_reads_all_sums_at_once(monkeypatch):
    moved = []
    plain = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: moved.append(tensor.numel()) or plain(tensor))
    with metrics.aggregate("train_inner") as aggregate:
        for update in range(3):
            log_metrics([sums_of(update)])
        assert moved == []
        assert len(aggregate.get_smoothed_values()) == 11
    assert moved == [2 * BINS + 11]
