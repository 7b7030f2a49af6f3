"""Tagging from a file of words to predictions, through fairseq-train and the commands."""

import json

import numpy as np
import pytest
from seqeval.metrics import f1_score

from fairseq_electra import cli
from fairseq_electra.finetuning.info import TaskInfo, read_task_info
from fairseq_electra.finetuning.kinds import evaluation_of
from fairseq_electra.finetuning.nets import read_net
from fairseq_electra.finetuning.questions import ANSWERING
from fairseq_electra.finetuning.recipes import arguments, head_arguments, recipe_for
from fairseq_electra.finetuning.results import table
from fairseq_electra.finetuning.study import Settings, study
from fairseq_electra.finetuning.words import TAGGING
from fairseq_electra.finetuning.words.metrics import tags_of_words
from fairseq_electra.finetuning.words.read import read_conll
from fairseq_electra.finetuning.words.tags import (
    BILOU,
    BIO,
    BIOES,
    TAG_METRICS,
    entities_of,
    legal_transitions,
    tags_of,
)
from fairseq_electra.hub.interface import from_pretrained
from tests.helpers.commands import electra_here, electra_process, fairseq_process
from tests.helpers.paths import USER_DIR
from tests.helpers.sentence_tasks import logits_in
from tests.helpers.small_model import TINY_NET
from tests.helpers.tagging_task import LONGEST, NUMBERS, predict_here, prepare, training, write_sources
from tests.helpers.training import assert_same_weights, configuration, read, run_here, weights


@pytest.fixture(scope="module")
def sources(tmp_path_factory, vocabulary, corpus_lines):
    folder = tmp_path_factory.mktemp("tagging")
    write_sources(folder, corpus_lines)
    prepare(folder, vocabulary)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory, sources):
    """What training said, and where its checkpoints are."""
    folder = tmp_path_factory.mktemp("trained")
    return run_here(training(sources / "task", folder / "save"), folder / "save"), folder / "save"


def validations(log):
    return [record for record in log.records if record["subset"] == "valid"]


def test_the_folder_holds_what_the_files_do(sources):
    info = read_task_info(sources / "task")
    assert info.kind == TAGGING and info.examples == NUMBERS and info.metrics == TAG_METRICS
    assert info.labels == ("O", "B-code", "I-code", "B-name", "I-name")
    assert info.shortened == {"train": 1, "valid": 1, "test": 1} and info.rows["valid"] > NUMBERS["valid"] + 3


def test_training_learns_and_its_metrics_are_those_of_the_saved_net(sources, trained):
    log, save_dir = trained
    found = validations(log)
    assert len(found) == 6 and found[-1]["loss"] < found[0]["loss"] / 2 and 20 < found[-1]["entity_f1"] <= 100
    net = from_pretrained(save_dir, "checkpoint_last.pt")
    evaluation = evaluation_of(sources / "task")
    metrics = evaluation.metrics("valid", evaluation.scores(net, "valid"))
    assert {name: found[-1][name] for name in TAG_METRICS} == pytest.approx(metrics, abs=0.006)


def test_a_training_that_is_broken_off_goes_on_as_if_it_had_not_been(tmp_path, sources):
    whole = run_here(training(sources / "task", tmp_path / "whole", "--max-update", 13), tmp_path / "whole")
    run_here(training(sources / "task", tmp_path / "parts", "--max-update", 5), tmp_path / "parts")
    parts = run_here(training(sources / "task", tmp_path / "parts", "--max-update", 13), tmp_path / "parts")
    assert len(whole.losses) == 13 and parts.losses == whole.losses[5:]
    assert_same_weights(weights(tmp_path / "parts"), weights(tmp_path / "whole"))
    assert {name: validations(parts)[-1][name] for name in TAG_METRICS} == {
        name: validations(whole)[-1][name] for name in TAG_METRICS
    }


def test_scores_do_not_depend_on_the_batch(sources, trained):
    several = []
    for max_tokens in (1, 100, 100_000):
        net = from_pretrained(trained[1], "checkpoint_last.pt")
        net.max_tokens = max_tokens
        several.append(evaluation_of(sources / "task").scores(net, "test"))
    for other in several[1:]:
        assert np.abs(other - several[0]).max() < 1e-5 and np.array_equal(
            other.argmax(1), several[0].argmax(1)
        )


