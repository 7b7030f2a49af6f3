"""Texts with several labels, out of TSV, CSV and JSON lines."""

import json

import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.files.faults import Faults
from fairseq_electra.files.table import Columns
from fairseq_electra.finetuning.multilabel.prepare import prepare_multi_label
from fairseq_electra.finetuning.multilabel.read import labels_in, read_labelled_texts

COLUMNS = Columns(("text",), "topics")
EXPECTED = [("a b", ("x", "y z")), ("c", ()), ("d", ("y z",))]


def found_in(path, separator=",", columns=COLUMNS):
    return [(" ".join(each.texts), each.labels) for each in read_labelled_texts(path, columns, separator)]


@pytest.mark.parametrize(
    ("name", "text", "separator"),
    [
        ("a.tsv", "text\ttopics\na b\tx,y z\nc\t\nd\t y z \n", ","),
        ("a.tsv", "topics\ttext\nx ; y z\ta b\n\tc\ny z\td\n", ";"),
        ("a.csv", 'text,topics\na b,"x, y z"\nc,\nd,y z\n', ","),
        ("a.csv", "text,topics\na b,x|y z\nc,\nd,y z\n", "|"),
        (
            "a.jsonl",
            (
                '{"text": "a b", "topics": ["x", "y z"]}\n{"text": "c", "topics": []}\n{"text": "d",'
                ' "topics": "y z"}\n'
            ),
            ",",
        ),
        (
            "a.jsonl",
            (
                '{"text": "a b", "topics": "x;y z"}\n{"text": "c", "topics": ""}\n{"text": "d", "topics": ["y'
                ' z"]}\n'
            ),
            ";",
        ),
    ],
)
def test_read_labelled_texts_reads_the_same_from_every_form(tmp_path, name, text, separator):
    (tmp_path / name).write_text(text)
    assert found_in(tmp_path / name, separator) == EXPECTED


def test_read_labelled_texts_reads_pairs_and_files_without_labels(tmp_path):
    (tmp_path / "a.tsv").write_text("one\ttwo\na\tb\n")
    assert found_in(tmp_path / "a.tsv", columns=Columns(("two", "one"))) == [("b a", None)]
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    assert found_in(tmp_path / "a.jsonl", columns=Columns(("text",))) == [("a", None)]


def test_read_labelled_texts_takes_json_labels_that_are_numbers_or_hold_the_separator(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a", "topics": [10, 9, "b, c", true]}\n')
    examples = read_labelled_texts(tmp_path / "a.jsonl", COLUMNS)
    assert examples[0].labels == ("10", "9", "b, c", "true") and labels_in(examples) == (
        "9",
        "10",
        "b, c",
        "true",
    )


@pytest.mark.parametrize(
    ("name", "line", "sentence"),
    [
        ("a.tsv", "b\tx,,y", "line 2: one of the 3 labels is empty"),
        ("a.tsv", "b\tx,y,", "line 2: one of the 3 labels is empty"),
        ("a.tsv", "b\tx, y,x", "line 2: the label 'x' stands there twice; write it once"),
        ("a.tsv", "b", "line 2: 1 columns, not 2"),
        ("a.csv", 'b,"x\ny"', "line 2: the label 'x\\ny' holds a line end"),
        (
            "a.jsonl",
            json.dumps({"text": "b", "topics": ["x", ["y"]]}),
            "a label in 'topics' is [\"y\"], a list",
        ),
        (
            "a.jsonl",
            json.dumps({"text": "b", "topics": {"x": 1}}),
            "a label in 'topics' is {\"x\": 1}, an object",
        ),
        ("a.jsonl", json.dumps({"text": "b", "topics": ["x", ""]}), "one of the 2 labels is empty"),
        (
            "a.jsonl",
            json.dumps({"text": "b", "topics": None}),
            "'topics' is null; every record needs a value there",
        ),
        (
            "a.jsonl",
            json.dumps({"text": ["b"], "topics": []}),
            "the text 'text' is [\"b\"], a list; write a text",
        ),
        ("a.jsonl", '{"text": "b", "topics": ["x"]', "not JSON"),
    ],
)
def test_read_labelled_texts_refuses_what_is_no_set_of_labels(tmp_path, name, line, sentence):
    header = {"a.tsv": "text\ttopics\n", "a.csv": "text,topics\n", "a.jsonl": ""}[name]
    (tmp_path / name).write_text(f"{header}{line}\n")
    with pytest.raises(InputError) as caught:
        read_labelled_texts(tmp_path / name, COLUMNS)
    assert str(caught.value).startswith(f"{tmp_path / name}, line ") and sentence in str(caught.value)
    faults = Faults(skip=True)
    assert read_labelled_texts(tmp_path / name, COLUMNS, faults=faults) == [] and len(faults.errors) == 1


PLENTY = "text\ttopics\n" + "".join(f"a\tword {i}\n" for i in range(30))


@pytest.mark.parametrize(
    ("train", "valid", "more", "sentence"),
    [
        (
            "a\tx\n",
            "b\tz,x\n",
            {},
            "valid.tsv, line 2: unknown label 'z'; known are x; name all with --labels",
        ),
        ("a\t\n", "b\t\n", {}, "train.tsv: no text has a label in 'topics'"),
        ("a\t<pad>\n", "b\t\n", {}, "'<pad>' stands there twice, or is a symbol of fairseq's"),
        ("a\tx\n", "b\t\n", {"labels": ["x", "x"]}, "'x' stands there twice"),
        ("a\t1\nb\t1.0\n", "b\t\n", {}, "the label '1.0' is the same number as '1'"),
        (
            "a\tx\n",
            "b\t\n",
            {"label_separator": " "},
            "--label-separator ' ': give what stands between labels",
        ),
        (
            "a\tx\n",
            "b\t\n",
            {"label": ""},
            "--multi-label needs --text COLUMN, --label COLUMN and --train FILE",
        ),
        ("a\tx\n", "b\t\n", {"label": "topic"}, "has no column 'topic'"),
        ("a\tx\n", "b\t\n", {"max_positions": 8}, "--max-positions must lie between 16 and 65535, got 8"),
        (PLENTY.partition("\n")[2], "b\t\n", {}, "has 30 different labels in 30 examples, such as 'word 9'"),
    ],
)
def test_prepare_multi_label_refuses_what_cannot_be_learned_and_writes_nothing(
    tmp_path, vocabulary, train, valid, more, sentence
):
    for split, text in (("train", train), ("valid", valid)):
        (tmp_path / f"{split}.tsv").write_text(f"text\ttopics\n{text}")
    files = {"train": tmp_path / "train.tsv", "valid": tmp_path / "valid.tsv"}
    with pytest.raises(InputError) as caught:
        prepare_multi_label(
            tmp_path / "bin", vocabulary, **{"text": ["text"], "label": "topics", **files, **more}
        )
    assert sentence in str(caught.value) and "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.tsv", "valid.tsv"]
