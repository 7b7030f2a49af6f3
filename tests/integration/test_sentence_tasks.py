"""Sentence tasks from raw text to predictions, through the commands."""

import json
import re
import shutil
import sys

import numpy as np
import pytest
import torch

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.info import read_task_info
from fairseq_electra.finetuning.kinds import evaluation_of
from fairseq_electra.finetuning.nets import read_net
from fairseq_electra.finetuning.results import table
from fairseq_electra.finetuning.sentences.metrics import score
from fairseq_electra.finetuning.sentences.scores import targets_of
from fairseq_electra.finetuning.sentences.submission import write_submission
from fairseq_electra.finetuning.study import Settings, study
from fairseq_electra.finetuning.trainable import trainable
from fairseq_electra.hub.interface import from_pretrained
from tests.helpers.commands import electra, electra_process, fairseq_process, run
from tests.helpers.paths import USER_DIR
from tests.helpers.sentence_tasks import (
    CHOICE,
    NUMBERS,
    PAIR,
    SINGLE,
    SIZES,
    logits_in,
    predict,
    stock,
    texts_of,
)
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import assert_same_weights, read, weights

KINDS = (SINGLE, PAIR, NUMBERS, CHOICE)


@pytest.fixture(scope="module")
def results(tmp_path_factory, sources, checkpoint):
    """Four tasks, two rates, two seeds."""
    folder = tmp_path_factory.mktemp("runs")
    done = electra(
        *("finetune", "--data", *(sources / "bin" / name for name in KINDS), "--output", folder / "runs"),
        *("--net", f"ours={checkpoint}", "--seeds", "2", "--epochs", "1", "single=2"),
        *["--lr", "1e-3", "1e-2", "--batch-size", "8", "--keep-checkpoints", "--processes", "2", "--"],
        *["--head-dropout", "0"],
    )
    return folder / "runs", json.loads((folder / "runs" / "results.json").read_text()), done.stdout


def test_a_study_runs_every_net_task_and_seed_and_says_what_came_out(results, checkpoint):
    folder, found, printed = results
    done = {(each["net"], each["task"], each["lr"], each["seed"]) for each in found["runs"]}
    # two rates with the seed that chooses, two seeds at the better one
    assert len(done) == len(found["runs"]) == len(KINDS) * (2 + 2)
    assert {(line["net"], line["task"]) for line in found["summary"]} == {
        (net, task) for net in ("ours",) for task in KINDS
    }
    assert (
        found["nets"][0]["sha256"] == read_net(f"x={checkpoint}").sha256
        and len(found["nets"][0]["sha256"]) == 64
    )
    assert {"torch", "fairseq_electra", "commit"} <= found["versions"].keys()
    assert table(found) in printed
    page = (folder / "results.md").read_text()
    assert (
        table(found) in page
        and found["nets"][0]["sha256"] in page
        and f"torch {found['versions']['torch']}" in page
    )
    for line in found["summary"]:
        metric = next(iter(line["metrics"]["valid"]))
        of_rate = {
            each["lr"]: each
            for each in found["runs"]
            if (each["net"], each["task"], each["seed"]) == (line["net"], line["task"], 0)
        }
        assert line["lr"] == max(sorted(of_rate), key=lambda lr: of_rate[lr]["metrics"]["valid"][metric])
        edge = "lowest" if line["lr"] == 1e-3 else "highest"
        assert line["choice"] == {"seed": 0, "rates": [1e-3, 1e-2], "edge": edge} and line["seeds"] == [1, 2]
        assert (
            f"{line['net']}, {line['task']}: {line['lr']:g} is the {edge} of 0.001, 0.01" in page
            and "seed 0" in printed
        )
        values = line["metrics"]["valid"][metric]["values"]
        assert len(values) == 2 and line["metrics"]["valid"][metric]["median"] == pytest.approx(
            sum(values) / 2
        )
        assert line["metrics"]["valid"][metric]["standard_deviation"] == pytest.approx(
            abs(values[0] - values[1]) / 2**0.5
        )


