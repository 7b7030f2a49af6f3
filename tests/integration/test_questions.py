"""Questions from files of SQuAD's form to answers, through the commands."""

import json
import math
import shutil

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from fairseq_electra.finetuning.info import read_task_info
from fairseq_electra.finetuning.kinds import evaluation_of
from fairseq_electra.finetuning.nets import read_net
from fairseq_electra.finetuning.questions import ANSWERING, N_BEST
from fairseq_electra.finetuning.questions.answers import BEGIN, END, SCORE, UNANSWERABLE, texts_of
from fairseq_electra.finetuning.questions.metrics import score_answers
from fairseq_electra.finetuning.questions.read import read_squad
from fairseq_electra.finetuning.recipes import Recipe, arguments
from fairseq_electra.finetuning.study import Settings, study
from fairseq_electra.finetuning.words import TAGGING
from fairseq_electra.hub.interface import from_pretrained
from fairseq_electra.tasks.question_answering import QuestionAnsweringConfig, QuestionAnsweringTask
from tests.helpers.commands import electra_here, electra_process, fairseq_process
from tests.helpers.paths import USER_DIR
from tests.helpers.question_task import SIZES, WINDOWS, squad
from tests.helpers.sentence_tasks import logits_in
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import assert_same_weights, read, refusal_here, run_here, weights

HEADS = {"1.1": "independent", "2.0": "conditional"}


@pytest.fixture(scope="module")
def sources(tmp_path_factory, vocabulary, corpus_lines):
    """Files of both versions, and their folders in ``bin``."""
    folder = tmp_path_factory.mktemp("questions")
    for version in HEADS:
        files = []
        for split in SIZES:
            path = folder / f"{split}-{version}.json"
            path.write_text(json.dumps(squad(corpus_lines, split, version == "2.0")))
            files += [f"--{split}", path]
        given = ["--vocab", vocabulary, "--destdir", folder / "bin" / version, "--squad", *WINDOWS, *files]
        status, output, said = electra_here("prepare", *given)
        assert status == 0 and "train 48, valid 22, test 14; questions" in output, said
        assert ("some without an answer" in output) == (version == "2.0")
    return folder


def stock(data, save_dir, *more):
    own = arguments(read_task_info(data), Recipe(3e-3, layer_decay=1.0, epochs=3, batch_size=8), 1)
    quiet = ["--cpu", "--log-format", "json", "--log-interval", "1", "--num-workers", "0"]
    return [data, "--save-dir", save_dir, *own, "--model-size", "tiny", *TINY_NET, *quiet, *more]


@pytest.fixture(scope="module")
def results(tmp_path_factory, sources):
    """A study of each version with one run, whose data are gone when it is done."""
    folder = tmp_path_factory.mktemp("runs")
    found = {}
    for version, head in HEADS.items():
        shutil.copytree(sources / "bin" / version, folder / version)
        settings = Settings(
            {"": 3},
            8,
            (
                *TINY_NET,
                *["--answer-head", head, "--num-workers", "0", "--log-format", "json"],
                *["--log-interval", "10"],
            ),
        )
        net = read_net("scratch=scratch:tiny")
        done = study(
            [net],
            [folder / version],
            folder / "runs",
            settings,
            rates=[3e-3],
            seeds=[1],
            keep_checkpoints=True,
        )
        (found[version],) = done["runs"]
        shutil.rmtree(folder / version)
    return {
        version: (folder / "runs" / "scratch" / version / "lr0.003-seed1", found[version])
        for version in HEADS
    }


def valid_records(log):
    return [record for record in log.records if record["subset"] == "valid"]


@pytest.mark.parametrize("version", HEADS)
def test_the_last_validation_is_what_the_saved_net_scores(results, sources, version):
    place, result = results[version]
    log = read(place.with_name(f"{place.name}.log").read_text(), place.parent / "again", 0)
    *_, last = valid_records(log)
    data = sources / "bin" / version
    evaluation = evaluation_of(data)
    scores = evaluation.scores(from_pretrained(place / "checkpoints", "checkpoint_last.pt"), "valid")
    found = evaluation.metrics("valid", scores)
    assert np.array_equal(scores, logits_in(place)["valid"]) and found == result["metrics"]["valid"]
    assert set(found) == set(read_task_info(data).metrics) and 0 < found["f1"] < 100
    for name, value in found.items():
        assert last[name] == pytest.approx(value, abs=0.0051), name
    assert len(valid_records(log)) == 3 and log.losses[-1] < log.losses[0]
    assert ("answerability_loss" in last) == (version == "2.0")


