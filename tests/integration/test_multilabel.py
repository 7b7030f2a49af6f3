"""Several labels for a text, from files to predictions, through fairseq-train and the commands."""

import json

import numpy as np
import pytest

from fairseq_electra import cli
from fairseq_electra.finetuning.info import read_task_info
from fairseq_electra.finetuning.kinds import evaluation_of
from fairseq_electra.finetuning.multilabel import METRICS, MULTI_LABEL
from fairseq_electra.finetuning.multilabel.folder import read_label_table
from fairseq_electra.finetuning.multilabel.metrics import score_labels
from fairseq_electra.finetuning.nets import read_net
from fairseq_electra.finetuning.recipes import Recipe
from fairseq_electra.finetuning.results import summarize
from fairseq_electra.finetuning.study import CHECKPOINTS_FOLDER, Run, ScoreRun, result_of
from fairseq_electra.finetuning.trainable import trainable
from fairseq_electra.hub.interface import from_pretrained
from tests.helpers.commands import electra_here
from tests.helpers.label_task import NUMBERS, WORDS, prepare, write_sources
from tests.helpers.paths import USER_DIR
from tests.helpers.sentence_tasks import logits_in
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import refusal_here, run_here

EXTRA = (
    *TINY_NET,
    *["--pooling", "mean", "--cpu", "--num-workers", "0", "--log-format", "json", "--log-interval", "1"],
)
RECIPE = Recipe(lr=5e-3, layer_decay=1.0, epochs=8, batch_size=4)


@pytest.fixture(scope="module")
def sources(tmp_path_factory, vocabulary, corpus_lines):
    folder = tmp_path_factory.mktemp("labels")
    write_sources(folder, corpus_lines)
    prepare(folder, vocabulary)
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory, sources):
    """Two runs of a study, each with its log, and their folder."""
    folder, task = tmp_path_factory.mktemp("runs"), trainable(sources / "topics")
    each = [Run(read_net("scratch=scratch:tiny"), task, RECIPE, seed, EXTRA) for seed in (1, 2)]
    logs = [
        run_here([*run.arguments(folder), "--user-dir", USER_DIR], folder / run.name / CHECKPOINTS_FOLDER)
        for run in each
    ]
    for run in each:
        ScoreRun(folder, {run.name: run}, keep_checkpoints=True)(run.name)
    return each, logs, folder


def checkpoint(runs):
    (run, _), _, folder = runs
    return folder / run.name / CHECKPOINTS_FOLDER / "checkpoint_last.pt"


def test_the_folder_holds_what_the_files_do(sources):
    info = read_task_info(sources / "topics")
    assert info.kind == MULTI_LABEL and info.examples == NUMBERS and info.metrics == METRICS
    assert (
        info.labels == tuple(WORDS)
        and info.columns == ("text",)
        and info.label_column == "topics"
        and not info.unlabelled
    )
    records = [json.loads(line) for line in (sources / "valid.jsonl").read_text().splitlines()]
    has = read_label_table(sources / "topics", "valid", info)
    assert [[label for label, one in zip(info.labels, row, strict=True) if one] for row in has] == [
        each["topics"] for each in records
    ]
    assert not has.any(1).all() and has.all(1).any(), "some text has no label, and some all"


def test_training_learns_and_its_metrics_are_those_of_the_saved_net(sources, runs):
    _, logs, _ = runs
    found = [record for record in logs[0].records if record["subset"] == "valid"]
    assert (
        len(found) == 8
        and found[-1]["loss"] < 0.7 * found[0]["loss"]
        and found[-1]["micro_f1"] > max(60, found[0]["micro_f1"])
    )
    assert found[0]["loss"] < 1, "the mean over labels is near log 2 in the beginning"
    evaluation = evaluation_of(sources / "topics")
    metrics = evaluation.metrics("valid", evaluation.scores(from_pretrained(checkpoint(runs)), "valid"))
    assert {name: found[-1][name] for name in METRICS} == pytest.approx(metrics, abs=0.006)


def test_a_study_scores_every_run_and_the_mean_of_all(sources, runs):
    each, _, folder = runs
    info = read_task_info(sources / "topics")
    results = [run.record | result_of(folder / run.name) for run in each]
    assert all(result["trouble"] == "" for result in results)
    line = summarize(results, info, sources / "topics", folder)
    together = np.mean([logits_in(folder / run.name)["test"] for run in each], axis=0)
    expected = score_labels(together, read_label_table(sources / "topics", "test", info))
    assert {name: line["metrics"]["test"][name]["ensemble"] for name in METRICS} == pytest.approx(expected)
    assert set(line["metrics"]) == {"valid", "test"} and line["labels"] == list(WORDS)


