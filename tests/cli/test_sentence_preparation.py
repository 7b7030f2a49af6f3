"""prepare refuses wrong use in one sentence with status 1, and leaves nothing half-written."""

import shutil

import pytest

from fairseq_electra.finetuning.info import read_task_info
from tests.helpers.commands import electra_here, with_options
from tests.helpers.sentence_tasks import PAIRS_TSV, prepare_pairs


@pytest.fixture
def files(tmp_path):
    (tmp_path / "train.tsv").write_text(PAIRS_TSV)
    (tmp_path / "valid.tsv").write_text(PAIRS_TSV)
    return tmp_path


def assert_refused(folder, done, *sentence):
    status, _, said = done
    assert status == 1 and len(said.strip().splitlines()) == 1 and all(part in said for part in sentence), (
        said
    )
    assert not (folder / "bin").exists() and not list(folder.glob("*.partial"))


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("train.tsv", "one\ttwo\tclass\na\tb\n", ("train.tsv, line 2", "2 columns, not 3")),
        ("train.tsv", PAIRS_TSV + "x\ty\t\n", ("train.tsv, line 5", "is empty")),
        ("valid.tsv", PAIRS_TSV + "x\ty\tmaybe\n", ("valid.tsv, line 5", "unknown label 'maybe'", "no, yes")),
        ("train.tsv", "", ("train.tsv",)),
        ("train.tsv", "one\ttwo\tclass\n", ("train.tsv", "no example")),
        ("train.tsv", "one\ttwo\tklass\na\tb\tc\n", ("train.tsv", "no column 'class'")),
        ("train.tsv", "one\ttwo\tclass\na\tb\t<unk>\na\tb\tx\n", ("'<unk>'", "by another name")),
    ],
)
def test_prepare_refuses_unusable_files(files, vocabulary, name, text, sentence):
    (files / name).write_text(text)
    assert_refused(files, prepare_pairs(files, vocabulary), *sentence)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (
            ["--swag", "x"],
            "give one of --glue, --swag, --race, --text, --conll, --squad and --multi-label, got swag, text",
        ),
        (["--max-positions", "8"], "--max-positions must lie between 16 and"),
        (["--max-positions", "0"], "--max-positions must lie between 16 and 65535, got 0"),
        (
            ["--regression", "--labels", "no", "yes"],
            "--labels names classes, and with --regression the labels are numbers",
        ),
        (["--metrics", "pearson"], "are for numbers"),
        (["--labels", "yes", "yes", "no"], "'yes' stands there twice"),
        (["--regression"], "the label 'yes' is no number"),
        (["--bioes"], "--bioes is an option of --conll, not of --text; leave it out"),
        (["--stride", "64"], "--stride is an option of --conll, --squad, not of --text"),
        (["--train", "absent.tsv"], "absent.tsv"),
        (["--vocab", "absent"], "absent"),
    ],
)
def test_prepare_refuses_unusable_options(files, vocabulary, more, sentence):
    assert_refused(files, prepare_pairs(files, vocabulary, *more), sentence)


def test_a_mistake_in_a_labelled_test_file_is_not_taken_for_a_file_without_labels(files, vocabulary):
    (files / "test.tsv").write_text("one\ttwo\tclass\na\tb\tyes\nc\td\t\n")
    assert_refused(
        files, prepare_pairs(files, vocabulary, "--test", files / "test.tsv"), "test.tsv, line 3", "is empty"
    )
    (files / "test.tsv").write_text("two\tone\na\tb\n")
    assert prepare_pairs(files, vocabulary, "--test", files / "test.tsv")[0] == 0
    assert (
        not (files / "bin" / "label" / "test.idx").exists()
        and read_task_info(files / "bin").examples["test"] == 1
    )


def test_a_header_may_be_given_for_a_test_file_without_labels_too(files, vocabulary):
    for name in ("train.tsv", "valid.tsv"):
        (files / name).write_text("yes\ta\tb\nno\tc\td\n")
    (files / "test.tsv").write_text("a\tb\n")
    assert (
        prepare_pairs(files, vocabulary, "--header", "class", "one", "two", "--test", files / "test.tsv")[0]
        == 0
    )


def test_prepare_says_of_which_label_f1_is(files, vocabulary):
    assert (
        "; 2 labels; f1 of 'yes', accuracy;"
        in prepare_pairs(files, vocabulary, "--metrics", "f1", "accuracy")[1]
    )
    shutil.rmtree(files / "bin")
    assert "; f1 of 'no';" in prepare_pairs(files, vocabulary, "--metrics", "f1", "--labels", "yes", "no")[1]


def test_cells_in_quotes_are_warned_of_and_quoted_reads_them(files, vocabulary):
    text = 'one\ttwo\tclass\n"a ""b"""\tc\t"yes"\n"d\te"\tf\tno\n'
    (files / "train.tsv").write_text(text.replace("d\te", "d e"))
    (files / "valid.tsv").write_text(text.replace("d\te", "d e"))
    status, _, said = prepare_pairs(files, vocabulary)
    assert (
        status == 0
        and said.count("train.tsv: 3 of 6 cells begin and end with quotes, which are read as text") == 1
    ), said
    assert read_task_info(files / "bin").labels == ('"yes"', "no")
    shutil.rmtree(files / "bin")
    for name in ("train.tsv", "valid.tsv"):
        (files / name).write_text(text)
    status, _, said = prepare_pairs(files, vocabulary, "--quoted")
    assert (status, said) == (0, "") and read_task_info(files / "bin").labels == ("no", "yes")