def test_predictions_of_raw_text_are_those_of_the_folder_that_is_gone(tmp_path, sources, trained):
    """One line in several rows, an empty one, and lines of unequal length in their order."""
    evaluation = evaluation_of(sources / "task")
    scores = evaluation.scores(from_pretrained(trained[1], "checkpoint_last.pt"), "valid")
    sentences = read_conll(sources / "valid.conll", BIO)
    bounds = np.cumsum([len(each.words) for each in sentences])[:-1]
    lines = [" ".join(each.words) for each in sentences]
    assert max(len(each.words) for each in sentences) >= LONGEST
    (sources / "task").rename(sources / "gone")
    try:
        answers = predict_here(
            trained[1] / "checkpoint_last.pt", [*lines[:3], "", *lines[3:], "   "], tmp_path
        )
    finally:
        (sources / "gone").rename(sources / "task")
    nothing = {"entities": [], "words": [], "tags": [], "logits": []}
    assert answers.pop(3) == nothing and answers.pop() == nothing
    labels = evaluation.info.labels
    for answer, line, part in zip(answers, lines, np.split(scores, bounds), strict=True):
        assert answer["words"] == line.split()
        assert np.abs(part - answer["logits"]).max() < 1e-5
        best = tags_of_words(part, np.zeros(len(part)), legal_transitions(labels))
        assert answer["tags"] == [labels[tag] for tag in best]
        begins = np.cumsum([0, *(len(word) + 1 for word in answer["words"])]).tolist()
        assert answer["entities"] == [
            {
                "type": kind,
                "text": " ".join(answer["words"][first:end]),
                "begin": begins[first],
                "end": begins[end] - 1,
            }
            for kind, first, end in entities_of(answer["tags"], BIO)
        ]
    assert sum(len(answer["entities"]) for answer in answers) > 20


def test_offsets_are_those_of_the_line_as_it_was_written(tmp_path, trained):
    lines = ['  The (Python   object), "return";\u00a0caf\u00e9 import!', "\tyield\t"]
    answers = predict_here(trained[1], lines, tmp_path)
    assert answers[0]["words"] == [
        *["The", "(", "Python", "object", ")", ",", '"', "return", '"', ";", "caf\u00e9", "import", "!"],
    ]
    assert answers[1]["words"] == ["yield"]
    for line, answer in zip(lines, answers, strict=True):
        assert "".join(answer["words"]) == "".join(line.split())
        assert len(answer["tags"]) == len(answer["words"]) == len(answer["logits"])
        for entity in answer["entities"]:
            assert line[entity["begin"] : entity["end"]] == entity["text"] == entity["text"].strip()
        assert [entity["type"] for entity in answer["entities"]] == [
            kind for kind, _, _ in entities_of(answer["tags"], BIO)
        ]


def test_an_exported_net_tags_text_as_the_checkpoint_does(tmp_path, trained):
    pytest.importorskip("transformers")
    assert (
        cli.main(
            ["export", str(trained[1] / "checkpoint_last.pt"), str(tmp_path / "out"), "--to", "transformers"]
        )
        == 0
    )
    lines = ["a python object statement and a return", "Import!", ""]
    ours, theirs = (
        predict_here(place, lines, tmp_path)
        for place in (trained[1] / "checkpoint_last.pt", tmp_path / "out")
    )
    for one, other in zip(ours, theirs, strict=True):
        assert (one["tags"], one["entities"]) == (other["tags"], other["entities"])
        assert np.abs(np.array(one["logits"]) - np.array(other["logits"])).max(initial=0) < 2e-5
    assert [entity["text"] for entity in ours[0]["entities"]] == ["python object statement", "return"]