def test_predict_scores_a_labelled_file_as_the_study_does_and_gives_labels_with_probabilities(
    tmp_path, sources, runs
):
    (run, _), _, folder = runs
    expected = result_of(folder / run.name)["metrics"]["test"]
    given = (
        "predict",
        checkpoint(runs),
        *["--gold", sources / "test.tsv", "--logits", "--output", tmp_path / "answers.jsonl"],
    )
    status, output, said = electra_here(*given)
    assert status == 0 and json.loads(output) == pytest.approx(expected, abs=1e-5), said
    answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    rows = [line.split("\t") for line in (sources / "test.tsv").read_text().splitlines()[1:]]
    assert [answer["gold"] for answer in answers] == [
        labels.split(",") if labels else [] for _, labels in rows
    ]
    for answer in answers:
        shares = 1 / (1 + np.exp(-np.array(answer["logits"])))
        assert list(answer["probabilities"]) == list(WORDS) and list(
            answer["probabilities"].values()
        ) == pytest.approx(shares)
        assert answer["labels"] == [label for label, share in answer["probabilities"].items() if share > 0.5]
    assert [] in [answer["labels"] for answer in answers] or any(
        len(answer["labels"]) > 1 for answer in answers
    )


def test_an_exported_net_predicts_what_the_checkpoint_does(tmp_path, runs):
    pytest.importorskip("transformers")
    work = from_pretrained(checkpoint(runs))
    head = next(iter(work.labels))
    work.model.classification_heads[head].pooling = "first"  # which transformers has
    from fairseq_electra.hub.load import load_checkpoint
    from fairseq_electra.interchange.export_transformers import export_transformers

    pretrained = load_checkpoint(checkpoint(runs))
    pretrained.model.classification_heads[head].pooling = "first"
    export_transformers(pretrained, tmp_path / "out")
    exported = from_pretrained(tmp_path / "out")
    assert exported.kind == MULTI_LABEL and list(exported.labels.values()) == [list(WORDS)]
    text = "the python module and a return"
    ours, theirs = (net.predict(next(iter(net.labels)), text, return_logits=True) for net in (work, exported))
    assert (ours - theirs).abs().max() < 2e-5


@pytest.mark.parametrize(
    ("text", "more", "sentence"),
    [
        (
            "text\ttopics\na\tcode,noun\n",
            (),
            "line 2: the label 'noun' is none of the network's, code, name, number",
        ),
        ("text\ttopic\na\tcode\n", (), "has no column 'topics'"),
        ("text\ttopics\na\tcode\n", ("--scheme", "BIO"), "is a file of named columns; leave out --scheme"),
        (
            "text\ttopics\na\tcode\n",
            ("--n-best", "2"),
            "--threshold and --n-best are for answers to questions",
        ),
        ("a\tb\n", ("--words",), "leave out --words"),
    ],
)
def test_labelled_files_that_cannot_be_scored_are_refused(tmp_path, runs, text, more, sentence):
    (tmp_path / "gold.tsv").write_text(text)
    given = (
        "predict",
        checkpoint(runs),
        "--gold",
        tmp_path / "gold.tsv",
        "--output",
        tmp_path / "answers",
        *more,
    )
    status, output, said = electra_here(*given)
    assert (
        status == 1
        and output == ""
        and sentence in said.splitlines()[-1]
        and not (tmp_path / "answers").exists()
    )


def test_fairseqs_own_task_refuses_the_folder(tmp_path, sources):
    own = [
        *[sources / "topics", "--user-dir", USER_DIR, "--task", "sentence_prediction"],
        *["--criterion", "sentence_prediction"],
    ]
    own += [
        "--arch",
        "electra_encoder",
        *TINY_NET,
        *["--num-classes", "3", "--init-token", "0", "--save-dir", tmp_path / "save", "--cpu"],
        *["--batch-size", "8"],
    ]
    assert f"was prepared for --task {MULTI_LABEL}, not sentence_prediction" in refusal_here(own)


@pytest.mark.long
def test_finetune_compares_nets_on_labels(tmp_path, sources):
    given = [
        *["finetune", "--data", sources / "topics", "--net", "scratch=scratch:tiny", "--seeds", "2"],
        *["--lr", "3e-3"],
    ]
    given += ["--output", tmp_path / "runs", "--epochs", "1", "--processes", "1", "--", *EXTRA]
    assert cli.main([str(word) for word in given]) == 0
    results = json.loads((tmp_path / "runs" / "results.json").read_text())
    assert len(results["runs"]) == 2 and set(results["summary"][0]["metrics"]["test"]) == set(METRICS)
