"""predict and training on prepared folders: wrong use ends in one sentence, with nothing half-written."""

import json
import shutil

import pytest
import torch
from fairseq import tasks

from fairseq_electra.finetuning.info import read_task_info
from fairseq_electra.finetuning.kinds import evaluation_of
from fairseq_electra.finetuning.sameness import MIN_INPUTS
from fairseq_electra.hub.interface import from_pretrained
from tests.helpers.commands import electra_here
from tests.helpers.sentence_tasks import PAIRS_TSV, prepare_pairs, stock
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import configuration, refusal_here, run_here, train_here


@pytest.fixture(scope="module")
def tuned(tmp_path_factory, vocabulary, data_bin):
    """Checkpoints of pre-training, of a pair task, and of a multiple choice."""
    folder = tmp_path_factory.mktemp("tuned")
    train_here(data_bin, folder / "pretrained", *TINY_NET, "--max-update", "2", "--disable-validation")
    source = folder / "pretrained" / "checkpoint_last.pt"
    for name in ("train.tsv", "valid.tsv"):
        (folder / name).write_text(PAIRS_TSV)
    prepare_pairs(folder, vocabulary)
    quick = ["--max-update", "1", "--disable-validation", "--num-workers", "0"]
    run_here(stock(folder / "bin", folder / "pair", source, *quick), folder / "pair")
    (folder / "swag").mkdir()
    row = "0,a b,So,c,d,e,f,1\n"
    (folder / "swag" / "train.csv").write_text(
        ",sent1,sent2,ending0,ending1,ending2,ending3,label\n" + row * 3
    )
    assert (
        electra_here(
            "prepare", "--vocab", vocabulary, "--destdir", folder / "choice-bin", "--swag", folder / "swag"
        )[0]
        == 0
    )
    info = json.loads((folder / "choice-bin" / "task.json").read_text())
    (folder / "choice-bin" / "task.json").write_text(
        json.dumps(info | {"examples": {"train": 3, "valid": 3}})
    )
    run_here(stock(folder / "choice-bin", folder / "choice", source, *quick), folder / "choice")
    return folder


def without_task(checkpoint):
    """Make a checkpoint one of before, which did not hold its labels and its task."""
    state = torch.load(checkpoint, weights_only=True)
    assert state["extra_state"].pop("tuned_for")["task"]
    torch.save(state, checkpoint)
    return checkpoint


@pytest.mark.parametrize(
    ("checkpoint", "text", "sentence"),
    [
        (
            "pair/checkpoint_last.pt",
            "one\ttwo\nalone\n",
            "standard input, line 2: 1 texts between tabs, where 2 are expected",
        ),
        ("pair/checkpoint_last.pt", "", "standard input is empty"),
        ("choice/checkpoint_last.pt", "a\tb\tc\n", "line 1: 3 texts between tabs, where 5 are expected"),
        ("pretrained/checkpoint_last.pt", "a\n", "has no head; fine-tune it first"),
        ("absent.pt", "a\n", "no such folder or checkpoint"),
    ],
)
def test_predict_refuses_unusable_input(tuned, monkeypatch, tmp_path, checkpoint, text, sentence):
    given = ["predict", tuned / checkpoint, "--output", tmp_path / "answers.jsonl"]
    status, output, said = electra_here(*given, text=text)
    assert status == 1 and output == "" and sentence in said.splitlines()[-1], said
    assert not list(tmp_path.iterdir())


def test_predict_warns_if_all_answers_are_the_same(tuned, monkeypatch):
    given = ["predict", tuned / "pair" / "checkpoint_last.pt"]
    for number, warned in ((MIN_INPUTS, True), (MIN_INPUTS - 1, False)):
        status, output, said = electra_here(*given, text="one\ttwo\n" * number)
        answer = json.loads(output.splitlines()[0])["label"]
        assert status == 0
        assert (
            f"warning: standard input: the net answers {answer!r} for all {MIN_INPUTS} inputs: it has learnt"
            " nothing yet" in said
        ) == warned


