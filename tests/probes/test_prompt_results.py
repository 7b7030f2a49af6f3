"""What the file of prompting's results holds, its intervals, and its table."""

import dataclasses
import json

import numpy as np
import pytest

from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.sentences import PREDICTION
from fairseq_electra.probes import prompt_results
from fairseq_electra.probes.few_shot import FewShot, Run
from fairseq_electra.probes.prompt_results import in_words, results, table, with_intervals
from fairseq_electra.probes.prompting import Outcome
from fairseq_electra.probes.results import described
from fairseq_electra.probes.templates import Template

INFO = TaskInfo("films", PREDICTION, 1, ("bad", "good"), ("accuracy", "f1"), 64)
TARGET = np.array([1, 1, 1, 0])


def predicting(*labels) -> np.ndarray:
    return np.eye(2)[list(labels)] - 0.5


@pytest.fixture
def outcome(monkeypatch) -> Outcome:
    monkeypatch.setattr(prompt_results, "SAMPLES", 20)
    runs = [Run(1, 1e-4, predicting(1, 1, 1, 0)), Run(2, 1e-3, predicting(0, 0, 1, 0))]
    return Outcome(
        INFO,
        "valid",
        Template("{text} It was {label}.", {"bad": "terrible", "good": "great"}),
        1,
        TARGET,
        {"discriminator": predicting(1, 1, 0, 0)},
        FewShot(16, (1, 2), (1e-4, 1e-3), 50),
        {"discriminator": runs},
    )


@pytest.fixture
def found(outcome, pretrained, tmp_path):
    (tmp_path / "checkpoint_last.pt").write_bytes(b"weights")
    model = dataclasses.replace(pretrained(), cfg={"model": {"model_size": "tiny", "generator_only": False}})
    return results(outcome, described(model, tmp_path))


def test_results_hold_every_run_and_the_most_frequent_label(found):
    assert json.loads(json.dumps(found)) == found and found["net"]["objective"] == "electra"
    assert found["task"] == {
        "name": "films",
        "split": "valid",
        "examples": 4,
        "shortened": 1,
        "most_frequent_label": "good",
        "metrics_of_most_frequent_label": {"accuracy": 75.0, "f1": pytest.approx(100 * 6 / 7)},
    }
    zero_shot = found["zero_shot"]["discriminator"]
    assert zero_shot["predicted"] == {"bad": 2, "good": 2}
    assert zero_shot["metrics"]["accuracy"]["value"] == 75 and zero_shot["metrics"]["f1"]["value"] == 80
    few_shot = found["few_shot"]["scores"]["discriminator"]
    assert [run["metrics"]["accuracy"] for run in few_shot["runs"]] == [100, 50]
    assert [(run["seed"], run["lr"]) for run in few_shot["runs"]] == [(1, 1e-4), (2, 1e-3)]
    assert few_shot["metrics"]["accuracy"] == {"mean": 75, "standard_deviation": pytest.approx(50 / 2**0.5)}


def test_table_and_words_say_what_the_results_hold(found):
    low, high = found["zero_shot"]["discriminator"]["metrics"]["accuracy"]["interval"]
    low_f1, high_f1 = found["zero_shot"]["discriminator"]["metrics"]["f1"]["interval"]
    assert low < 75 < high
    assert table(found).splitlines() == [
        "| films, valid, 4 examples | accuracy | f1 |",
        "|---|---:|---:|",
        "| most frequent label | 75.0 | 85.7 |",
        f"| discriminator, zero-shot | 75.0 [{low:.1f}, {high:.1f}] | 80.0 [{low_f1:.1f}, {high_f1:.1f}] |",
        "| discriminator, 16 examples per label | 75.0 ± 35.4 | 75.0 ± 35.4 |",
    ]
    said = in_words(found)
    assert "leaves out" not in said
    found["template"]["leaves_out"] = ["text1", "text2"]
    assert "the template leaves out {text1} and {text2}" in in_words(found)
    assert "template '{text} It was {label}.'; bad 'terrible', good 'great'" in said
    assert "1 of 4 examples have texts that were cut" in said and "discriminator 2 : 2" in said
    assert "standard deviation over 2 samples of the training examples, 50 updates of 8" in said


def test_results_of_zero_shot_alone_speak_of_no_training(outcome, pretrained, tmp_path):
    (tmp_path / "checkpoint_last.pt").write_bytes(b"weights")
    model = dataclasses.replace(pretrained(), cfg={"model": {"model_size": "tiny", "generator_only": True}})
    alone = results(dataclasses.replace(outcome, settings=None, runs={}), described(model, tmp_path))
    assert "few_shot" not in alone and "per label" not in table(alone) and "±" not in in_words(alone)


def test_with_intervals_is_the_spread_of_an_accuracy():
    """An interval of 95 % of a mean of n independent answers is about 2 * 1.96 standard errors wide."""
    target = np.zeros(400, int)
    scores = predicting(*(np.arange(400) % 4 == 0).astype(int))
    (metric,) = with_intervals(["accuracy"], scores, target).values()
    low, high = metric["interval"]
    assert metric["value"] == 75 and low < 75 < high
    assert high - low == pytest.approx(2 * 1.96 * 100 * (0.75 * 0.25 / 400) ** 0.5, rel=0.1)