def test_scores_are_those_of_the_saved_nets_and_ensembles_those_of_the_mean(results, sources):
    folder, found, _ = results
    line = next(each for each in found["summary"] if (each["net"], each["task"]) == ("ours", SINGLE))
    data, each = sources / "bin" / SINGLE, []
    info = read_task_info(data)
    target = targets_of(data, info, "valid")
    for seed in (1, 2):
        place = folder / "ours" / SINGLE / f"lr{line['lr']:g}-seed{seed}"
        logits = logits_in(place)
        assert {split: len(scores) for split, scores in logits.items()} == {
            "valid": SIZES["valid"],
            "test": SIZES["test"],
        }
        fresh = evaluation_of(data).scores(
            from_pretrained(place / "checkpoints", "checkpoint_last.pt"), "valid"
        )
        assert np.array_equal(fresh, logits["valid"])
        assert (
            score(info.metrics, logits["valid"], target)["mcc"]
            == line["metrics"]["valid"]["mcc"]["values"][seed - 1]
        )
        each.append(logits["valid"])
    ensemble = score(info.metrics, (each[0] + each[1]) / 2, target)
    assert {name: metric["ensemble"] for name, metric in line["metrics"]["valid"].items()} == pytest.approx(
        ensemble
    )


def test_fairseqs_own_metrics_are_ours(results):
    """Compare the stock criterion's last metrics with scikit-learn and scipy on the saved scores."""
    folder, found, _ = results
    for task, metric in (
        (SINGLE, "mcc"),
        (SINGLE, "accuracy"),
        (SINGLE, "f1"),
        (NUMBERS, "pearson"),
        (NUMBERS, "spearman"),
    ):
        each = next(each for each in found["runs"] if (each["net"], each["task"]) == ("ours", task))
        log = (folder / "ours" / task / f"lr{each['lr']:g}-seed{each['seed']}.log").read_text()
        logged = float(re.findall(rf'"valid_{metric}": "?([-0-9.]+)', log)[-1])
        assert each["metrics"]["valid"][metric] == pytest.approx(logged, abs=0.051), (task, metric)


def test_what_was_done_is_not_done_again_and_what_differs_is_refused(results, sources, checkpoint):
    folder, found, _ = results
    said = []
    data = [sources / "bin" / SINGLE]
    nets = [read_net(f"ours={checkpoint}")]
    settings = Settings({"": 1, SINGLE: 2}, 8, ("--head-dropout", "0"))
    again = study(nets, data, folder, settings, rates=[1e-3, 1e-2], seeds=[1, 2], say=said.append)
    assert said == [] and again["summary"] == [
        line for line in found["summary"] if (line["net"], line["task"]) == ("ours", SINGLE)
    ]
    changes = {
        "options": (nets[0], Settings({SINGLE: 3}, 8)),
        "checkpoint and options": (read_net("ours=scratch:tiny"), settings),
    }
    for differs, (net, changed) in changes.items():
        with pytest.raises(InputError, match=f"was begun with other {differs}; remove it"):
            study([net], data, folder, changed, rates=[1e-3, 1e-2], seeds=[1, 2], say=said.append)


def test_a_run_that_was_broken_off_is_not_taken_for_another(tmp_path, results, sources, checkpoint):
    """Its checkpoint would be gone on with; and data that was changed in place is other data."""
    folder, found, _ = results
    line = next(each for each in found["summary"] if each["task"] == SINGLE)
    name = f"ours/{SINGLE}/lr{line['lr']:g}-seed1"
    shutil.copytree(folder / name, tmp_path / name)
    (tmp_path / name / "result.json").unlink()
    shutil.copytree(sources / "bin" / SINGLE, tmp_path / "data")
    plan = {"rates": [line["lr"]], "seeds": [1]}
    with pytest.raises(InputError, match="begun with other options"):
        study(
            [read_net(f"ours={checkpoint}")],
            [tmp_path / "data"],
            tmp_path,
            Settings({"": 2}, 8, ("--head-dropout", "0.3")),
            **plan,
        )
    settings = Settings({"": 2}, 8, ("--head-dropout", "0"))
    again = study([read_net(f"ours={checkpoint}")], [tmp_path / "data"], tmp_path, settings, **plan)
    assert (
        again["summary"][0]["metrics"]["valid"]["mcc"]["values"][0]
        == line["metrics"]["valid"]["mcc"]["values"][0]
    )
    with open(tmp_path / "data" / "task.json", "a") as stream:
        stream.write("\n")
    with pytest.raises(InputError, match="begun with other data"):
        study([read_net(f"ours={checkpoint}")], [tmp_path / "data"], tmp_path, settings, **plan)