def test_a_multiple_choice_without_its_description_still_needs_choices(tuned, monkeypatch, tmp_path):
    shutil.copytree(tuned / "choice", tmp_path / "choice")
    (tmp_path / "choice" / "task.json").unlink()
    checkpoint = without_task(tmp_path / "choice" / "checkpoint_last.pt")
    shutil.move(tuned / "choice-bin" / "task.json", tmp_path / "task.json")
    try:
        status, _, said = electra_here("predict", checkpoint, text="alone\n")
        assert status == 1 and "line 1: 1 texts between tabs, where 2 are expected" in said
        status, output, _ = electra_here("predict", checkpoint, text="context\tone\ttwo\tthree\n")
        assert status == 0 and len(json.loads(output)["probabilities"]) == 3
    finally:
        shutil.move(tmp_path / "task.json", tuned / "choice-bin" / "task.json")


def test_predict_reads_json_lines_by_the_names_of_the_training(tuned, monkeypatch):
    pairs = [("a b", "c d"), ("e f g", "")]
    plain = electra_here("predict", tuned / "pair", text="".join(f"{one}\t{two}\n" for one, two in pairs))
    renamed = "".join(json.dumps({"q": one, "a": two}) + "\n" for one, two in pairs)
    by_name = renamed.replace('"q"', '"one"').replace('"a":', '"two":')
    assert plain[0] == 0 and plain[1].count("label") == 2
    assert electra_here("predict", tuned / "pair", text=by_name)[:2] == plain[:2]
    assert electra_here("predict", tuned / "pair", "--text", "q", "a", text=renamed)[:2] == plain[:2]
    assert "line 1: no 'one', it has 'q', 'a'; name the columns with --text" in refused(
        tuned / "pair", renamed, monkeypatch
    )
    assert "--text names 1 columns, q, and this net was trained on 2" in refused(
        tuned / "pair", renamed, monkeypatch, "--text", "q"
    )
    assert "line 1: a JSON record with 'q', 'a', and the model does not know" in refused(
        tuned / "choice", renamed, monkeypatch
    )


def refused(checkpoint, text, monkeypatch, *more):
    status, output, said = electra_here("predict", checkpoint, *more, text=text)
    assert status == 1 and output == ""
    return said.splitlines()[-1]


def test_predict_scores_a_labelled_file_as_a_study_scores_its_folder(tuned, tmp_path):
    """In the columns of the training, in columns that are named, in a file without names, and in a CSV."""
    evaluation = evaluation_of(tuned / "bin")
    expected = evaluation.metrics(
        "valid", evaluation.scores(from_pretrained(tuned / "pair", "checkpoint_last.pt"), "valid")
    )
    renamed = PAIRS_TSV.replace("one\ttwo\tclass", "q\ta\ty")
    (tmp_path / "renamed.tsv").write_text(renamed)
    (tmp_path / "bare.tsv").write_text(PAIRS_TSV.split("\n", 1)[1])
    (tmp_path / "valid.csv").write_text(PAIRS_TSV.replace("\t", ","))
    names = ["--text", "q", "a", "--label", "y"]
    for given in (
        [tuned / "valid.tsv"],
        [tmp_path / "renamed.tsv", *names],
        [tmp_path / "valid.csv"],
        [tmp_path / "bare.tsv", *names, "--header", "q", "a", "y"],
    ):
        status, output, said = electra_here(
            "predict", tuned / "pair", "--gold", *given, "--output", tmp_path / "answers.jsonl"
        )
        assert status == 0 and json.loads(output) == pytest.approx(expected, abs=1e-5), said
        answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
        assert [answer["gold"] for answer in answers] == ["yes", "no", "yes"] and "logits" not in answers[0]
        right = sum(answer["label"] == answer["gold"] for answer in answers)
        assert expected["accuracy"] == pytest.approx(100 * right / 3)


def test_predict_scores_choices_by_their_number(tuned, tmp_path):
    choices = ["So c", "So d", "So e", "So f"]
    given = ["--text", "context", "c0", "c1", "c2", "c3", "--label", "right"]
    accuracies = []
    for right in range(4):
        row = {"context": "a b", **{f"c{i}": choice for i, choice in enumerate(choices)}, "right": right}
        (tmp_path / "gold.jsonl").write_text(json.dumps(row) + "\n")
        status, output, said = electra_here(
            "predict", tuned / "choice", "--gold", tmp_path / "gold.jsonl", *given
        )
        assert status == 0, said
        accuracies.append(json.loads(output))
    assert sorted(each["accuracy"] for each in accuracies) == [0, 0, 0, 100]


