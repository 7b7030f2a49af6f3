"""What to predict on, read as prepare reads the training's files."""

import gzip
import io
import json

import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.files.inputs import read_inputs, texts_in

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
    assert list(read_inputs(tsv, ("second", "first"))) == [
        "id\tfirst\tsecond",
        "1\tone\t two",
    ], "lines of pairs, as without a name"
    tsv = write(tmp_path / "a.tsv", 'id\tfirst\n1\t"say ""a\tb"""\n')
    assert list(read_inputs(tsv, ("first",), named=True, quoted=True)) == [('say "a\tb"',)]
    with pytest.raises(
        InputError, match=r"a\.csv is a CSV by its name, and the model does not know which columns"
    ):
        list(read_inputs(tmp_path / "a.csv"))