@pytest.mark.parametrize("name", KINDS)
def test_predictions_of_raw_text_are_those_of_the_study_in_order_without_source_or_data(
    tmp_path, results, sources, name
):
    """The run's folder alone is moved; neither the data nor the pre-training checkpoint is within reach."""
    folder, found, _ = results
    line = next(each for each in found["summary"] if (each["net"], each["task"]) == ("ours", name))
    place = folder / "ours" / name / f"lr{line['lr']:g}-seed1"
    shutil.copytree(place / "checkpoints", tmp_path / "moved")
    config = torch.load(tmp_path / "moved" / "checkpoint_last.pt", weights_only=True)
    task = config["cfg"]["task"]
    (task if isinstance(task, dict) else vars(task))["data"] = "/nowhere"
    config["cfg"]["checkpoint"]["finetune_from_model"] = "/nowhere/checkpoint.pt"
    torch.save(config, tmp_path / "moved" / "checkpoint_last.pt")
    answers = predict(tmp_path / "moved", texts_of(sources, name, "test"), cwd=tmp_path)
    expected = logits_in(place)["test"]
    assert np.abs(np.array([answer["logits"] for answer in answers]) - expected).max() < 1e-5
    if name == NUMBERS:
        assert [answer["score"] for answer in answers] == [answer["logits"][0] for answer in answers]
        return
    labels = [answer["choice"] if name == CHOICE else answer["label"] for answer in answers]
    known = {SINGLE: ["0", "1"], PAIR: ["long", "short"], CHOICE: [0, 1, 2, 3]}[name]
    assert labels == [known[i] for i in expected.argmax(1)]
    shares = torch.tensor(expected, dtype=torch.float64).softmax(1).tolist()
    found = [answer["probabilities"] for answer in answers]
    assert [list(each.values()) if name != CHOICE else each for each in found] == [
        pytest.approx(each, abs=1e-6) for each in shares
    ]


def test_logits_do_not_depend_on_the_batch(results, sources):
    folder, found, _ = results
    line = next(each for each in found["summary"] if (each["net"], each["task"]) == ("ours", PAIR))
    place, data = folder / "ours" / PAIR / f"lr{line['lr']:g}-seed1" / "checkpoints", sources / "bin" / PAIR
    several = []
    for max_tokens in (1, 100, 100_000):
        net = from_pretrained(place, "checkpoint_last.pt")
        net.max_tokens = max_tokens
        several.append(evaluation_of(data).scores(net, "valid"))
    for other in several[1:]:
        assert np.abs(other - several[0]).max() < 1e-5 and np.array_equal(
            other.argmax(1), several[0].argmax(1)
        )