@pytest.mark.parametrize(
    ("text", "more", "sentence"),
    [
        (
            PAIRS_TSV + "x\ty\tmaybe\n",
            [],
            "gold.tsv, line 5: the label 'maybe' is none of the network's, no, yes; give it as in training",
        ),
        (PAIRS_TSV + "x\ty\t\n", [], "gold.tsv, line 5: the label in column 'class' is empty"),
        (PAIRS_TSV.replace("class", "klass"), [], "gold.tsv has no column 'class'"),
        (PAIRS_TSV, ["--input", "x.txt"], "gold.tsv is what is read; leave out --input"),
    ],
)
def test_predict_refuses_a_labelled_file_that_it_cannot_score(tuned, tmp_path, text, more, sentence):
    (tmp_path / "gold.tsv").write_text(text)
    given = [
        *["predict", tuned / "pair", "--gold", tmp_path / "gold.tsv"],
        *["--output", tmp_path / "answers.jsonl"],
        *more,
    ]
    status, output, said = electra_here(*given)
    assert status == 1 and output == "" and sentence in said.splitlines()[-1], said
    assert not (tmp_path / "answers.jsonl").exists()


def test_options_of_labelled_files_are_refused_without_one(tuned, monkeypatch):
    assert "--label is for --gold FILE; leave it out" in refused(
        tuned / "pair", "a\tb\n", monkeypatch, "--label", "y"
    )


def test_predict_reads_a_table_without_names_of_its_columns_by_those_of_header(tuned, monkeypatch, tmp_path):
    (tmp_path / "a.csv").write_text("1,c d e,f\n2,a,b\n")
    given = ["predict", tuned / "pair", "--input", tmp_path / "a.csv", "--text", "one", "two", "--header"]
    status, output, said = electra_here(*given, "id", "one", "two")
    assert status == 0 and len(output.splitlines()) == 2, said
    for more in (["--header", "a", "b"], ["--input", tmp_path / "a.csv", "--words", "--header", "a", "b"]):
        said = refused(tuned / "pair", "a\tb\n", monkeypatch, *more)
        assert "--header names the columns of a TSV or CSV with texts" in said
    assert "--header names 'id', 'b', 'c', and no 'one'; name one of these" in refused(
        *[tuned / "pair", "", monkeypatch, "--input", tmp_path / "a.csv", "--text", "one", "two"],
        *["--header", "id", "b", "c"],
    )


def test_predict_writes_a_file_whole(tuned, monkeypatch, tmp_path):
    given = ["predict", tuned / "pair" / "checkpoint_last.pt", "--output", tmp_path / "answers.jsonl"]
    status, output, _ = electra_here(*given, text="a\tb\nc d e\tf\n")
    answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert (
        status == 0
        and output == ""
        and [set(answer) for answer in answers] == [{"label", "probabilities"}] * 2
    )
    assert set(answers[0]["probabilities"]) == {"yes", "no"}


@pytest.mark.parametrize(
    ("folder", "spoil", "more", "sentence"),
    [
        (
            "bin",
            lambda f: None,
            ["--num-classes", "1"],
            "names 2 labels, no, yes: more than --num-classes 1; give 2",
        ),
        (
            "bin",
            lambda f: None,
            ["--num-classes", "3"],
            "names 2 labels, no, yes: fewer than --num-classes 3; give 2",
        ),
        (
            "bin",
            lambda f: shutil.rmtree(f / "label"),
            [],
            "label/dict.txt; fairseq-electra prepare makes such folders",
        ),
        (
            "bin",
            lambda f: shutil.copy(f / "input0" / "train.bin", f / "label" / "train.idx"),
            [],
            "no index of fairseq's mmap format",
        ),
        (
            "bin",
            lambda f: (f / "input0" / "train.idx").unlink(),
            [],
            "input0/train.idx, the folder holds valid;",
        ),
        (
            "bin",
            lambda f: (f / "input1" / "train.idx").unlink(),
            [],
            "input1/train.idx, the folder holds valid;",
        ),
        (
            "choice-bin",
            lambda f: None,
            ["--num-classes", "3"],
            "has 4 choices (input1 to input4), not 3; give --num-classes 4",
        ),
        (
            "choice-bin",
            lambda f: (f / "label" / "train.label").write_text("0\n7\n1\n"),
            [],
            "train.label, line 2: '7' is not a choice from 0 to 3",
        ),
        (
            "choice-bin",
            lambda f: (f / "label" / "train.label").write_text("0\n1\n"),
            [],
            "train.label has 2 lines and",
        ),
        (
            "bin",
            lambda f: (f / "label" / "train.idx").unlink(),
            [],
            "bin has no labels; apply the model to its file with",
        ),
        (
            "choice-bin",
            lambda f: (f / "label" / "train.label").unlink(),
            [],
            "bin has no labels; apply the model to its file with",
        ),
    ],
)
def test_folders_that_do_not_fit_the_stock_command(tuned, tmp_path, folder, spoil, more, sentence):
    shutil.copytree(tuned / folder, tmp_path / "bin")
    own = stock(
        tmp_path / "bin",
        tmp_path / "save",
        tuned / "pretrained" / "checkpoint_last.pt",
        "--disable-validation",
        *more,
    )
    spoil(tmp_path / "bin")
    assert sentence in refusal_here(own)
    assert not (tmp_path / "save" / "checkpoint_last.pt").exists()


