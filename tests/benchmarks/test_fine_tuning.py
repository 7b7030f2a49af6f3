"""The comparison with transformers' Trainer: equal rows, equal functions at the start, means, a whole run."""

import copy
import json
import sys

import numpy as np
import pytest
import torch

from benchmark import fine_tuning, fine_tuning_baseline
from fairseq_electra.finetuning.sentences import PREDICTION
from fairseq_electra.finetuning.sentences.folder import encode_texts, fit, rows_of
from fairseq_electra.finetuning.sentences.head import SentenceHead
from fairseq_electra.finetuning.sentences.read import Example
from fairseq_electra.interchange.transformers_folder import read_folder
from tests.helpers.commands import run
from tests.helpers.transformers_models import SMALL, in_their_order, save_theirs, transformers

PAD = 1
SIZES = {name: size for name, size in SMALL.items() if name != "embedding_size"}
PAIRS = [
    ("The name of a class is a string.", "A name."),
    ("It returns a list, or none. " * 9, "The function returns. " * 9),
]


@pytest.fixture
def bert(tmp_path, vocabulary):
    return save_theirs(
        tmp_path / "theirs",
        in_their_order(vocabulary),
        "Bert",
        sizes=SIZES,
        generator=None,
        class_name="BertModel",
    ).folder


def test_both_sides_cut_pairs_to_the_same_rows(bert):
    imported = read_folder(bert)
    examples = [Example(pair, "no", "") for pair in PAIRS]
    theirs = fine_tuning_baseline.rows_of(
        examples, ("yes", "no"), transformers.AutoTokenizer.from_pretrained(bert), 64
    )
    texts = encode_texts(imported.pretrained.tokenizer, PAIRS)
    ours = [rows_of(fit(each, PREDICTION, 64), PREDICTION)[0] for each in texts]
    assert [imported.order[row].tolist() for row in ours] == [row["input_ids"] for row in theirs] and len(
        ours[1]
    ) == 64
    assert [row["labels"] for row in theirs] == [1, 1]


def test_both_sides_compute_the_same_function_of_the_same_weights(bert):
    imported = read_folder(bert)
    theirs = fine_tuning_baseline.Classifier(str(bert), 3).double().eval()
    head = SentenceHead(SIZES["hidden_size"], 3, 0.1, "mean").double().eval()
    head.prediction = copy.deepcopy(theirs.prediction)
    row = rows_of(encode_texts(imported.pretrained.tokenizer, PAIRS[:1])[0], PREDICTION)[0]
    rows = torch.tensor([[*row, PAD, PAD, PAD]])
    padding, segments = rows == PAD, ((rows == 2).long().cumsum(1) - (rows == 2).long()).clamp(max=1)
    inputs = {
        "input_ids": imported.order[rows],
        "token_type_ids": segments,
        "attention_mask": (~padding).long(),
    }
    with torch.no_grad():
        expected = theirs(labels=torch.tensor([1]), **inputs)
        ours = head(imported.pretrained.model.double().extract_features(rows, segments, padding), padding)
    assert (ours - expected["logits"]).abs().max() < 1e-11
    assert expected["loss"] == pytest.approx(-float(ours.log_softmax(-1)[0, 1]))
    number = fine_tuning_baseline.Classifier(str(bert), 1).eval()
    with torch.no_grad():
        found = number(labels=torch.tensor([2.5]), **inputs)
    assert float(found["loss"]) == pytest.approx((float(found["logits"]) - 2.5) ** 2, rel=1e-5)


def test_means_are_compared_by_the_standard_error_of_their_difference():
    found = fine_tuning.compared([50.0, 52.0, 54.0], [51.0, 51.0, 54.0])
    error = np.sqrt((np.std([50, 52, 54], ddof=1) ** 2 + np.std([51, 51, 54], ddof=1) ** 2) / 3)
    assert found["difference"] == 0 and found["standard_error"] == pytest.approx(error)


@pytest.mark.long
@pytest.mark.skipif(fine_tuning.find_spec("accelerate") is None, reason="accelerate is not installed")
def test_a_comparison_is_made_once_and_kept(bert, tmp_path):
    for split, number in (("train", 32), ("dev", 16)):
        (tmp_path / "glue" / "RTE").mkdir(parents=True, exist_ok=True)
        lines = [
            f"{i}\tThe name is {i}.\tA name {i % 3}.\t{('entailment', 'not_entailment')[i % 2]}"
            for i in range(number)
        ]
        (tmp_path / "glue" / "RTE" / f"{split}.tsv").write_text(
            "\n".join(["index\tsentence1\tsentence2\tlabel", *lines, ""])
        )
    line = [sys.executable, "-m", "benchmark.fine_tuning", bert, tmp_path / "glue"]
    line += "--tasks RTE --seeds 2 --epochs 1 --processes 1".split()
    line += ["--work", tmp_path / "work", "--output", tmp_path / "found.json"]
    first = run(line)
    found = json.loads((tmp_path / "found.json").read_text())["tasks"]["RTE"]
    assert len(found["ours"]) == len(found["theirs"]) == 2 and all(
        0 <= each <= 100 for each in found["ours"] + found["theirs"]
    )
    assert first.stdout.splitlines()[-3:] == run(line).stdout.splitlines()[-3:]