@pytest.mark.long
def test_the_same_seed_gives_the_same_run_with_any_number_of_workers(tmp_path, sources, checkpoint):
    found = []
    for i, workers in enumerate(("0", "0", "2")):
        fairseq_process(
            "train",
            *stock(
                *[sources / "bin" / PAIR, tmp_path / str(i), checkpoint, "--max-update", "4"],
                *["--num-workers", workers],
            ),
        )
        found.append(weights(tmp_path / str(i)))
    assert_same_weights(found[0], found[1])
    assert_same_weights(found[0], found[2])
    fairseq_process(
        "train",
        *stock(sources / "bin" / PAIR, tmp_path / "seed", checkpoint, "--max-update", "4", "--seed", "2"),
    )
    assert any(not torch.equal(tensor, found[0][key]) for key, tensor in weights(tmp_path / "seed").items())


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(SINGLE, marks=pytest.mark.long),
        pytest.param(NUMBERS, marks=pytest.mark.by_hand),
        pytest.param(CHOICE, marks=pytest.mark.long),
    ],
)
def test_one_process_and_two_ranks_have_the_same_losses_and_metrics(tmp_path, sources, checkpoint, name):
    """21 examples in batches of 4 for two ranks: the last batches are unequal, and one rank has one less."""
    more = [
        *["--batch-size", "4", "--max-update", "5", "--head-dropout", "0", "--num-workers", "0"],
        "--no-save",
    ]
    own = stock(sources / "bin" / name, tmp_path / "one", checkpoint, *more, "--update-freq", "2")
    one = fairseq_process("train", *own)
    own = stock(sources / "bin" / name, tmp_path / "two", checkpoint, *more)
    two = electra_process("launch", "-n", "2", "--", "fairseq-train", *own, "--user-dir", USER_DIR)
    assert "2 processes have joined" in two.stdout + two.stderr
    logs = [
        read(done.stdout + done.stderr, tmp_path / rank, 0) for rank, done in (("one", one), ("two", two))
    ]
    # logged to three places
    assert len(logs[0].losses) == 5 and logs[1].losses == pytest.approx(logs[0].losses, abs=2e-3)
    metrics = {SINGLE: ("mcc", "f1", "accuracy"), NUMBERS: ("pearson", "spearman"), CHOICE: ("accuracy",)}[
        name
    ]
    for log in logs:
        log.records = [record for record in log.records if record["subset"] == "valid"]
    left, right = (log.records[-1] for log in logs)
    for metric in (*metrics, "loss"):
        assert right[metric] == pytest.approx(left[metric], abs=2e-3), metric


@pytest.mark.long
def test_a_net_that_was_fine_tuned_starts_the_next_task_with_a_head_of_its_own(tmp_path, results, sources):
    """Check STILTs: a checkpoint of a task with two classes starts one with numbers and one with choices."""
    folder, found, _ = results
    line = next(each for each in found["summary"] if (each["net"], each["task"]) == ("ours", PAIR))
    first = folder / "ours" / PAIR / f"lr{line['lr']:g}-seed1" / "checkpoints" / "checkpoint_last.pt"
    data = [sources / "bin" / name for name in (NUMBERS, CHOICE)]
    net, settings = read_net(f"next={first}"), Settings({"": 1}, 16)
    more = study([net], data, tmp_path, settings, rates=[1e-4], seeds=[1], keep_checkpoints=True)
    assert len(more["summary"]) == 2
    tuned = weights(tmp_path / "next" / NUMBERS / "lr0.0001-seed1" / "checkpoints")
    head = f"classification_heads.{NUMBERS}_head.prediction"
    assert {key for key in tuned if "heads" in key} == {f"{head}.weight", f"{head}.bias"}
    before = weights(first.parent)["encoder.layers.0.output.weight"]
    assert 0 < (tuned["encoder.layers.0.output.weight"] - before).abs().max() < 1e-2


def test_runs_gone_wrong_are_flagged_and_do_not_stop_the_others(tmp_path, sources):
    """Check three rates: the loss overflows, all predictions become the same, or the rate is chosen."""
    settings = Settings({"": 1}, 16, ("--head-dropout", "0", *TINY_NET))
    data = [sources / "bin" / NUMBERS]
    found = study([read_net("scratch=scratch:tiny")], data, tmp_path, settings, rates=[1e30, 1e-3], seeds=[1])
    assert {each["lr"]: each["trouble"] for each in found["runs"]} == {1e30: "diverged", 1e-3: ""}
    assert found["summary"][0]["lr"] == 1e-3 and found["summary"][0]["degenerate_seeds"] == {}
    found = study([read_net("scratch=scratch:tiny")], data, tmp_path, settings, rates=[1e30], seeds=[1])
    assert (
        found["summary"][0]["degenerate_seeds"] == {"1": "diverged"} and found["summary"][0]["metrics"] == {}
    )
    found = study(
        [read_net("scratch=scratch:tiny")],
        [sources / "bin" / SINGLE],
        tmp_path,
        settings,
        rates=[1.0],
        seeds=[1],
    )
    logits = logits_in(tmp_path / "scratch" / SINGLE / "lr1-seed1")["valid"]
    assert len(set(logits.argmax(1).tolist())) == 1
    assert found["summary"][0]["degenerate_seeds"] == {"1": "constant"} and ", 1 constant)" in table(found)


