"""Weighted metrics against the metrics of repeated examples, and what an interval takes into account."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from fairseq_electra.comparison.bootstrap import WEIGHTED, Examples, FineTunings, differences
from fairseq_electra.finetuning.info import TASK_FILE, TaskInfo
from fairseq_electra.finetuning.sentences.metrics import score
from fairseq_electra.finetuning.words import TAGGING
from fairseq_electra.finetuning.words.tags import PLAIN_TAG_METRICS


@pytest.mark.parametrize("metric", WEIGHTED)
def test_a_weighted_metric_is_that_of_repeated_examples(metric):
    rng = np.random.default_rng(1)
    if metric in ("pearson", "spearman"):
        target = rng.integers(0, 8, 40) / 2
        predicted = np.round(target + rng.normal(size=40), 1)  # with ties
        logits = predicted[:, None]
    else:
        classes = 2 if metric == "f1" else 3
        target = rng.integers(0, classes, 40)
        predicted = np.where(rng.random(40) < 0.5, target, rng.integers(0, classes, 40))
        logits = np.eye(classes)[predicted]
    weights = rng.multinomial(40, np.full(40, 1 / 40), 5).astype(np.float32)
    expected = [
        score([metric], logits.repeat(each.astype(int), 0), target.repeat(each.astype(int)))[metric]
        for each in weights
    ]
    assert 100 * WEIGHTED[metric](predicted, target, weights) == pytest.approx(np.array(expected), rel=1e-5)


@pytest.mark.parametrize("metric", ["mcc", "f1", "pearson", "spearman"])
def test_a_metric_of_constant_predictions_is_0(metric):
    target, weights = np.array([0, 1, 1, 0]), np.ones((1, 4), np.float32)
    assert WEIGHTED[metric](np.zeros(4), target, weights) == 0


def test_examples_of_words_are_not_read(tmp_path):
    """Plain tags are scored by accuracy too, and an example has many of them."""
    info = TaskInfo("tags", TAGGING, 1, ("a", "b"), PLAIN_TAG_METRICS, 16, {"train": 9, "valid": 9})
    (tmp_path / TASK_FILE).write_text(json.dumps(asdict(info)))
    assert Examples.of(tmp_path) is None


def models(rng, number, shift, targets):
    """Return models that are right as often as ``.7 + shift``, with two equal fine-tunings each."""
    found = []
    for _ in range(number):
        right = rng.random(len(targets)) < 0.7 + shift
        predictions = np.stack([np.where(right, targets, 1 - targets)] * 2)
        values = 100 * (predictions == targets).mean(1)
        found.append({"A": FineTunings(values, predictions)})
    return found


def difference(pairs, examples, **options):
    gap = differences(pairs, {"A": examples}, **options)["A"]
    return (gap.exact, *gap.interval())


def test_an_interval_is_wider_with_examples():
    rng = np.random.default_rng(3)
    targets = rng.integers(0, 2, 200)
    pairs = list(zip(models(rng, 3, 0.1, targets), models(rng, 3, 0.0, targets), strict=True))
    exact, low, high = difference(pairs, Examples("accuracy", targets))
    without = difference(pairs, None)
    assert exact == pytest.approx(without[0]) and low < exact < high
    assert high - low > 1.2 * (without[2] - without[1])


def test_examples_are_drawn_for_all_models_together():
    """Two models that are wrong at the same examples do not differ, whichever are drawn."""
    rng = np.random.default_rng(4)
    targets = rng.integers(0, 2, 200)
    (model,) = models(rng, 1, 0.0, targets)
    assert difference([(model, model)], Examples("accuracy", targets)) == pytest.approx((0, 0, 0))


def test_an_interval_with_examples_holds_the_truth_about_as_often_as_it_says():
    rng, held = np.random.default_rng(5), 0
    for _ in range(60):
        targets = rng.integers(0, 2, 150)
        pairs = list(zip(models(rng, 5, 0.1, targets), models(rng, 5, 0.0, targets), strict=True))
        _, low, high = difference(pairs, Examples("accuracy", targets), samples=400)
        held += low <= 10.0 <= high
    assert 50 <= held <= 60