def questions_of(sources, version, split):
    found = read_squad(sources / f"{split}-{version}.json", labelled=split != "test")
    return [(question.text, found.contexts[question.context]) for question in found.questions]


def predict(monkeypatch, place, asked, *more):
    text = "".join(f"{question}\t{context}\n" for question, context in asked)
    status, output, said = electra_here(
        "predict", place / "checkpoints" / "checkpoint_last.pt", *more, text=text
    )
    assert status == 0, said
    return [json.loads(line) for line in output.splitlines()]


@pytest.mark.parametrize("version", HEADS)
def test_predictions_of_raw_text_are_the_studys_in_order_without_the_data(
    results, sources, monkeypatch, version
):
    place, _ = results[version]
    expected = logits_in(place)["test"]
    asked = questions_of(sources, version, "test")
    answers = predict(monkeypatch, place, asked, "--n-best", "20")
    texts = texts_of(expected, [context for _, context in asked])
    assert [answer["answer"] for answer in answers] == texts and len(set(texts)) > 3
    for answer, own, (_, context) in zip(answers, expected, asked, strict=True):
        there = own[np.isfinite(own[:, SCORE])]
        assert [[each["begin"], each["end"]] for each in answer["n_best"]] == there[:, [BEGIN, END]].astype(
            int
        ).tolist()
        assert [each["probability"] for each in answer["n_best"]] == pytest.approx(
            np.exp(there[:, SCORE]).tolist(), abs=1e-5
        )
        assert all(
            each["answer"] == context[each["begin"] : each["end"]] for each in [answer, *answer["n_best"]]
        )
        best = {name: value for name, value in answer.items() if name not in ("n_best", "unanswerable")}
        assert best == answer["n_best"][0] and 10 < len(answer["n_best"]) <= N_BEST
        assert ("unanswerable" in answer) == (version == "2.0")
        assert answer.get("unanswerable", 0.0) == pytest.approx(
            own[0, UNANSWERABLE] if version == "2.0" else 0.0, abs=1e-5
        )
    turned = predict(monkeypatch, place, asked[::-1])
    assert [answer["answer"] for answer in turned[::-1]] == texts and all(
        "n_best" not in answer for answer in turned
    )
    listed = predict(monkeypatch, place, asked, "--n-best", "3")
    few, many = (
        [[each["answer"] for each in answer["n_best"]] for answer in found] for found in (listed, answers)
    )
    assert few == [each[:3] for each in many]


def test_a_file_of_squads_form_and_json_lines_get_the_answers_of_plain_lines(
    results, sources, monkeypatch, tmp_path
):
    place, _ = results["2.0"]
    asked = questions_of(sources, "2.0", "test")
    plain = predict(monkeypatch, place, asked)
    path = sources / "test-2.0.json"
    status, output, said = electra_here(
        "predict", place / "checkpoints" / "checkpoint_last.pt", "--input", path
    )
    assert status == 0, said
    ids = [question.id for question in read_squad(path, labelled=False).questions]
    assert [json.loads(line) for line in output.splitlines()] == [
        {"id": name, **answer} for name, answer in zip(ids, plain, strict=True)
    ]
    lines = "".join(
        json.dumps({"context": context, "question": question}) + "\n" for question, context in asked
    )
    status, output, said = electra_here("predict", place / "checkpoints" / "checkpoint_last.pt", text=lines)
    assert status == 0 and [json.loads(line) for line in output.splitlines()] == plain, said


def test_above_the_threshold_there_is_no_answer(results, sources, monkeypatch):
    place, result = results["2.0"]
    asked = questions_of(sources, "2.0", "valid")
    plain = predict(monkeypatch, place, asked)
    unanswerable = sorted(answer["unanswerable"] for answer in plain)
    middle = (unanswerable[10] + unanswerable[11]) / 2
    for threshold in (middle, result["metrics"]["valid"]["threshold"] + 1e-4, math.inf, -1e9):
        found = predict(monkeypatch, place, asked, f"--threshold={threshold}", "--n-best", "2")
        for answer, before in zip(found, plain, strict=True):
            silent = before["unanswerable"] > threshold
            expected = (
                {"answer": "", "begin": 0, "end": 0}
                if silent
                else {name: before[name] for name in ("answer", "begin", "end")}
            )
            assert {name: answer[name] for name in expected} == expected and len(answer["n_best"]) == 2
    assert 0 < sum(answer["unanswerable"] > middle for answer in plain) < len(plain)