def test_a_net_of_mnli_is_scored_on_both_sets_and_judges_the_diagnostic_one(tmp_path, vocabulary):
    labels = ["contradiction", "entailment", "neutral"]
    files = {
        "MNLI/train": 24,
        "MNLI/dev_matched": 6,
        "MNLI/dev_mismatched": 9,
        "MNLI/test_matched": 4,
        "MNLI/test_mismatched": 5,
    }
    for name, size in (files | {"diagnostic/diagnostic": 7}).items():
        named = "test" not in name and "diagnostic" not in name
        lines = [
            f"{i}\tclass {i}\tvalue {i % 3}" + (f"\t{labels[i % 3]}" if named else "") for i in range(size)
        ]
        (tmp_path / "GLUE" / name).parent.mkdir(parents=True, exist_ok=True)
        header = "index\tsentence1\tsentence2" + ("\tgold_label" if named else "")
        (tmp_path / "GLUE" / f"{name}.tsv").write_text("\n".join([header, *lines]) + "\n")
    line = ["prepare", "--vocab", vocabulary, "--glue", tmp_path / "GLUE", "--destdir"]
    electra(*line, tmp_path / "held-out", "--hold-out", "0.25")
    (choice,) = (tmp_path / "held-out").iterdir()  # the diagnostic set has no training examples
    assert choice.name == "MNLI" and not list(choice.rglob("*valid1*")) and not list(choice.rglob("*test*"))
    electra(*line, tmp_path / "bin")
    examples = [trainable(tmp_path / each / "MNLI").info.examples for each in ("held-out", "bin")]
    assert examples[0]["train"] + examples[0]["valid"] == examples[1]["train"]
    settings = Settings({"": 1}, 8, tuple(TINY_NET))
    found = study(
        [read_net("x=scratch:tiny")],
        [tmp_path / "bin" / "MNLI"],
        tmp_path / "runs",
        settings,
        rates=[1e-3],
        seeds=[1, 2],
    )
    assert set(found["summary"][0]["metrics"]) == {
        "valid",
        "valid1",
    } and "| MNLI, mismatched, accuracy |" in table(found)
    write_submission(found, tmp_path / "runs", "x", tmp_path / "submission")
    sizes = {
        path.name: len(path.read_text().splitlines()) - 1 for path in (tmp_path / "submission").iterdir()
    }
    assert sizes == {"MNLI-m.tsv": 4, "MNLI-mm.tsv": 5, "AX.tsv": 7}


@pytest.mark.long
def test_hydra_gives_the_command_lines_losses(tmp_path, sources, checkpoint):
    own = stock(
        sources / "bin" / SINGLE, tmp_path / "line", checkpoint, "--max-update", "4", "--num-workers", "0"
    )
    fairseq_process("train", *own)
    made = electra_process(
        "config",
        "--",
        "fairseq-train",
        *own[:-4],
        *["--max-update", "4", "--num-workers", "0", "--user-dir", USER_DIR],
    )
    (tmp_path / "single.yaml").write_text(made.stdout)
    hydra = [
        *[sys.executable, "-m", "fairseq_cli.hydra_train", "--config-dir", tmp_path],
        *["--config-name", "single"],
    ]
    run([*hydra, f"checkpoint.save_dir={tmp_path}/hydra"], cwd=tmp_path)
    assert_same_weights(weights(tmp_path / "line"), weights(tmp_path / "hydra"))
