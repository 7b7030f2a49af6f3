import pytest
import torch
from sklearn.metrics import roc_auc_score

from fairseq_electra.pretraining.diagnosis import unigram_baseline
from fairseq_electra.pretraining.score_histogram import BINS, area_under_curve, bin_of, score_histogram


@pytest.mark.parametrize(
    ("spread", "shift"),
    [(2.0, 1.0), (0.3, 0.1), (0.05, 0.02), (6.0, 4.0), (40.0, 30.0), (3e4, 3e4), (1e30, 1e30)],
)
def test_area_under_curve_is_scikit_learns(spread, shift):
    torch.manual_seed(0)
    labels = torch.rand(20, 4000) < 0.12
    logits = -2 + spread * torch.randn(20, 4000) + shift * labels
    real = torch.rand(20, 4000) < 0.9
    parts = [score_histogram(logits[i : i + 5], labels[i : i + 5], real[i : i + 5]) for i in range(0, 20, 5)]
    assert area_under_curve(sum(parts)) == pytest.approx(roc_auc_score(labels[real], logits[real]), abs=1e-3)


@pytest.mark.parametrize(("center", "spread"), [(-60.0, 2.0), (300.0, 20.0), (-9.9, 0.5)])
def test_scores_that_all_lie_far_from_zero_are_told_apart(center, spread):
    torch.manual_seed(0)
    labels = torch.rand(20, 4000) < 0.12
    logits = center + spread * torch.randn(20, 4000) + spread * labels
    histogram = score_histogram(logits, labels, torch.ones_like(labels))
    assert area_under_curve(histogram) == pytest.approx(
        roc_auc_score(labels.flatten(), logits.flatten()), abs=4e-3
    )


def test_bins_are_in_the_order_of_scores_and_reach_to_the_largest():
    largest = torch.finfo(torch.float32).max
    sizes = torch.cat(
        [
            torch.zeros(1),
            torch.logspace(-6, 38, 5000),
            torch.linspace(0, 30, 5000),
            torch.tensor([largest, torch.inf]),
        ]
    )
    scores = torch.cat([-sizes, sizes]).sort().values
    places = bin_of(scores)
    assert (places.diff() >= 0).all() and places.min() >= 0 and places.max() < BINS
    assert (
        len(
            {
                int(bin_of(torch.tensor(score)))
                for score in (-1e9, -1e4, -30, -10, -9.9, 0, 9.9, 10, 30, 1e4, 1e9)
            }
        )
        == 11
    )
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        assert torch.equal(
            bin_of(torch.tensor([-3.0, 0.5, 40.0], dtype=dtype)), bin_of(torch.tensor([-3.0, 0.5, 40.0]))
        )


def test_area_without_both_classes_is_not_a_number():
    histogram = score_histogram(
        torch.zeros(1, 5), torch.zeros(1, 5, dtype=torch.bool), torch.ones(1, 5, dtype=torch.bool)
    )
    assert area_under_curve(histogram) != area_under_curve(histogram)


def test_unigram_baseline_counts_pieces_only(make_task, data_bin):
    import numpy as np

    task = make_task()
    ids = np.fromfile(data_bin / "valid.bin", np.uint16)
    ids[50:90:2] = task.dictionary.unk()
    baseline = unigram_baseline(ids, task.dictionary)
    masked = np.bincount(ids[ids >= 3])  # <unk> is masked, and guessing it is never right
    share = masked[masked > 0] / masked.sum()
    assert baseline.loss == pytest.approx(-(share * np.log(share)).sum())
    assert baseline.accuracy == pytest.approx(masked[4:].max() / masked[4:].sum())