@pytest.mark.parametrize("version", HEADS)
@pytest.mark.parametrize("split", ["valid", "test"])
def test_a_labelled_file_is_scored_as_the_study_scores_it_with_the_threshold_of_valid(
    results, sources, tmp_path, version, split
):
    place, result = results[version]
    checkpoint, path = place / "checkpoints" / "checkpoint_last.pt", sources / f"{split}-{version}.json"
    status, output, said = electra_here(
        "predict", checkpoint, "--gold", path, "--output", tmp_path / "predictions.json"
    )
    assert status == 0, said
    found, expected = json.loads(output), result["metrics"][split]
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-5)
    assert ("threshold" in found) == (version == "2.0")
    predictions = json.loads((tmp_path / "predictions.json").read_text())
    questions = read_squad(path).questions
    assert list(predictions) == [question.id for question in questions]
    golds = [[text for _, text in question.answers] for question in questions]
    scores = score_answers(list(predictions.values()), golds)  # what SQuAD's script does with this file
    assert {name: found[name] for name in scores} == pytest.approx(scores, abs=1e-5)


def test_predictions_by_id_are_the_answers_of_the_lines(results, sources, tmp_path):
    place, result = results["2.0"]
    checkpoint = place / "checkpoints" / "checkpoint_last.pt"
    own = from_pretrained(checkpoint).threshold
    assert own == pytest.approx(result["metrics"]["valid"]["threshold"], abs=1e-5)
    middle = float(np.median(logits_in(place)["test"][:, 0, UNANSWERABLE]))
    found = {}
    for threshold, given in ((own, []), (middle, [f"--threshold={middle}"])):
        start = ["predict", checkpoint, "--input", sources / "test-2.0.json", "--output"]
        assert electra_here(*start, tmp_path / "predictions.json", *given)[0] == 0
        assert electra_here(*start, tmp_path / "answers.jsonl", f"--threshold={threshold}")[0] == 0
        answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
        found[threshold] = json.loads((tmp_path / "predictions.json").read_text())
        assert found[threshold] == {answer["id"]: answer["answer"] for answer in answers}
    assert {bool(answer) for answer in found[middle].values()} == {True, False} and found[middle] != found[
        own
    ]


def test_weights_that_no_validation_has_seen_have_no_threshold(results, sources, tmp_path):
    place, _ = results["2.0"]
    assert (
        electra_here(
            "average", place / "checkpoints" / "checkpoint_last.pt", "--output", tmp_path / "average.pt"
        )[0]
        == 0
    )
    given = [
        *["predict", tmp_path / "average.pt", "--vocab", place / "checkpoints"],
        *["--gold", sources / "test-2.0.json"],
    ]
    for name in ("task.json", "dict.txt", "tokenizer.json"):
        shutil.copy(place / "checkpoints" / name, tmp_path / name)
    status, output, said = electra_here(*given)
    assert (
        status == 1
        and output == ""
        and "average.pt keeps no threshold above which a question has no answer" in said
    )
    status, output, said = electra_here(*given, "--threshold", "inf")
    found = json.loads(output, parse_constant=pytest.fail)
    assert (
        found["threshold"] is None
        and found["unanswerable_accuracy"] == 0
        and found["answerable_f1"] == found["best_answer_f1"]
    ), said


def test_a_task_keeps_the_threshold_of_its_validation_until_it_trains(sources):
    def new():
        given = {"data": str(sources / "bin" / "2.0"), "max_valid_steps": None, "train_subset": "train"}
        return QuestionAnsweringTask.setup_task(
            OmegaConf.merge(OmegaConf.structured(QuestionAnsweringConfig), given)
        )

    task, other = new(), new()
    assert task.state_dict() == {}
    task._threshold = -0.5
    assert task.state_dict() == {"threshold": -0.5}
    other.load_state_dict(task.state_dict())
    assert other.state_dict() == {"threshold": -0.5}
    with pytest.raises(AttributeError):  # there is no model to train
        other.train_step({}, None, None, None, 1)
    assert other.state_dict() == {}


