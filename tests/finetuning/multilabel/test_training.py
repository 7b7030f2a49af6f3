"""The multi-label loss and metrics against formulas written out here, and rows against their texts."""

import math

import numpy as np
import pytest
import torch

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.info import read_task_info
from fairseq_electra.finetuning.multilabel.folder import LabelFolder, label_table
from fairseq_electra.finetuning.multilabel.metrics import labels_in_words, score_labels
from fairseq_electra.finetuning.multilabel.prepare import prepare_multi_label
from fairseq_electra.finetuning.multilabel.training import LabelTraining
from fairseq_electra.pretraining.wordpiece import load_wordpiece

TEXTS = [("a class of objects", "python"), ("no", "the module"), ("return the value of it", "a")]
TOPICS = ["x,y", "", "y"]


@pytest.fixture
def folder(tmp_path, vocabulary):
    lines = "".join(f"{a}\t{b}\t{labels}\n" for (a, b), labels in zip(TEXTS, TOPICS, strict=True))
    (tmp_path / "train.tsv").write_text(f"one\ttwo\ttopics\n{lines}")
    (tmp_path / "test.tsv").write_text("one\ttwo\na\tb\n")
    files = {"train": tmp_path / "train.tsv", "test": tmp_path / "test.tsv"}
    prepare_multi_label(
        tmp_path / "bin", vocabulary, text=["one", "two"], label="topics", max_positions=16, say=str, **files
    )
    return tmp_path / "bin"


def f1(given, right):
    """2 TP / (2 TP + FP + FN) of two lists of truths."""
    both = sum(a and b for a, b in zip(given, right, strict=True))
    return 2 * both / (sum(given) + sum(right)) if sum(given) + sum(right) else 0.0


@pytest.mark.parametrize("number", [1, 2, 5])
def test_score_labels_is_the_formula(number):
    rng = np.random.default_rng(number)
    logits, target = rng.normal(size=(40, number)), rng.random((40, number)) < 0.4
    # never given; of five never right either
    logits[:, -1], target[:, -1] = (-np.abs(logits[:, -1]), target[:, -1] & (number < 5))
    given, right = (logits > 0).T.tolist(), target.T.tolist()
    exact = sum(row == other for row, other in zip((logits > 0).tolist(), target.tolist(), strict=True)) / 40
    flat = [value for label in given for value in label], [value for label in right for value in label]
    macro = sum(f1(a, b) for a, b in zip(given, right, strict=True)) / number
    assert score_labels(logits, target) == pytest.approx(
        {"micro_f1": 100 * f1(*flat), "macro_f1": 100 * macro, "exact_match": 100 * exact}
    )


def test_score_labels_of_one_label_does_not_take_its_absence_for_a_class():
    assert score_labels(np.array([[1.0], [-1.0], [-1.0]]), np.array([[True], [True], [False]]))[
        "micro_f1"
    ] == pytest.approx(200 / 3)
    assert score_labels(np.array([[-1.0]]), np.array([[False]])) == {
        "micro_f1": 0.0,
        "macro_f1": 0.0,
        "exact_match": 100.0,
    }


def test_loss_is_the_mean_over_labels_of_minus_the_log_of_what_is_right(folder):
    training = LabelTraining(folder, read_task_info(folder), 1001)
    rows = training.rows("train")
    batch = rows.collater([0, 1, 2])
    assert batch["target"].tolist() == [[1, 1], [0, 0], [0, 1]] and training.number_of_results(rows) == 3
    scores = torch.tensor([[0.5, -2.0], [30.0, -30.0], [1.0, 200.0]])
    expected = 0.0
    for own, target in zip(scores.tolist(), batch["target"].tolist(), strict=True):
        for score, has in zip(own, target, strict=True):
            towards = score if has else -score
            expected += math.log1p(math.exp(-towards)) / 2 if towards > -100 else -towards / 2
    loss, size = training.loss(scores, batch)
    assert size == 3 and float(loss) == pytest.approx(expected, rel=1e-6)
    half, number = training.loss(scores.bfloat16(), batch)
    assert half.dtype == torch.float32 and number == 3, "a loss is not summed in bfloat16"


def test_score_takes_what_was_gathered_in_any_order(folder):
    training = LabelTraining(folder, read_task_info(folder), 1001)
    rows = training.rows("train")
    scores = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
    gathered = training.results(scores, rows.collater([0, 1, 2])).numpy()[[2, 0, 1]]
    assert training.score(rows, gathered) == pytest.approx(score_labels(scores.numpy(), rows.texts.targets))
    assert training.predictions(gathered).tolist() == [[1, 0], [1, 1], [0, 0]]
    assert [training.in_words(said) for said in training.predictions(gathered)] == [
        "'x'",
        "'x' and 'y'",
        "no label",
    ]
    assert labels_in_words(["a"], [0.0]) == "no label"


def test_rows_are_the_texts_with_their_separators_cut_to_the_longest_row(folder, vocabulary):
    info, tokenizer = read_task_info(folder), load_wordpiece(vocabulary)
    texts = LabelFolder(folder, "train", info, tokenizer.get_vocab_size())
    for i, (a, b) in enumerate(TEXTS):
        one, two = (tokenizer.encode(text, add_special_tokens=False).ids for text in (a, b))
        assert len(one) + len(two) <= 13, "nothing is cut"
        assert texts.row(i).tolist() == [0, *one, 2, *two, 2] and texts.sizes[i] == len(one) + len(two) + 3
    batch = LabelTraining(folder, info, tokenizer.get_vocab_size()).rows("train").collater([1, 0])
    assert batch["net_input"]["src_tokens"][0].tolist() == [
        *texts.row(1),
        *[1] * (texts.sizes[0] - texts.sizes[1]),
    ]
    assert batch["ntokens"] == texts.sizes[:2].sum() and batch["nsentences"] == 2


def test_a_label_table_that_is_missing_or_of_other_labels_is_refused(folder):
    info = read_task_info(folder)
    assert (
        info.labels == ("x", "y") and info.unlabelled == ("test",) and info.inputs == 2 and info.scheme == ","
    )
    with pytest.raises(InputError, match=r"cannot read .*test\.npy"):
        LabelFolder(folder, "test", info, 1001)
    np.save(folder / "label" / "train.npy", label_table([["x"]], ["x", "y"]))
    with pytest.raises(
        InputError, match=r"train\.npy does not hold 2 labels of each example; make the folder again"
    ):
        LabelFolder(folder, "train", info, 1001)
    (folder / "label" / "train.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(InputError, match=r"cannot read .*train\.npy"):
        LabelFolder(folder, "train", info, 1001)