def test_labels_of_wrong_or_several_kinds_are_refused_and_numbers_to_predict_may_have_points_or_none(
    files, vocabulary
):
    given = ["--text", "one", "--label", "y", "--train", files / "a.jsonl"]
    for labels, sentence in (
        ('["a"] "b"', "a.jsonl, line 1: the label 'y' is [\"a\"], a list"),
        ("1 1.0", "write all labels of a file"),
        ("1 true", "write all labels of a file"),
    ):
        (files / "a.jsonl").write_text("".join(f'{{"one": "x", "y": {label}}}\n' for label in labels.split()))
        assert_refused(
            files,
            electra_here("prepare", "--vocab", vocabulary, "--destdir", files / "bin", *given),
            sentence,
        )
    (files / "a.jsonl").write_text("".join(f'{{"one": "x", "y": {label}}}\n' for label in (1, 2.5, 3)))
    assert (
        electra_here("prepare", "--vocab", vocabulary, "--destdir", files / "bin", *given, "--regression")[0]
        == 0
    )
    assert (files / "bin" / "label" / "train.label").read_text() == "1.0\n2.5\n3.0\n"


def test_prepare_glue_writes_nothing_if_one_file_is_wrong(tmp_path, vocabulary):
    for task, label in (("RTE", "entailment"), ("WNLI", "2")):
        (tmp_path / "GLUE" / task).mkdir(parents=True)
        (tmp_path / "GLUE" / task / "train.tsv").write_text(
            f"index\tsentence1\tsentence2\tlabel\n0\ta\tb\t{label}\n"
        )
    done = electra_here(
        "prepare", "--vocab", vocabulary, "--destdir", tmp_path / "bin", "--glue", tmp_path / "GLUE"
    )
    assert_refused(tmp_path, done, "WNLI/train.tsv, line 2", "unknown label '2'")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ((), "bin/WNLI exists and is not empty; name a new folder"),
        (("--vocab", "absent"), "no such folder of a vocabulary: absent; check the path"),
    ],
)
def test_prepare_glue_checks_folders_before_reading(tmp_path, vocabulary, monkeypatch, more, sentence):
    for task in ("RTE", "WNLI"):
        (tmp_path / "GLUE" / task).mkdir(parents=True)
    (tmp_path / "bin" / "WNLI").mkdir(parents=True)
    (tmp_path / "bin" / "WNLI" / "task.json").write_text("")
    monkeypatch.setattr(
        "fairseq_electra.finetuning.sentences.prepare.glue_task", lambda *_: pytest.fail("read")
    )
    given = ["--vocab", vocabulary, "--destdir", tmp_path / "bin", "--glue", tmp_path / "GLUE"]
    status, _, said = electra_here("prepare", *with_options(given, more))
    assert (
        status == 1 and sentence in said and [path.name for path in (tmp_path / "bin").iterdir()] == ["WNLI"]
    )


@pytest.mark.parametrize("source", [["--squad"], ["--conll"], ["--text", "one", "--label", "class"]])
def test_a_folder_in_use_is_refused_before_anything_is_read(files, vocabulary, source):
    (files / "bin").mkdir()
    (files / "bin" / "a").write_text("a")
    (files / "train.tsv").write_text("nothing of the kind")
    status, _, said = electra_here(
        "prepare", "--vocab", vocabulary, "--destdir", files / "bin", *source, "--train", files / "train.tsv"
    )
    assert status == 1 and "bin exists and is not empty; name a new folder" in said


def test_prepare_refuses_a_vocabulary_whose_files_differ(files, vocabulary):
    shutil.copytree(vocabulary, files / "vocab")
    lines = (files / "vocab" / "dict.txt").read_text().splitlines()
    (files / "vocab" / "dict.txt").write_text("\n".join([lines[1], lines[0], *lines[2:]]) + "\n")
    assert_refused(files, prepare_pairs(files, files / "vocab"), "have different ids")


def test_empty_texts_are_counted_and_a_label_that_is_a_text_is_refused(tmp_path, vocabulary):
    for name in ("train", "valid"):
        (tmp_path / f"{name}.tsv").write_text("text\tclass\na cat\tx\n\ty\n \tx\n")
    given = ["prepare", "--vocab", vocabulary, "--destdir", tmp_path / "bin", "--text", "text"]
    files = ["--train", tmp_path / "train.tsv", "--valid", tmp_path / "valid.tsv"]
    status, _, said = electra_here(*given, "--label", "text", *files)
    assert status == 1 and "--label 'text' is a column of --text as well" in said
    status, output, said = electra_here(*given, "--label", "class", *files)
    assert status == 0 and "; 4 texts are empty" in output, output + said
