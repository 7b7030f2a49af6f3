"""Weights of tags in the loss."""

import types

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from fairseq_electra.criterions.token_classification import TokenClassificationConfig, TokenClassificationLoss
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.class_weights import class_weights

LABELS = ("O", "B-a", "I-a", "=", "B-b")


def test_class_weights_balanced_are_those_of_scikit_learn():
    targets = np.random.default_rng(1).choice([0, 1, 2, 4], p=[0.8, 0.1, 0.07, 0.03], size=500)
    expected = dict(
        zip(
            [0, 1, 2, 4],
            compute_class_weight("balanced", classes=np.array([0, 1, 2, 4]), y=targets),
            strict=True,
        )
    )
    found = class_weights("balanced", LABELS, targets)
    assert found.dtype == np.float32 and found.tolist() == pytest.approx(
        [expected.get(i, 1) for i in range(5)]
    )


def test_class_weights_are_given_by_label():
    assert class_weights("O=0.1  ==3 B-b=2e1", LABELS, None).tolist() == pytest.approx([0.1, 1, 1, 3, 20])


def test_class_weights_reads_labels_with_blanks_and_common_ends():
    labels = ("sure", "not sure", "not", "a=b", "a")
    assert class_weights(" not sure=2 sure=3  a=b=4 a=5", labels, None).tolist() == [3, 2, 1, 4, 5]
    with pytest.raises(InputError, match="--class-weights not: write balanced, or LABEL=WEIGHT"):
        class_weights("sure=1 not so sure=2", labels, None)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("X=2", "--class-weights X=2: write balanced, or LABEL=WEIGHT, where the labels are O, B-a"),
        ("O", "--class-weights O: write balanced, or LABEL=WEIGHT"),
        ("O=1 B-a=0", "--class-weights B-a=0: the weight must be a number above 0"),
        ("O=much", "--class-weights O=much: the weight must be a number"),
        ("O=nan", "the weight must be a number above 0"),
        ("balanced", "--class-weights balanced counts the labels of train, which is not there"),
    ],
)
def test_class_weights_refuses_unusable_weights(given, sentence):
    with pytest.raises(InputError) as caught:
        class_weights(given, LABELS, None)
    assert str(caught.value).startswith(sentence) or sentence in str(caught.value)


def criterion(given=""):
    targets = np.array([0, 0, 0, 1, 2, 2])
    cfg, info = types.SimpleNamespace(classification_head_name="head"), types.SimpleNamespace(labels=LABELS)
    task = types.SimpleNamespace(cfg=cfg, info=info, targets_of_train=lambda: targets)
    return TokenClassificationLoss(TokenClassificationConfig(class_weights=given), task)


def batch(seed, rows):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(rows, 7, len(LABELS), generator=generator)
    return scores, {
        "target": torch.randint(-1, len(LABELS), (rows, 7), generator=generator),
        "ntokens": 7 * rows,
    }


@pytest.mark.parametrize("given", ["balanced", "O=0.25 B-b=7"])
def test_the_loss_is_the_weighted_sum_over_words_and_its_denominator_the_weights_sum(given):
    own, (scores, sample) = criterion(given), batch(1, 6)
    weights = class_weights(given, LABELS, np.array([0, 0, 0, 1, 2, 2]))
    total = size = 0.0
    for row, tags in zip(scores.double().numpy(), sample["target"].tolist(), strict=True):
        for word, tag in zip(row, tags, strict=True):
            if tag >= 0:
                total += weights[tag] * (np.log(np.exp(word).sum()) - word[tag])
                size += weights[tag]
    loss, sample_size, log = own.loss_of(scores, sample)
    assert loss.item() == pytest.approx(total, rel=1e-5) and sample_size == log[
        "sample_size"
    ] == pytest.approx(size, rel=1e-5)
    mean = torch.nn.functional.cross_entropy(
        scores.flatten(0, 1), sample["target"].flatten(), torch.from_numpy(weights), ignore_index=-1
    )
    assert (loss / sample_size).item() == pytest.approx(mean.item(), rel=1e-5)


@pytest.mark.parametrize("given", ["", "balanced"])
def test_loss_of_a_batch_is_the_sum_of_its_halves(given):
    own, (scores, sample) = criterion(given), batch(2, 6)
    whole = own.loss_of(scores, sample)
    halves = [
        own.loss_of(scores[half], {"target": sample["target"][half], "ntokens": 21})
        for half in (slice(0, 3), slice(3, 6))
    ]
    assert sum(loss.item() for loss, _, _ in halves) == pytest.approx(whole[0].item(), rel=1e-5)
    assert sum(size for _, size, _ in halves) == pytest.approx(whole[1], rel=1e-6)


def test_loss_without_weights_counts_words_and_saves_nothing():
    scores, sample = batch(3, 4)
    _, size, _ = criterion().loss_of(scores, sample)
    assert type(size) is int and size == int((sample["target"] >= 0).sum())
    assert criterion("balanced").state_dict() == {}
