"""What to predict on, read as prepare reads the training's files."""

import gzip
import io
import json
import os

import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.files.inputs import read_inputs, texts_in
from fairseq_electra.files.quotes import warn_of_quotes
from fairseq_electra.files.table import Columns, has_labels, read_rows
from fairseq_electra.finetuning.words.read import has_tags

RECORDS = [{"id": 1, "second": "a\tb", "first": "one\ntwo"}, {"first": "x", "second": ""}]
TEXTS = [("one\ntwo", "a\tb"), ("x", "")]
JSON_LINES = "".join(json.dumps(record) + "\n" for record in RECORDS)


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("before", ["", "\ufeff", "\n  \n"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "a.jsonl.gz"])
def test_json_lines_are_told_by_the_name_or_the_first_line_and_give_the_texts_of_their_columns(
    tmp_path, name, before
):
    content = (before + JSON_LINES.replace("\n", "\n\n", 1)).encode()
    path = write(tmp_path / name, gzip.compress(content) if name.endswith("gz") else content)
    assert list(read_inputs(path, ("first", "second"))) == TEXTS
    assert [texts_in(given) for given in TEXTS] == [list(texts) for texts in TEXTS]


def test_json_lines_come_from_standard_input_too(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(JSON_LINES.encode())))
    assert list(read_inputs("-", ("first", "second"))) == TEXTS


@pytest.mark.parametrize("first", ["plain", "", "{braces} of text", "{ and", '["a list"]', '"a text"', "5"])
def test_other_lines_stay_as_they_are_without_a_byte_order_mark(tmp_path, first):
    lines = [first, "", "  two\twords ", '{"first": "later"}', "\ufeff"]
    path = write(tmp_path / "a.txt", "\ufeff" + "\n".join(lines) + "\n")
    assert list(read_inputs(path, ("first",))) == lines if first else list(read_inputs(path))[1:] == lines[1:]


@pytest.mark.parametrize(
    ("text", "columns", "named", "message"),
    [
        (
            JSON_LINES,
            (),
            False,
            "a.txt, line 1: a JSON record with 'id', 'second', 'first', and the model does not know which",
        ),
        (
            JSON_LINES,
            ("sentence",),
            False,
            "a.txt, line 1: no 'sentence', it has 'id', 'second', 'first'; name the columns with --text",
        ),
        (JSON_LINES + '{"first": null}\n', ("first",), False, "a.txt, line 3: 'first' is null"),
        (
            JSON_LINES + '{"first": ["x"]}\n',
            ("first",),
            False,
            "a.txt, line 3: the text 'first' is [\"x\"], a list; write a text",
        ),
        (JSON_LINES + "plain\n", ("first",), False, "a.txt, line 3: not JSON"),
        (
            '{"first": ' + "1" * 5000 + "}\n",
            ("first",),
            False,
            "a.txt, line 1: not JSON (a whole number of more digits",
        ),
        (
            '{"first":' * 100_000,
            ("first",),
            False,
            "a.txt, line 1: not JSON (lists or objects inside each other",
        ),
        ("plain\n", ("first",), True, "a.txt, line 1: not JSON"),
        (json.dumps(RECORDS[0], indent=1), ("first",), False, "a.txt, line 1: not JSON"),
        ('{"first": "x"\n', ("first",), False, "a.txt, line 1: not JSON"),
    ],
)
def test_records_without_their_texts_are_refused_with_the_line(tmp_path, text, columns, named, message):
    with pytest.raises(InputError) as caught:
        list(read_inputs(write(tmp_path / "a.txt", text), columns, named))
    assert message in str(caught.value)


def test_tables_give_the_texts_of_their_columns(tmp_path):
    rows = 'id,second,first\n1,"a, b","one\ntwo"\n2,,x\n'
    assert list(read_inputs(write(tmp_path / "a.csv", rows), ("first", "second"))) == [
        ("one\ntwo", "a, b"),
        ("x", ""),
    ]
    tsv = write(tmp_path / "a.tsv", "id\tfirst\tsecond\n1\tone\t two\n")
    assert list(read_inputs(tsv, ("second", "first"), named=True)) == [(" two", "one")]
    assert list(read_inputs(tsv, ("second", "first"))) == [(" two", "one")]
    tsv = write(tmp_path / "a.tsv", 'id\tfirst\n1\t"say ""a\tb"""\n')
    assert list(read_inputs(tsv, ("first",), named=True, quoted=True)) == [('say "a\tb"',)]
    with pytest.raises(
        InputError, match=r"a\.csv is a CSV or TSV by its name, and the model does not know which columns"
    ):
        list(read_inputs(tmp_path / "a.csv"))


@pytest.mark.parametrize(("name", "row"), [("a.tsv", "1\tone\ttwo\n"), ("a.csv", "1,one,two\n")])
def test_the_columns_of_a_table_may_be_named_beside_it(tmp_path, name, row):
    header = ("id", "first", "second")
    read = read_inputs(write(tmp_path / name, row * 2), ("second", "first"), named=True, header=header)
    assert list(read) == [("two", "one")] * 2


def test_a_tsv_that_names_the_columns_is_read_by_them_and_others_line_by_line(tmp_path):
    named = write(tmp_path / "a.tsv", "id\tsecond\tfirst\n1\tb\ta\n")
    assert list(read_inputs(named, ("first", "second"))) == [("a", "b")]
    assert list(read_inputs(named, ("first", "third"))) == ["id\tsecond\tfirst", "1\tb\ta"]
    plain = write(tmp_path / "a.txt", "first\tsecond\na\tb\n")
    assert list(read_inputs(plain, ("first", "second"))) == ["first\tsecond", "a\tb"]


@pytest.mark.parametrize("name", ["a.tsv", "a.csv"])
def test_an_empty_line_of_a_single_column_is_an_empty_text_but_for_those_at_the_end(tmp_path, name):
    path = write(tmp_path / name, "text\nthe cat\n\n\nthe dog\n\n")
    texts = list(read_inputs(path, ("text",), named=True))
    assert texts == [("the cat",), ("",), ("",), ("the dog",)]
    columns = Columns(("text",))
    assert [number for number, _ in read_rows(path, columns)] == [2, 3, 4, 5]


def test_a_file_that_is_read_twice_must_not_be_a_pipe(tmp_path):
    pipe = tmp_path / "pipe.tsv"
    os.mkfifo(pipe)
    columns = Columns(("text",), "label")
    for path in (pipe, "-"):
        with pytest.raises(InputError, match=f"^{path} is not a file that can be read several"):
            has_labels(path, columns)
        with pytest.raises(InputError, match="is not a file that can be read several times"):
            has_tags(path)
        warn_of_quotes(path, columns)  # reads nothing, or it would wait


def test_names_of_columns_that_the_file_has_itself_are_refused(tmp_path):
    path = write(tmp_path / "a.tsv", "text\tlabel\na\tb\n")
    columns = Columns(("text",), "label", header=("text", "label"))
    with pytest.raises(InputError, match=r"a\.tsv: its first line names the columns, as --header does"):
        list(read_rows(path, columns))
    records = write(tmp_path / "a.jsonl", '{"text": "a", "label": "b"}\n')
    for given, option in ((columns, "--header"), (Columns(("text",), "label", quoted=True), "--quoted")):
        with pytest.raises(InputError, match=f"^{option} is for a TSV, and .*a.jsonl holds JSON lines"):
            list(read_rows(records, given))