def test_folders_of_one_run_are_not_mixed_with_another(tuned, tmp_path, vocabulary):
    """What lies beside a checkpoint is of the last task that was trained there."""
    save = tmp_path / "save"
    shutil.copytree(tuned / "pair", save)
    (save / "checkpoint_last.pt").unlink()
    text = "text\tclass\na\tgood\nb\tbad\nc\tgood\n"
    (tmp_path / "one.tsv").write_text(text)
    given = [
        *["--text", "text", "--label", "class", "--train", tmp_path / "one.tsv"],
        *["--valid", tmp_path / "one.tsv"],
    ]
    assert electra_here("prepare", "--vocab", vocabulary, "--destdir", tmp_path / "one", *given)[0] == 0
    source = tuned / "pretrained" / "checkpoint_last.pt"
    own = stock(
        tmp_path / "one", save, source, "--max-update", "1", "--disable-validation", "--num-workers", "0"
    )
    run_here(own, save)
    assert read_task_info(save).inputs == 1 and (save / "label" / "dict.txt").read_text() == "bad 1\ngood 1\n"


@pytest.mark.parametrize("folder", ["bin", "choice-bin"])
def test_every_example_is_trained_on_and_scored(tuned, tmp_path, folder):
    """Three examples, fewer than the eight whose multiples fairseq asks for by default."""
    shutil.copytree(tuned / folder, tmp_path / "bin")
    for path in sorted((tmp_path / "bin").rglob("train.*")):
        shutil.copy(path, path.with_name(path.name.replace("train", "valid")))
    own = stock(tmp_path / "bin", tmp_path / "save", tuned / "pretrained" / "checkpoint_last.pt")
    task = tasks.setup_task(configuration(own).task)
    for split in ("valid", "train"):
        dataset = task.load_dataset(split)
        batches = task.get_batch_iterator(dataset, max_sentences=32, required_batch_size_multiple=8)
        assert sum(map(len, batches.frozen_batches)) == 3


def test_a_checkpoint_keeps_its_labels_and_task_wherever_it_goes(tuned, tmp_path):
    """Beside another task's files, as after a move, they would be those of the other."""
    before = from_pretrained(tuned / "pair" / "checkpoint_last.pt")
    shutil.copytree(tuned / "pair", tmp_path / "moved")
    dictionary = tmp_path / "moved" / "label" / "dict.txt"
    assert len(dictionary.read_text().splitlines()) == 2
    dictionary.write_text("bad 1\ngood 1\n")
    info = json.loads((tmp_path / "moved" / "task.json").read_text())
    (tmp_path / "moved" / "task.json").write_text(json.dumps(info | {"name": "another", "inputs": 5}))
    after = from_pretrained(tmp_path / "moved" / "checkpoint_last.pt")
    assert after.labels == before.labels and after.task == before.task


def test_an_older_checkpoint_has_the_labels_of_the_nearest_folder(tuned, tmp_path):
    shutil.copytree(tuned / "pair", tmp_path / "old")
    path = without_task(tmp_path / "old" / "checkpoint_last.pt")
    (path.parent / "label" / "dict.txt").unlink()
    info = json.loads((path.parent / "task.json").read_text())
    (path.parent / "task.json").write_text(json.dumps(info | {"labels": ["near", "far"]}))
    assert list(from_pretrained(path).labels.values()) == [["near", "far"]]  # not those of the data folder