def test_bioes_is_trained_and_scored_in_its_own_tags(tmp_path, sources, vocabulary):
    for split in NUMBERS:
        (tmp_path / f"{split}.conll").write_bytes((sources / f"{split}.conll").read_bytes())
    data = prepare(tmp_path, vocabulary, "--bioes")
    assert len(read_task_info(data).labels) == 9
    log = run_here(training(data, tmp_path / "save", "--max-epoch", 2), tmp_path / "save")
    net, evaluation = from_pretrained(tmp_path / "save", "checkpoint_last.pt"), evaluation_of(data)
    metrics = evaluation.metrics("valid", evaluation.scores(net, "valid"))
    assert {name: validations(log)[-1][name] for name in TAG_METRICS} == pytest.approx(metrics, abs=0.006)
    (answer,) = predict_here(tmp_path / "save", ["python object return the import"], tmp_path)
    assert tags_of(entities_of(answer["tags"], BIOES), 5, BIOES) == answer["tags"]


@pytest.mark.parametrize("scheme", [BIO, BILOU])
def test_a_labelled_file_is_scored_as_a_study_scores_its_folder_in_whatever_scheme_it_is(
    tmp_path, sources, trained, scheme
):
    evaluation = evaluation_of(sources / "task")
    expected = evaluation.metrics(
        "test", evaluation.scores(from_pretrained(trained[1], "checkpoint_last.pt"), "test")
    )
    sentences = read_conll(sources / "test.conll", BIO)
    tags = [tags_of(each.entities, len(each.words), scheme) for each in sentences]
    blocks = [
        "".join(f"{word}\t{tag}\n" for word, tag in zip(each.words, own, strict=True))
        for each, own in zip(sentences, tags, strict=True)
    ]
    (tmp_path / "gold.conll").write_text("\n".join(blocks))
    given = [
        *["predict", trained[1] / "checkpoint_last.pt", "--gold", tmp_path / "gold.conll"],
        *["--output", tmp_path / "answers.jsonl"],
    ]
    status, output, said = electra_here(*given, *(["--scheme", scheme] if scheme != BIO else []))
    assert status == 0 and json.loads(output) == pytest.approx(expected, abs=1e-5), said
    assert 0 < expected["entity_f1"] < 100 and set(expected) == set(TAG_METRICS)
    answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    gold = [tags_of(each.entities, len(each.words), BIO) for each in sentences]
    assert [(answer["words"], answer["gold"]) for answer in answers] == [
        (each.words, own) for each, own in zip(sentences, gold, strict=True)
    ]
    f1 = f1_score(gold, [answer["tags"] for answer in answers])  # the answers are the legal sequences
    assert 100 * f1 == pytest.approx(expected["legal_f1"], abs=1e-5)


@pytest.mark.parametrize(
    ("text", "more", "sentence"),
    [
        (
            "a\tB-place\n",
            [],
            "line 1: the tag 'B-place' in this sentence is none of the network's, O, B-code",
        ),
        (
            "a\tU-code\n",
            [],
            (
                "line 1: unknown tag 'U-code'; BIO has O, B-TYPE, I-TYPE; 'U-code' is of BILOU: give --scheme"
                " BILOU"
            ),
        ),
        ("a\n", [], "line 1: 'a' is not a word and a tag"),
        ("a\tO\n", ["--words"], "is what is read; leave out --words"),
        ("a\tNOUN\n", ["--scheme", "none"], "the tag 'NOUN' in this sentence is none of the network's"),
        ("a\tO\n", ["--threshold", "1"], "--threshold and --n-best are for answers to questions"),
    ],
)
def test_labelled_files_that_cannot_be_scored_are_refused(tmp_path, trained, text, more, sentence):
    (tmp_path / "gold").write_text(text)
    status, output, said = electra_here(
        "predict", trained[1], "--gold", tmp_path / "gold", "--output", tmp_path / "answers", *more
    )
    assert (
        status == 1
        and output == ""
        and sentence in said.splitlines()[-1]
        and not (tmp_path / "answers").exists()
    )


def test_weights_of_tags_change_the_loss_and_weights_of_one_do_not(tmp_path, sources):
    losses = {}
    for given in ("", "O=1 B-code=1", "balanced"):
        more = ["--class-weights", given] if given else []
        save_dir = tmp_path / (given.split("=")[0] or "plain")
        losses[given] = run_here(
            training(sources / "task", save_dir, "--max-update", 2, "--no-save", *more), save_dir
        ).losses
    assert losses[""] == losses["O=1 B-code=1"] and len(losses["balanced"]) == 2
    assert min(abs(one - other) for one, other in zip(losses[""], losses["balanced"], strict=True)) > 1e-3