def test_a_net_of_1_1_gives_an_answer_to_a_question_without_pieces_and_to_a_text_without_any(
    results, monkeypatch
):
    place, _ = results["1.1"]
    found = predict(
        monkeypatch, place, [("\u200b", "one two"), ("What?", "\u200b"), ("", "three"), ("What?", "")]
    )
    assert [set(answer) for answer in found] == [{"answer", "begin", "end", "probability"}] * 4
    assert found[0]["answer"] in ("one", "two", "one two") and found[2]["answer"] == "three"
    assert found[1]["answer"] == found[3]["answer"] == ""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("What?\tone two\nalone\n", "standard input, line 2: 1 texts between tabs, where 2 are expected"),
        ("What?\tone\ttwo\n", "standard input, line 1: 3 texts between tabs, where 2 are expected"),
        ("What?\tone\n\n", "standard input, line 2: 1 texts between tabs"),
        ("", "standard input is empty"),
    ],
    ids=["one column", "three columns", "blank line", "empty"],
)
def test_lines_that_are_no_question_and_context_are_refused(results, monkeypatch, tmp_path, text, sentence):
    given = ["predict", results["2.0"][0] / "checkpoints", "--output", tmp_path / "answers.jsonl"]
    status, output, said = electra_here(*given, text=text)
    assert status == 1 and output == "" and sentence in said.splitlines()[-1], said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", ["-1", "21"])
def test_a_list_is_no_longer_than_there_are_answers(results, monkeypatch, number):
    status, output, said = electra_here(
        "predict", results["2.0"][0] / "checkpoints", "--n-best", number, text="a\tb\n"
    )
    assert (
        status == 1
        and output == ""
        and f"--n-best must lie between 0 and 20, got {number}" in said.splitlines()[-1]
    ), said


@pytest.mark.parametrize("version", HEADS)
def test_answers_do_not_depend_on_the_batch(results, sources, version):
    several = []
    for max_tokens in (1, 100, 100_000):
        net = from_pretrained(results[version][0] / "checkpoints", "checkpoint_last.pt")
        net.max_tokens = max_tokens
        several.append(evaluation_of(sources / "bin" / version).scores(net, "valid"))
    for other in several[1:]:
        assert np.array_equal(other[:, 0, [BEGIN, END]], several[0][:, 0, [BEGIN, END]])
        there = np.isfinite(several[0][..., SCORE])
        assert there.any() and np.array_equal(np.isfinite(other[..., SCORE]), there)
        assert (
            np.abs(other[there][:, [SCORE, UNANSWERABLE]] - several[0][there][:, [SCORE, UNANSWERABLE]]).max()
            < 1e-5
        )


@pytest.mark.parametrize("version", HEADS)
def test_a_resumed_run_is_the_undisturbed_one(tmp_path, sources, version):
    more = ["--dropout", "0.1", "--answer-head", HEADS[version], "--disable-validation"]
    data = sources / "bin" / version
    whole = run_here(stock(data, tmp_path / "whole", *more, "--max-update", "25"), tmp_path / "whole")
    first = run_here(stock(data, tmp_path / "part", *more, "--max-update", "19"), tmp_path / "part")
    rest = run_here(stock(data, tmp_path / "part", *more, "--max-update", "25"), tmp_path / "part")
    assert first.losses + rest.losses == whole.losses and len(rest.losses) == 6
    assert_same_weights(weights(tmp_path / "whole"), weights(tmp_path / "part"))


@pytest.mark.parametrize(
    ("version", "given", "unread"),
    [
        ("1.1", {"answer_head": "independent", "beam": 3}, ["beam"]),
        ("1.1", {"answer_head": "conditional", "answerability_weight": 1.0}, ["answerability_weight"]),
        ("2.0", {"answer_head": "conditional", "answerability_weight": 1.0, "beam": 3}, []),
        ("2.0", {"answer_head": "independent", "pooling": "mean", "head_dropout": 0.3}, None),
    ],
)
def test_options_that_change_nothing_are_warned_of(tmp_path, sources, version, given, unread):
    options = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", value)]
    last = ["--disable-validation", "--max-update", "1", "--no-save"]
    log = run_here(stock(sources / "bin" / version, tmp_path / "save", *options, *last), tmp_path / "save")
    unread = ["pooling", "head_dropout"] if unread is None else unread
    expected = [f"--{name.replace('_', '-')} {given[name]} changes nothing:" for name in unread]
    found = [line.split(" | ")[-1] for line in log.text.splitlines() if "changes nothing" in line]
    assert len(found) == len(expected)
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True))


