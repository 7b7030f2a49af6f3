"""The quick start's steps; all of them together, on little data, in the long tests."""

import argparse
import json

import pytest

from fairseq_electra.cli import quickstart
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning import nets, study
from fairseq_electra.finetuning.info import read_task_info
from fairseq_electra.pretraining.encode import encode_to_binary
from fairseq_electra.pretraining.wordpiece import load_wordpiece


def line_of(net: str, **troubles: str) -> dict:
    accuracy = {"values": [1.0, 2.0, 3.0][len(troubles) :]}
    return {"net": net, "lr": 1e-4, "degenerate_seeds": troubles, "metrics": {"test": {"accuracy": accuracy}}}


@pytest.fixture
def studies(monkeypatch):
    """What the study was asked for; ``studies.summary`` is what it answers."""

    class Studies(list):
        summary = (line_of("scratch"), line_of("pretrained"))

    found = Studies()
    monkeypatch.setattr(nets, "read_net", lambda text: text)
    monkeypatch.setattr(
        study, "study", lambda *args, **more: found.append((args, more)) or {"summary": found.summary}
    )
    return found


def test_finetune_asks_the_study_for_rates_by_a_seed_that_it_does_not_report(tmp_path, studies):
    assert quickstart.finetune(tmp_path) == {
        net: {"lr": 1e-4, "accuracy": [1, 2, 3]} for net in ("scratch", "pretrained")
    }
    (((asked, folders, _, settings), more),) = studies
    assert asked == ["scratch=scratch:tiny", f"pretrained={tmp_path}/pretrained/checkpoint_last.pt"]
    assert folders == [tmp_path / "swap-bin"] and settings.extra[:3] == (
        "--bias-correction",
        "--pooling",
        "mean",
    )
    assert more["rates"] == quickstart.LEARNING_RATES and study.CHOICE_SEED not in more["seeds"] == (1, 2, 3)


def test_finetune_refuses_a_run_that_diverged(tmp_path, studies):
    studies.summary = (line_of("scratch", **{"2": "constant"}), line_of("pretrained", **{"3": "diverged"}))
    with pytest.raises(
        InputError, match=r"pretrained diverged with seed 3; its logs are in .*finetune/pretrained"
    ):
        quickstart.finetune(tmp_path)


@pytest.fixture
def few(monkeypatch) -> None:
    monkeypatch.setattr(quickstart, "EXAMPLES", {"train": 40, "valid": 20, "test": 30})
    monkeypatch.setattr(quickstart, "VOCABULARY", 1000)


def test_prepare_makes_what_the_other_commands_make(tmp_path, corpus_lines, few):
    (tmp_path / "text").mkdir()
    for split in ("train", "valid", "test"):
        (tmp_path / "text" / f"{split}.txt").write_text("\n".join(corpus_lines[:300]) + "\n")
        lines = [f"{i % 2}\tthe name number {i} is good\n" for i in range(50)]
        (tmp_path / "text" / f"{split}.swap.tsv").write_text("".join(lines))
    quickstart.prepare(tmp_path)
    info = read_task_info(tmp_path / "swap-bin")
    assert (
        info.labels == ("0", "1") and info.examples == quickstart.EXAMPLES and info.columns == ("sentence",)
    )
    assert not (tmp_path / "data-bin" / "test.bin").exists()
    encode_to_binary(
        load_wordpiece(tmp_path / "vocab"),
        corpus_lines[:300],
        tmp_path / "again" / "train",
        tmp_path / "vocab",
    )
    assert (tmp_path / "again" / "train.bin").read_bytes() == (
        tmp_path / "data-bin" / "train.bin"
    ).read_bytes()
    assert quickstart.majority(tmp_path) == 50 and 0 <= quickstart.tfidf(tmp_path) <= 100


def test_table_says_when_the_difference_is_too_small():
    results = {
        "majority": 50.0,
        "tfidf": 55.0,
        "scratch": {"lr": 1e-3, "accuracy": [50, 51, 52]},
        "pretrained": {"lr": 1e-4, "accuracy": [50, 53, 52]},
    }
    assert "NOT above twice" in quickstart.table(results)
    results["pretrained"]["accuracy"] = [60, 61, 62]
    assert "10.0, above twice" in quickstart.table(results)


@pytest.mark.long
def test_run_does_all_steps_and_refuses_to_do_them_again(tmp_path, few, capsys):
    args = argparse.Namespace(output=str(tmp_path), updates=4)
    quickstart.run(args)
    results = json.loads((tmp_path / "results.json").read_text())
    assert [len(results[net]["accuracy"]) for net in quickstart.MODELS] == [3, 3]
    shown = capsys.readouterr().out
    assert quickstart.table(results) in shown and "100%   masked_lm_accuracy" in shown
    with pytest.raises(InputError, match="holds a finished or interrupted run"):
        quickstart.run(args)