@pytest.mark.long
def test_one_process_and_two_ranks_have_the_same_losses_and_metrics(tmp_path, sources):
    """Compare them on valid in batches of 4: the last are unequal, and one rank may have one batch less."""
    more = [
        *["--batch-size", "4", "--max-update", "12", "--head-dropout", "0", "--dropout", "0"],
        *["--attention-dropout", "0", "--no-save"],
    ]
    own = training(sources / "task", tmp_path / "one", *more)
    one = fairseq_process("train", *own, "--update-freq", "2")
    two = electra_process("launch", "-n", "2", "--", "fairseq-train", *own, "--user-dir", USER_DIR)
    assert "2 processes have joined" in two.stdout + two.stderr
    logs = [
        read(done.stdout + done.stderr, tmp_path / rank, 0) for rank, done in (("one", one), ("two", two))
    ]
    assert len(logs[0].losses) == 12 and logs[1].losses == pytest.approx(logs[0].losses, abs=2e-3)
    left, right = (validations(log)[-1] for log in logs)
    for metric in (*TAG_METRICS, "loss"):
        assert right[metric] == pytest.approx(left[metric], abs=2e-3), metric


@pytest.mark.long
def test_a_study_gives_results_and_a_table(tmp_path, sources):
    data, settings = sources / "task", Settings({"": 2}, 8, tuple(TINY_NET))
    found = study(
        [read_net("x=scratch:tiny")], [data], tmp_path, settings, rates=[5e-3], seeds=[1, 2], processes=2
    )
    (line,) = found["summary"]
    assert list(line["metrics"]) == ["valid", "test"] and tuple(line["metrics"]["valid"]) == TAG_METRICS
    evaluation, each = evaluation_of(data), []
    for seed in (1, 2):
        scores = logits_in(tmp_path / "x" / "task" / f"lr0.005-seed{seed}")
        assert {split: len(words) for split, words in scores.items()} == {
            split: sum(len(sentence.words) for sentence in read_conll(sources / f"{split}.conll", BIO))
            for split in ("valid", "test")
        }
        metrics = evaluation.metrics("valid", scores["valid"])
        assert metrics == {
            name: values["values"][seed - 1] for name, values in line["metrics"]["valid"].items()
        }
        each.append(scores["valid"])
    assert not np.array_equal(*each)
    ensemble = evaluation.metrics("valid", (each[0] + each[1]) / 2)
    assert {name: values["ensemble"] for name, values in line["metrics"]["valid"].items()} == pytest.approx(
        ensemble
    )
    page = table(found)
    assert all(f"| task, {name} |" in page and f"| task, test, {name} |" in page for name in TAG_METRICS)


@pytest.mark.parametrize(("kind", "epochs"), [(TAGGING, 3), (ANSWERING, 2)])
def test_fairseqs_parser_takes_the_recipes_arguments(kind, epochs):
    info = TaskInfo(
        "WNUT-17",
        kind,
        1,
        (),
        TAG_METRICS,
        128,
        {"train": 100, "valid": 10},
        rows={"train": 321, "valid": 12},
    )
    own = arguments(info, recipe_for("small", info.name, kind), seed=7)
    cfg = configuration(["data", "--user-dir", USER_DIR, *own, *head_arguments(info)])
    assert cfg.task._name == cfg.criterion._name == kind and cfg.model._name == "electra_encoder"
    assert (
        cfg.task.classification_head_name == "WNUT_17_head" and cfg.task.data == "data" and cfg.task.seed == 7
    )
    assert (cfg.optimization.max_epoch, cfg.lr_scheduler.total_num_update) == (epochs, epochs * -(-321 // 32))
    assert (
        cfg.dataset.batch_size == 32
        and cfg.dataset.valid_subset == "valid"
        and cfg.optimizer.layer_decay == 0.8
    )
