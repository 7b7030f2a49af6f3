"""Every metric against its formula in plain NumPy, and against direct calls of scikit-learn and scipy."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.sentences import PREDICTION
from fairseq_electra.finetuning.sentences.glue import GLUE
from fairseq_electra.finetuning.sentences.metrics import OF_CLASSES, OF_NUMBERS, score
from fairseq_electra.finetuning.sentences.scores import SentenceEvaluation


def counts(found, target):
    pairs = list(zip(found.tolist(), target.tolist(), strict=True))
    return (pairs.count((1, 1)), pairs.count((1, 0)), pairs.count((0, 1)), pairs.count((0, 0)))


def accuracy(found, target):
    return sum(a == b for a, b in zip(found, target, strict=True)) / len(target)


def f1(found, target, positive=1):
    true, false, missed, _ = counts(found == positive, target == positive)
    return 2 * true / (2 * true + false + missed) if true else 0.0


def macro_f1(found, target):
    classes = set(found.tolist()) | set(target.tolist())
    return sum(f1(found, target, each) for each in classes) / len(classes)


def mcc(found, target):
    """Of two classes: Matthews 1975. Of more: Gorodkin 2004, by covariances of indicators."""
    if max(found.max(), target.max()) < 2:
        true, false, missed, rejected = counts(found, target)
        below = math.sqrt((true + false) * (true + missed) * (rejected + false) * (rejected + missed))
        return (true * rejected - false * missed) / below if below else 0.0
    x, y = (np.eye(4)[values] - np.eye(4)[values].mean(0) for values in (found, target))
    return (x * y).sum() / math.sqrt((x * x).sum() * (y * y).sum())


def pearson(found, target):
    x, y = found - found.mean(), target - target.mean()
    return (x * y).sum() / math.sqrt((x * x).sum() * (y * y).sum())


def ranks(values):
    """Ties share the mean of their places."""
    return np.array([(values < each).sum() + ((values == each).sum() + 1) / 2 for each in values])


def spearman(found, target):
    return pearson(ranks(found), ranks(target))


FORMULAS = {
    "accuracy": accuracy,
    "f1": f1,
    "macro_f1": macro_f1,
    "mcc": mcc,
    "pearson": pearson,
    "spearman": spearman,
}
LIBRARIES = {
    "accuracy": sklearn_metrics.accuracy_score,
    "f1": sklearn_metrics.f1_score,
    "macro_f1": lambda found, target: sklearn_metrics.f1_score(target, found, average="macro"),
    "mcc": sklearn_metrics.matthews_corrcoef,
    "pearson": lambda found, target: stats.pearsonr(found, target).statistic,
    "spearman": lambda found, target: stats.spearmanr(found, target).statistic,
}


def one_hot(classes, number):
    return np.eye(number, dtype=np.float32)[np.asarray(classes)]


def test_every_metric_is_known_here_and_every_task_of_glue_uses_known_ones():
    assert FORMULAS.keys() == LIBRARIES.keys() == OF_CLASSES.keys() | OF_NUMBERS.keys()
    for task in GLUE.values():
        assert set(task.metrics) <= (OF_CLASSES if task.labels else OF_NUMBERS).keys()


@pytest.mark.parametrize(
    ("metric", "number"),
    [("accuracy", 2), ("accuracy", 3), ("f1", 2), ("macro_f1", 2), ("macro_f1", 4), ("mcc", 2), ("mcc", 4)],
)
def test_metrics_of_classes_are_their_formulas_and_the_libraries(metric, number):
    rng = np.random.default_rng(1)
    different = set()
    for size in (5, 40, 300):
        for bias in (0.0, 1.5, 4.0):
            logits = (
                rng.normal(size=(size, number)).astype(np.float32)
                + bias * np.eye(number, dtype=np.float32)[0]
            )
            target = rng.integers(number, size=size)
            target[:number], logits[0] = range(number), one_hot([number - 1], number)[0] * 9
            found = logits.argmax(1)
            value = score([metric], logits, target)[metric]
            assert value == pytest.approx(100 * FORMULAS[metric](found, target), abs=1e-9)
            assert value == pytest.approx(100 * LIBRARIES[metric](found, target), abs=1e-9)
            different.add(round(value, 6))
    assert len(different) > 4


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
@pytest.mark.parametrize("ties", [False, True])
def test_metrics_of_numbers_are_their_formulas_and_the_libraries(metric, ties):
    rng = np.random.default_rng(2)
    for size in (3, 40, 300):
        for slope in (-1.0, 0.2, 3.0):
            target = rng.uniform(0, 5, size)
            found = slope * target + rng.normal(size=size)
            if ties:
                target, found = (
                    target.round() + (np.arange(size) == 0),
                    found.round() + (np.arange(size) == 1) * 0.5,
                )
            logits = found.astype(np.float32)[:, None]
            value = score([metric], logits, target)[metric]
            assert value == pytest.approx(
                100 * FORMULAS[metric](logits[:, 0].astype(np.float64), target), abs=1e-9
            )
            assert value == pytest.approx(
                100 * LIBRARIES[metric](logits[:, 0].astype(np.float64), target), abs=1e-9
            )


def test_score_of_values_worked_out_by_hand():
    logits, target = one_hot([1, 1, 1, 0, 0, 0], 2), np.array([1, 1, 0, 1, 0, 0])
    assert score(["accuracy", "f1", "mcc"], logits, target) == pytest.approx(
        {"accuracy": 400 / 6, "f1": 400 / 6, "mcc": 100 / 3}
    )
    numbers, scores = np.array([[1.0], [2.0], [2.0], [9.0]]), np.array([0.0, 1.0, 3.0, 5.0])
    assert score(["spearman"], numbers, scores)["spearman"] == pytest.approx(100 * 4.5 / math.sqrt(4.5 * 5))


def test_score_f1_is_that_of_class_one():
    logits, target = one_hot([1, 0, 0, 0], 2), np.array([1, 1, 0, 0])
    assert score(["f1"], logits, target)["f1"] == pytest.approx(200 / 3)
    assert score(["f1"], logits[:, ::-1], 1 - target)["f1"] == pytest.approx(80)


def test_score_of_numbers_ignores_scale_but_not_sign():
    rng = np.random.default_rng(3)
    logits, target = rng.normal(size=(30, 1)), rng.normal(size=30)
    for metric in ("pearson", "spearman"):
        value = score([metric], logits, target)[metric]
        assert score([metric], 7 * logits + 3, target)[metric] == pytest.approx(value)
        assert score([metric], -logits, target)[metric] == pytest.approx(-value) and abs(value) > 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("metric", ["pearson", "spearman"])
@pytest.mark.parametrize("constant", ["predictions", "labels", "both"])
def test_score_of_a_constant_correlation_is_zero_without_warning(metric, constant):
    numbers, same = np.arange(4.0), np.full(4, 2.5)
    logits = (numbers if constant == "labels" else same)[:, None]
    assert score([metric], logits, numbers if constant == "predictions" else same) == {metric: 0.0}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("said", [0, 1])
def test_score_mcc_of_a_constant_class_is_zero(said):
    target = np.array([0, 0, 0, 1])
    found = score(["mcc", "accuracy", "f1", "macro_f1"], one_hot([said] * 4, 2), target)
    # of class 1: 2 * 1 / (2 * 1 + 3), of class 0: 2 * 3 / (2 * 3 + 1)
    expected = (
        {"mcc": 0.0, "accuracy": 25.0, "f1": 40.0, "macro_f1": 20.0}
        if said
        else {"accuracy": 75.0, "macro_f1": 300 / 7, "f1": 0, "mcc": 0}
    )
    assert found == pytest.approx(expected)


def test_score_of_right_predictions_is_100():
    target = np.array([0, 1, 1, 0])
    assert score(list(OF_CLASSES), one_hot(target, 2), target) == pytest.approx(
        dict.fromkeys(OF_CLASSES, 100.0)
    )
    assert score(
        list(OF_NUMBERS), np.array([[1.0], [2.0], [4.0]]), np.array([2.0, 4.0, 8.0])
    ) == pytest.approx(dict.fromkeys(OF_NUMBERS, 100.0))


def test_score_returns_plain_numbers_in_the_order_asked_for():
    found = score(["mcc", "accuracy"], one_hot([0, 1], 2), np.array([0, 1]))
    assert list(found) == ["mcc", "accuracy"] and all(type(value) is float for value in found.values())


def test_score_refuses_an_unknown_metric():
    with pytest.raises(InputError) as caught:
        score(["accuracy", "bleu"], one_hot([0, 1], 2), np.array([0, 1]))
    assert str(caught.value) == "no metric 'bleu'; choose from accuracy, f1, macro_f1, mcc, pearson, spearman"


@pytest.mark.parametrize(
    ("logits", "constant"),
    [
        ([[0.1, 0.9], [-5, 3], [2, 2.1]], True),
        ([[0.1, 0.9], [-5, 3], [2, 1.9]], False),
        ([[0, 0, 1], [0, 1, 2], [9, 9, 10]], True),
        ([[2.5], [2.5005], [2.5009]], True),
        ([[2.5], [2.5005], [2.502]], False),
        ([[-1.0], [1.0]], False),
        ([[4.0]], True),
    ],
)
def test_is_constant_only_if_one_class_is_predicted(logits, constant):
    """Of ten examples or more."""
    task = SentenceEvaluation(Path(), TaskInfo("x", PREDICTION, 1, (), (), 16))
    assert task.is_constant(np.array(logits * 10, dtype=np.float32)) is constant
    assert not task.is_constant(np.array(logits * 3, dtype=np.float32)[:9])
