"""Examples that cannot be used are listed all at once and counted by kind, and left out with --skip-bad."""

import json

import numpy as np
import pytest

from fairseq_electra.cli import main
from fairseq_electra.errors import ExampleError, InputError, listed, shortened
from fairseq_electra.files.faults import STRICT, Faults
from fairseq_electra.files.table import Columns
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.questions import ANSWERING
from fairseq_electra.finetuning.questions.folder import find_windows
from fairseq_electra.finetuning.questions.read import Question, read_squad
from fairseq_electra.finetuning.sentences import PREDICTION
from fairseq_electra.finetuning.sentences.folder import usable_examples
from fairseq_electra.finetuning.sentences.read import read_examples
from fairseq_electra.finetuning.windows import number_of_windows, windows_of
from fairseq_electra.finetuning.words.folder import with_known_types
from fairseq_electra.finetuning.words.read import read_conll
from fairseq_electra.finetuning.words.tags import BIO
from fairseq_electra.progress import Progress

PAIR = Columns(("text",), "class")
CONTEXT = "The Normans came to France."


def written(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def squad(*records):
    return {"data": [{"paragraphs": [{"context": CONTEXT, "qas": list(records)}]}]}


def asked(number, answer="France", start=20, **more):
    return {
        "id": f"q{number}",
        "question": "Where?",
        "answers": [{"text": answer, "answer_start": start}],
    } | more


def test_what_is_wrong_is_gathered_and_the_good_examples_are_kept_in_a_tsv(tmp_path):
    lines = ["a\tyes", "b", "c\t", "d\tno", "e\tyes\tmore", "f\tmaybe"]
    path, faults = written(tmp_path / "a.tsv", "text\tclass\n" + "\n".join(lines) + "\n"), Faults()
    examples = read_examples(path, PAIR, faults)
    assert [example.texts[0] for example in examples] == ["a", "d", "f"]
    info = TaskInfo("task", PREDICTION, 1, ("no", "yes"), ("accuracy",), 16)
    assert [example.texts[0] for example in usable_examples("valid", examples, info, faults)] == ["a", "d"]
    places = [str(error).partition(":")[0] for error in faults.errors]
    assert places == [f"{path}, line {number}" for number in (3, 4, 6, 7)]
    assert faults.listing().startswith(
        "2 with another number of columns, 1 without a label, 1 with an unknown label\n  "
    )
    for reader in (lambda: read_examples(path, PAIR), lambda: read_examples(path, PAIR, STRICT)):
        with pytest.raises(InputError, match=r"a\.tsv, line 3: 1 columns, not 2"):
            reader()


def test_what_is_wrong_is_gathered_in_json_lines(tmp_path):
    records = [
        *['{"text": "a", "class": "x"}', "{", "[1]", '{"text": "b"}', '{"text": 1, "class": "x"}'],
        '{"text": "c", "class": 1}',
    ]
    faults = Faults()
    (example,) = read_examples(written(tmp_path / "a.jsonl", "\n".join(records) + "\n"), PAIR, faults)
    assert example.texts == ("a",)
    kinds = [
        "that are not JSON",
        "that are not JSON objects",
        "without a value in 'class'",
        "with a label of another kind",
    ]
    assert [error.kind for error in faults.errors if isinstance(error, ExampleError)] == kinds
    assert "1 with a value of another form" in faults.listing() and len(faults.errors) == 5


def test_what_is_wrong_is_gathered_in_questions(tmp_path):
    records = [
        asked(1),
        asked(2, "Paris"),
        asked(3, answers=[]),
        asked(1),
        asked(4, " "),
        {"id": "q5"},
        asked(6, is_impossible=True),
        asked(7),
    ]
    faults = Faults()
    found = read_squad(written(tmp_path / "a.json", squad(*records)), faults=faults)
    assert [question.id for question in found.questions] == ["q1", "q7"] and found.labelled
    assert faults.listing().startswith(
        "2 with an answer that is not where it says, 1 with the id of another, "
    )
    assert "1 without an answer" in faults.listing() and faults.listing().count("\n  ") == 6
    with pytest.raises(InputError, match="question q2: the answer 'Paris' is not in the context"):
        read_squad(tmp_path / "a.json")


def test_a_sentence_with_a_bad_line_is_left_out_whole_and_counted_once(tmp_path):
    text = "a\tO\nb\tX-Y\nc\n\nd\tB-PER\n\ne\nf\ng\tO\n\nh\tB-LOC\ni\tI-LOC\n\nj\tI-PER\n"
    faults = Faults()
    found = read_conll(written(tmp_path / "a.conll", text), BIO, faults=faults)
    assert [sentence.words for sentence in found] == [["d"], ["h", "i"]]
    lines = [int(str(error).partition("line ")[2].partition(":")[0]) for error in faults.errors]
    assert lines == [
        3,
        7,
        14,
    ], "the first sentence has a bad tag and a line without one: its first bad line is named"
    assert faults.listing().startswith("2 with a line that is not a word and a tag, 1 with a stray tag\n")
    known = with_known_types({"train": found[:1], "valid": found}, faults)
    assert [sentence.words for sentence in known["valid"]] == [["d"]] and "line 11: an entity 'LOC'" in str(
        faults.errors[-1]
    )


@pytest.mark.parametrize("content", ["a\tyes\tmore\n", "a\t\n"])
def test_a_file_of_bad_examples_alone_is_not_called_empty(tmp_path, content):
    faults = Faults()
    assert (
        read_examples(written(tmp_path / "a.tsv", "text\tclass\n" + content), PAIR, faults) == []
        and len(faults.errors) == 1
    )


def test_one_fault_is_the_message_and_several_are_a_list():
    faults = Faults()
    faults.raise_unless_skipped({"train": 0})
    for number in range(3):
        with faults:
            raise ExampleError("without a label" if number else "with two", f"line {number}")
        if number == 0:
            with pytest.raises(InputError, match=r"^line 0$"):
                faults.raise_unless_skipped({"train": 5})
    with pytest.raises(InputError) as caught:
        faults.raise_unless_skipped({"train": 5})
    summary, *lines = str(caught.value).split("\n  ")
    assert (
        summary
        == "3 examples cannot be used; correct them, or leave them out with --skip-bad: 2 without a label, 1"
        " with two"
    )
    assert lines == ["line 0", "line 1", "line 2"]
    with pytest.raises(InputError) as caught:
        faults.raise_unless_skipped({"train": 5, "valid": 0})
    assert "\n" not in str(caught.value), "where all are bad, it is not the examples: an option, or the file"


def test_faults_are_left_out_where_it_is_wished_unless_nothing_is_left():
    faults = Faults(skip=True)
    with faults:
        raise InputError("line 1")
    faults.raise_unless_skipped({"train": 5})
    with pytest.raises(
        InputError,
        match=(
            "no example of valid can be used; of all there are 1 with a value of another form, such as line 1"
        ),
    ):
        faults.raise_unless_skipped({"train": 5, "valid": 0})
    with pytest.raises(OSError), faults:
        raise OSError


@pytest.mark.parametrize("stride", [1, 3, 8, 20])
@pytest.mark.parametrize("max_length", [1, 5, 8])
def test_windows_are_counted_without_making_them(max_length, stride):
    for length in range(1, 40):
        assert number_of_windows(length, max_length, stride) == len(windows_of(length, max_length, stride))


def test_the_progress_says_how_many_windows_there_will_be():
    stages = []

    class Noted(Progress):
        def stage(self, *what):
            super().stage(*what)
            stages.append(what)

    progress = Noted()
    offsets = [np.stack([np.arange(length), np.arange(length) + 1], 1) for length in (30, 5)]
    questions = [Question(str(i), "?", context, ()) for i, context in enumerate((0, 1, 0))]
    info = TaskInfo("task", ANSWERING, 2, (), (), 16, stride=4)
    windows = find_windows(questions, [[7, 8], [7], [7, 8, 9]], offsets, info, "train", progress)
    assert stages == [("train: making windows of 3 questions", "windows", len(windows))] and len(windows) > 6
    assert f"{len(windows)} of {len(windows)} windows" in progress.line(0.0)


def test_names_in_messages_are_cut_in_number_and_in_length():
    assert listed(["a", "b"]) == "a, b" and listed([]) == ""
    assert listed(map(str, range(10))) == "0, 1, 2, 3, 4, 5, 6, 7, and 2 more"
    assert shortened("x" * 60) == "x" * 60 and shortened("x" * 61) == "x" * 57 + "..."
    assert len(listed(["word " * 2000] * 5000)) < 600


def prepare(tmp_path, vocabulary, *more):
    given = [
        *["prepare", "--vocab", vocabulary, "--destdir", tmp_path / "bin", "--train", tmp_path / "train"],
        *["--valid", tmp_path / "valid"],
    ]
    return main([str(word) for word in (*given, *more)])


def test_prepare_lists_all_bad_examples_and_leaves_them_out(tmp_path, vocabulary, capsys):
    for split in ("train", "valid"):
        records = [asked(1), asked(2, "Paris"), asked(3, "Rome"), asked(4, answers=[])]
        written(tmp_path / split, squad(*records))
    assert prepare(tmp_path, vocabulary, "--squad") == 1
    said = capsys.readouterr().err
    assert said.startswith(
        "fairseq-electra prepare: 6 examples cannot be used; correct them, or leave them out with --skip-bad:"
        " 4 with an answer"
    )
    assert (
        said.count("\n") == 7
        and said.count("valid, question q3: the answer 'Rome'") == 1
        and not (tmp_path / "bin").exists()
    )
    assert prepare(tmp_path, vocabulary, "--squad", "--skip-bad") == 0
    output, said = capsys.readouterr()
    assert (
        f"{tmp_path}/bin: train 1, valid 1; questions; 0 in several windows of 512 tokens, 2 windows in all; "
        in output
    )
    assert (
        said.startswith(
            "left out: 6 examples: 4 with an answer that is not where it says, 2 without an answer\n"
        )
        and said.count("\n") == 7
    )


def test_an_answer_of_which_the_vocabulary_leaves_nothing_is_left_out(tmp_path, vocabulary, capsys):
    content = squad(asked(1))
    content["data"][0]["paragraphs"].append(
        {"context": "a \u200b\u200d b", "qas": [asked(2, "\u200b\u200d", 2), asked(3, "b", 5)]}
    )
    for split in ("train", "valid"):
        written(tmp_path / split, content)
    assert prepare(tmp_path, vocabulary, "--squad", "--skip-bad") == 0
    output, said = capsys.readouterr()
    assert (
        "train 2, valid 2; " in output
        and "left out: 2 examples: 2 with an answer of which the vocabulary leaves nothing\n" in said
    )


def test_swapped_columns_are_recognised_in_a_short_message(tmp_path, vocabulary, capsys):
    lines = [f"{'a long sentence ' * 80}{number}\t{number % 2}\n" for number in range(100)]
    for split in ("train", "valid"):
        written(tmp_path / split, "text\tclass\n" + "".join(lines))
    assert prepare(tmp_path, vocabulary, "--text", "class", "--label", "text") == 1
    said = capsys.readouterr().err
    assert (
        "the column 'text' has 100 different values in 100 examples, such as 'a long" in said
        and "swapped?" in said
    )
    assert len(said) < 400 and said.count("\n") == 1
    assert (
        prepare(tmp_path, vocabulary, "--text", "class", "--label", "text", "--labels", *("word " * 300, "x"))
        == 1
    )
    said = capsys.readouterr().err
    assert "200 with an unknown label, such as " in said and len(said) < 500
