import pytest
import torch
from sklearn.metrics import roc_auc_score

from fairseq_electra.evaluation.detection import area_under_curve, score_histogram
from fairseq_electra.evaluation.diagnosis import unigram_baseline


@pytest.mark.parametrize(("spread", "shift"), [(2.0, 1.0), (0.3, 0.1), (0.05, 0.02), (6.0, 4.0)])
def test_area_under_curve_is_scikit_learns(spread, shift):
    torch.manual_seed(0)
    labels = torch.rand(20, 4000) < 0.12
    logits = -2 + spread * torch.randn(20, 4000) + shift * labels
    real = torch.rand(20, 4000) < 0.9
    parts = [score_histogram(logits[i : i + 5], labels[i : i + 5], real[i : i + 5]) for i in range(0, 20, 5)]
    assert area_under_curve(sum(parts)) == pytest.approx(roc_auc_score(labels[real], logits[real]), abs=1e-3)


def test_area_without_both_classes_is_not_a_number():
    histogram = score_histogram(torch.zeros(1, 5), torch.zeros(1, 5, dtype=torch.bool), torch.ones(1, 5, dtype=torch.bool))
    assert area_under_curve(histogram) != area_under_curve(histogram)


def test_unigram_baseline_counts_pieces_only(make_task, data_bin):
    import numpy as np

    task = make_task()
    ids = np.fromfile(data_bin / "valid.bin", np.uint16)
    ids[50:90:2] = task.dictionary.unk()
    pieces = ids[(ids > 3)]
    counts = np.bincount(pieces)
    share = counts[counts > 0] / len(pieces)
    baseline = unigram_baseline(ids, task.dictionary)
    assert baseline.accuracy == pytest.approx(share.max())
    assert baseline.loss == pytest.approx(-(share * np.log(share)).sum())