def test_checkpoints_do_not_grow_by_what_validations_have_gathered(tmp_path, sources):
    more = ["--max-update", "3", "--save-interval-updates", "1"]
    log = run_here(stock(sources / "bin" / "2.0", tmp_path / "save", *more), tmp_path / "save")
    assert len(valid_records(log)) == 3 and not any(math.isnan(record["f1"]) for record in valid_records(log))
    state = torch.load(tmp_path / "save" / "checkpoint_last.pt", weights_only=True)
    gathered = [
        values["tensor"]
        for meters in state["extra_state"]["metrics"].values()
        for _, name, _, values in meters
        if name == "_windows"
    ]
    assert gathered == [None]


@pytest.mark.parametrize(
    "version",
    [pytest.param(each, marks=pytest.mark.long if each == "2.0" else pytest.mark.by_hand) for each in HEADS],
)
def test_one_process_and_two_ranks_have_the_same_losses_and_metrics(tmp_path, sources, version):
    """The windows of a question may be on both ranks, and their number is odd."""
    more = [
        *["--batch-size", "4", "--max-update", "5", "--dropout", "0", "--attention-dropout", "0"],
        "--no-save",
    ]
    more += ["--answer-head", HEADS[version]]
    data = sources / "bin" / version
    one = fairseq_process("train", *stock(data, tmp_path / "one", *more, "--update-freq", "2"))
    two = electra_process(
        *["launch", "-n", "2", "--", "fairseq-train"],
        *stock(data, tmp_path / "two", *more),
        "--user-dir",
        USER_DIR,
    )
    assert "2 processes have joined" in two.stdout + two.stderr
    logs = [
        read(done.stdout + done.stderr, tmp_path / rank, 0) for rank, done in (("one", one), ("two", two))
    ]
    assert len(logs[0].losses) == 5 and logs[1].losses == pytest.approx(logs[0].losses, abs=2e-3)
    left, right = (valid_records(log)[-1] for log in logs)
    for name in (*read_task_info(data).metrics, "loss", "span_loss"):
        assert right[name] == pytest.approx(left[name], abs=2e-3), name


def test_a_folder_of_another_task_is_refused(tmp_path, sources, vocabulary):
    (tmp_path / "train.conll").write_text("Rome B-LOC\nfell O\n\nHe O\nsaw O\nRome B-LOC\n")
    files = [word for split in ("train", "valid") for word in (f"--{split}", tmp_path / "train.conll")]
    assert (
        electra_here("prepare", "--vocab", vocabulary, "--destdir", tmp_path / "tags", "--conll", *files)[0]
        == 0
    )
    of_questions = stock(sources / "bin" / "1.1", tmp_path / "save")
    assert "tags was prepared for --task token_classification, not question_answering" in refusal_here(
        [tmp_path / "tags", *of_questions[1:]]
    )
    of_tags = [TAGGING if word == ANSWERING else word for word in of_questions]
    assert "1.1 was prepared for --task question_answering, not token_classification" in refusal_here(of_tags)
    fairseqs = (
        "--batch-size 8 --task sentence_prediction --criterion sentence_prediction --num-classes 2 --arch"
        " electra_encoder --cpu"
    )
    assert "tags was prepared for --task token_classification, not sentence_prediction" in refusal_here(
        [tmp_path / "tags", "--save-dir", tmp_path / "save", *fairseqs.split()]
    )
    assert not (tmp_path / "save" / "checkpoint_last.pt").exists()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--valid-subset", "dev"], "1.1 has no dev, it has train, valid, test; name one of these"),
        (["--train-subset", "training"], "1.1 has no training, it has train, valid, test; name one of these"),
        (["--max-valid-steps", "2"], "--max-valid-steps 2: scores are those of the whole set; leave it out"),
        (
            ["--max-tokens", "30"],
            "and the limit is 30 (the model's positions, or --max-tokens); prepare it again with",
        ),
        (["--beam", "0"], "--beam must be 1 or more, got 0; SQuAD's are 20 and 30"),
        (["--max-answer-length", "-1"], "--max-answer-length must be 1 or more, got -1"),
        (["--answerability-weight", "-1"], "--answerability-weight must not be negative"),
        (["--arch", "electra_tiny"], "--task question_answering needs --arch electra_encoder"),
        (
            ["--criterion", "sentence_prediction"],
            "--task question_answering needs --criterion question_answering",
        ),
        (
            ["--best-checkpoint-metric", "entity_f1"],
            "--best-checkpoint-metric entity_f1: validation logs loss, f1, exact_match; name one",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_cannot_be(tmp_path, sources, more, sentence):
    assert sentence in refusal_here(stock(sources / "bin" / "1.1", tmp_path / "save", *more))
    assert not (tmp_path / "save" / "checkpoint_last.pt").exists()
