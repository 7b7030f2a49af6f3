import csv
import gzip
import io
import json
import lzma
import re
from dataclasses import replace

import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.files.table import Columns, has_labels
from fairseq_electra.finetuning.sentences.read import Example, classes_of, quoted_cells, read_examples

PAIR = Columns(("first", "second"), "label")
TSV = "id\tfirst\tsecond\tlabel\n7\tOne bird.\tTwo birds.\tno\n8\tA cat.\tA feline.\tyes\n"
READ = [("One bird.", "Two birds.", "no"), ("A cat.", "A feline.", "yes")]


def plain(examples):
    return [(*example.texts, example.label) for example in examples]


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def json_lines(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


def refusal(path, columns):
    with pytest.raises(InputError) as caught:
        read_examples(path, columns)
    return str(caught.value)


def test_columns_are_found_by_name_and_given_in_the_order_asked_for(tmp_path):
    path = write(tmp_path / "a.tsv", TSV)
    assert plain(read_examples(path, PAIR)) == READ
    assert plain(read_examples(path, Columns(("second", "first"), "id"))) == [
        ("Two birds.", "One bird.", "7"),
        ("A feline.", "A cat.", "8"),
    ]


def test_names_can_be_given_for_a_file_without_header(tmp_path):
    path = write(tmp_path / "a.tsv", TSV.split("\n", 1)[1])
    columns = Columns(PAIR.texts, "label", header=("id", "first", "second", "label"))
    assert plain(read_examples(path, columns)) == READ
    assert [example.place for example in read_examples(path, columns)] == [
        f"{path}, line 1",
        f"{path}, line 2",
    ]


def test_a_file_read_without_label_gives_none(tmp_path):
    path = write(tmp_path / "a.tsv", TSV)
    assert read_examples(path, Columns(("first",)))[1] == Example(("A cat.",), None, f"{path}, line 3")


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".jsonlines"])
def test_json_lines_are_told_by_the_name_of_the_file(tmp_path, ending):
    records = [
        dict(zip(("label", "second", "first"), (label, second, first), strict=True))
        for first, second, label in READ
    ]
    path = write(tmp_path / f"a{ending}", "\n" + json_lines(records[0]) + "  \n" + json_lines(records[1]))
    examples = read_examples(path, PAIR)
    assert plain(examples) == READ
    assert [example.place for example in examples] == [f"{path}, line 2", f"{path}, line 4"]


def test_json_numbers_are_labels_as_they_stand_and_zero_is_one(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"t": "a", "l": 0}\n{"t": "b", "l": 2.50}\n{"t": "c", "l": "2.50"}\n')
    assert [example.label for example in read_examples(path, Columns(("t",), "l", numbers=True))] == [
        "0",
        "2.5",
        "2.50",
    ]


@pytest.mark.parametrize(
    ("labels", "read"),
    [
        ("0 1 0", "0 1 0"),
        ("true false true", "true false true"),
        ("0.5 1.0 1e3", "0.5 1.0 1000.0"),
        ('"1" "a" "x"', "1 a x"),
    ],
)
def test_json_labels_of_one_kind_are_classes(tmp_path, labels, read):
    path = write(tmp_path / "a.jsonl", "".join(f'{{"t": "a", "l": {label}}}\n' for label in labels.split()))
    assert [example.label for example in read_examples(path, Columns(("t",), "l"))] == read.split()


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (
            "1",
            "1.0",
            (
                "line 3: the label '1.0' is a number with a point, where line 1 has a whole number; write all"
                " labels of a file in one way"
            ),
        ),
        (
            "1",
            "true",
            "line 3: the label 'true' is true or false, where line 1 has a whole number; write all labels",
        ),
        ('"1"', "1", "line 3: the label '1' is a whole number, where line 1 has a text; write all labels"),
    ],
)
def test_json_labels_of_several_kinds_are_refused(tmp_path, first, second, message):
    path = write(tmp_path / "a.jsonl", f'{{"t": "a", "l": {first}}}\n\n{{"t": "b", "l": {second}}}\n')
    assert refusal(path, Columns(("t",), "l")).startswith(f"{path}, {message}")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (
            '{"t": "a", "l": ["a"]}',
            "the label 'l' is [\"a\"], a list; a label is a text, a finite number, true or false",
        ),
        ('{"t": "a", "l": {"is": 1}}', "the label 'l' is {\"is\": 1}, an object; a label is a text"),
        ('{"t": "a", "l": NaN}', "the label 'l' is NaN, a number with a point; a label is a text"),
        ('{"t": "a", "l": 1e999}', "the label 'l' is Infinity, a number with a point; a label is a text"),
        ('{"t": "a", "l": "\\ud83d"}', "the label 'l' holds half a character, '\\ud83d' at 0"),
        ('{"t": "a", "l": "two\\nlines"}', "the label 'two\\nlines' holds a line end; write it in one line"),
        ('{"t": ["a", "b"], "l": "x"}', 'the text \'t\' is ["a", "b"], a list; write a text, in quotes'),
        ('{"t": {"de": "a"}, "l": "x"}', 'the text \'t\' is {"de": "a"}, an object; write a text'),
        ('{"t": 1984, "l": "x"}', "the text 't' is 1984, a whole number; write a text"),
        ('{"t": false, "l": "x"}', "the text 't' is false, true or false; write a text"),
        ('{"t": "a\\udc00b", "l": "x"}', "the text 't' holds half a character, '\\udc00' at 1"),
    ],
)
def test_a_value_of_json_that_is_no_text_or_no_label_is_refused_with_its_line(tmp_path, record, message):
    path = write(tmp_path / "a.jsonl", '{"t": "good", "l": "x"}\n' + record + "\n")
    assert refusal(path, Columns(("t",), "l")).startswith(f"{path}, line 2: {message}")


def test_one_number_written_in_two_ways_is_no_two_classes(tmp_path):
    path = write(tmp_path / "a.tsv", "t\tl\na\t1\nb\t0\nc\t1.0\n")
    with pytest.raises(InputError) as caught:
        classes_of(read_examples(path, Columns(("t",), "l")))
    assert str(caught.value).startswith(
        f"{path}, line 4: the label '1.0' is the same number as '1' ({path}, line 2); write it in one way"
    )


def test_classes_are_in_order_numbers_first(tmp_path):
    for labels, expected in (
        (
            ["b", "10", "9", "a", "nan", "-1", "9", "inf", "NaN"],
            ("-1", "9", "10", "NaN", "a", "b", "inf", "nan"),
        ),
        (["1", "nan", "0"], ("0", "1", "nan")),
    ):
        path = write(tmp_path / "a.tsv", "t\tl\n" + "".join(f"x\t{label}\n" for label in labels))
        assert classes_of(read_examples(path, Columns(("t",), "l"))) == expected


def test_a_json_file_has_labels_if_any_record_has_one(tmp_path):
    columns = Columns(("t",), "l")
    for text, expected in (
        ('{"t": "a"}\n{"t": "b", "l": null}\n', False),
        ('{"t": "a", "l": null}\n{"t": "b", "l": 0}\n', True),
        ('{"t": "a"}\n\n{"t": "b", "l": "x"}\n', True),
        ("no json\n", False),
        ('{"t": "a"}\nno json\n', False),
        ('no json\n{"t": "a", "l": "x"}\n', True),
    ):
        assert has_labels(write(tmp_path / "a.jsonl", text), columns) is expected


QUOTED = (
    'id\t"first"\tsecond\t"label"\n7\t"a ""b""\tc"\tx "y"\t"no"\n\n8\t"two\nlines"\t""\tyes\n9\tA\tB\tno\n'
)


def test_quoted_cells_hold_tabs_quotes_and_line_ends(tmp_path):
    columns = Columns(PAIR.texts, "label", quoted=True)
    for text in (
        QUOTED,
        "\ufeff" + QUOTED.replace("id\t", "", 1).replace("7\t", "").replace("8\t", "").replace("9\t", ""),
    ):
        path = write(tmp_path / "a.tsv", text)
        assert has_labels(path, columns)
        found = read_examples(path, columns)
        assert plain(found) == [('a "b"\tc', 'x "y"', "no"), ("two\nlines", "", "yes"), ("A", "B", "no")]
        assert [example.place.removeprefix(f"{path}, line ") for example in found] == ["2", "4", "6"]


@pytest.mark.parametrize(("name", "quoted"), [("a.csv", False), ("a.tsv", True)])
def test_a_cell_may_be_as_long_as_a_document(tmp_path, name, quoted):
    text = "word " * 30_000
    path = write(tmp_path / name, f't\tl\n"{text}"\tx\n')
    assert read_examples(path, Columns(("t",), "l", quoted=quoted))[0].texts == (text.strip(),)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            '"never closed\tB\tx\nC\tD\tx\n',
            "line 3: not a TSV with quotes (unexpected end of data); close every quote, and double those",
        ),
        ("a\rb\tB\tx\n", "line 3: not a TSV with quotes (a carriage return outside quotes); remove it, or"),
        ('"closed" early\tB\tx\n', "line 3: not a TSV with quotes ("),
        ('"A\tB"\tx\n', "line 3: 2 columns, not 3"),
    ],
)
def test_bad_quotes_are_refused_with_the_line_where_the_row_begins(tmp_path, row, message):
    path = write(tmp_path / "a.tsv", "first\tsecond\tlabel\nA\tB\tx\n" + row)
    assert refusal(path, Columns(PAIR.texts, "label", quoted=True)).startswith(f"{path}, {message}")


def test_quotes_that_are_read_as_text_are_counted_and_those_of_a_header_named(tmp_path):
    path = write(tmp_path / "a.tsv", 'first\tsecond\tlabel\n"A"\tB "b"\t"yes"\n"\t"C" d\tno\n')
    assert quoted_cells(read_examples(path, PAIR)) == 2
    path = write(tmp_path / "b.tsv", '"first"\t"second"\t"label"\n"A"\t"B"\t"x"\n')
    assert refusal(path, PAIR).endswith("give --quoted")


def test_tabs_and_line_ends_written_inside_json_stay_in_the_text(tmp_path):
    path = write(tmp_path / "a.jsonl", json_lines({"t": "one\ttwo\nthree", "l": "x"}))
    assert read_examples(path, Columns(("t",), "l"))[0].texts == ("one\ttwo\nthree",)


@pytest.mark.parametrize(("ending", "opener"), [(".gz", gzip.open), (".xz", lzma.open)])
def test_a_compressed_file_is_read_as_the_plain_one(tmp_path, ending, opener):
    for name, content in (
        ("a.tsv", TSV),
        ("a.jsonl", json_lines(*(dict(zip(("first", "second", "label"), row, strict=True)) for row in READ))),
    ):
        with opener(tmp_path / (name + ending), "wb") as stream:
            stream.write(content.encode())
        assert plain(read_examples(tmp_path / (name + ending), PAIR)) == READ


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_byte_order_mark_belongs_to_no_column(tmp_path, compress):
    end = ".gz" if compress is gzip.compress else ""
    by_name = write(
        tmp_path / f"a.tsv{end}", compress(("\ufefffirst\tsecond\tlabel\n" + "A\tB\tyes\n").encode())
    )
    headless = write(tmp_path / f"b.tsv{end}", compress("\ufeffyes\tA\tB\n".encode()))
    records = write(
        tmp_path / f"c.jsonl{end}",
        compress(("\ufeff" + json_lines({"first": "A", "second": "B", "label": "yes"})).encode()),
    )
    for path, columns in (
        (by_name, PAIR),
        (headless, Columns(PAIR.texts, "label", ("label", "first", "second"))),
        (records, PAIR),
    ):
        assert plain(read_examples(path, columns)) == [("A", "B", "yes")]


def test_a_zero_width_space_of_the_same_code_elsewhere_is_text(tmp_path):
    path = write(tmp_path / "a.tsv", "first\tsecond\tlabel\nA\tB\tyes\n\ufeffC\tD\tno\n")
    assert read_examples(path, PAIR)[1].texts == ("\ufeffC", "D")


def test_carriage_returns_before_line_ends_are_no_part_of_the_last_column(tmp_path):
    path = write(tmp_path / "a.tsv", TSV.replace("\n", "\r\n"))
    assert plain(read_examples(path, PAIR)) == READ


def test_quotes_are_characters_like_others(tmp_path):
    rows = ['"one "" two\t"\tx', "it's \"so\"\t'no'\tx", '"open\tclose"\tx']
    path = write(tmp_path / "a.tsv", "\n".join(["first\tsecond\tlabel", *rows]) + "\n")
    assert ["\t".join([*example.texts, example.label]) for example in read_examples(path, PAIR)] == rows


def test_blanks_around_a_column_go_and_those_inside_stay(tmp_path):
    path = write(tmp_path / "a.tsv", "first\tsecond\tlabel\n two  words \t\u00a0x\u2028y\t yes \n")
    assert plain(read_examples(path, PAIR)) == [("two  words", "x\u2028y", "yes")]


def test_an_empty_text_is_an_example_and_an_empty_line_is_none(tmp_path):
    path = write(tmp_path / "a.tsv", "first\tsecond\tlabel\n\n\tB\tyes\n\n")
    assert read_examples(path, PAIR) == [Example(("", "B"), "yes", f"{path}, line 3")]


def test_lines_of_another_length_can_be_passed_over(tmp_path):
    path = write(tmp_path / "a.tsv", "first\tsecond\tlabel\nA\tB\nC\tD\tno\nE\tF\tyes\tmore\n")
    columns = Columns(PAIR.texts, "label", skip_short_lines=True)
    assert read_examples(path, columns) == [Example(("C", "D"), "no", f"{path}, line 3")]


HEAD = "first\tsecond\tlabel\n"
GOOD = '{"first": "A", "second": "B", "label": "x"}\n'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.tsv",
            "first\tsecond\tclass\nA\tB\tx\n",
            "{} has no column 'label', its first line names 'first', 'second', 'class'; name one",
        ),
        (
            "a.tsv",
            "second\tlabel\nB\tx\n",
            "{} has no column 'first', its first line names 'second', 'label'; name one",
        ),
        ("a.tsv", "first\tsecond\tlabel\tlabel\nA\tB\tx\ty\n", "{} has several columns 'label'"),
        ("a.tsv", HEAD + "A\tB\tx\n\nA\tB\n", "{}, line 4: 2 columns, not 3; write all of them"),
        ("a.tsv", HEAD + "A\tB\tx\ty\n", "{}, line 2: 4 columns, not 3; a cell cannot hold a tab"),
        (
            "a.tsv",
            HEAD + "A\tB\tx\nA\tB\t \n",
            "{}, line 3: the label in column 'label' is empty; every line of this file needs one",
        ),
        ("a.tsv", "", "{} is empty, or its first line is"),
        ("a.tsv", HEAD, "{} holds no example; give a file with at least one line of data"),
        ("a.tsv", HEAD + "\n\n", "{} holds no example; give a file with at least one line of data"),
        (
            "a.tsv",
            HEAD.encode() + b"A\tcaf\xe9\tx\n",
            "{}, line 2: not UTF-8 (byte 0xe9 at column 5); convert it from the encoding",
        ),
        (
            "a.tsv.gz",
            gzip.compress((HEAD + "A\tB\tx\n").encode(), mtime=0)[:-9],
            "{}: damaged or cut-short compressed file after line",
        ),
        ("a.jsonl", "", "{} holds no example; give a file with at least one line of data"),
        ("a.jsonl", " \n\n", "{} holds no example; give a file with at least one line of data"),
        ("a.jsonl", GOOD + "{'first': 'A'}\n", "{}, line 2: not JSON (Expecting property name"),
        ("a.jsonl", GOOD + GOOD[:-3] + "\n", "{}, line 2: not JSON (Unterminated string"),
        (
            "a.jsonl",
            GOOD + '{"first": ' + "1" * 5000 + "}\n",
            "{}, line 2: not JSON (a whole number of more digits than can be read)",
        ),
        (
            "a.jsonl",
            GOOD + '{"first":' * 100_000,
            "{}, line 2: not JSON (lists or objects inside each other, too many to read)",
        ),
        (
            "a.jsonl",
            GOOD + '["A", "B", "x"]\n',
            "{}, line 2: list, not an object; every line must be one, such as {{...}}",
        ),
        ("a.jsonl", "null\n", "{}, line 1: NoneType, not an object"),
        (
            "a.jsonl",
            GOOD + '{"first": "A", "label": "x"}\n',
            "{}, line 2: no 'second', it has 'first', 'label'",
        ),
        (
            "a.jsonl",
            '{"first": "A", "second": "B", "label": null}\n',
            "{}, line 1: 'label' is null; every record needs a value",
        ),
        ("a.jsonl", GOOD + GOOD.replace("x", ""), "{}, line 2: the label in column 'label' is empty"),
        ("a.jsonl", GOOD + GOOD.replace("x", "  "), "{}, line 2: the label in column 'label' is empty"),
    ],
)
def test_bad_input_is_refused_by_file_and_line(tmp_path, name, content, message):
    path = write(tmp_path / name, content)
    assert refusal(path, PAIR).startswith(message.format(path))


def test_a_missing_file_is_named(tmp_path):
    assert re.fullmatch(
        rf"cannot read {re.escape(str(tmp_path))}/absent\.tsv: .*; check the path",
        refusal(tmp_path / "absent.tsv", PAIR),
    )


CELLS = [
    ["first", "second", "label"],
    ["A, or B", 'a "quote"', "x"],
    ["two\nlines", "; \t", "y"],
    ["", "B", "x"],
]


def as_csv(delimiter):
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter).writerows(CELLS)
    return stream.getvalue()


@pytest.mark.parametrize("name", ["a.csv", "a.CSV", "a.csv.gz"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_is_told_by_its_name_and_what_stands_between_its_columns_by_its_first_line(
    tmp_path, name, delimiter
):
    content = ("\ufeff" + as_csv(delimiter)).encode()
    path = write(tmp_path / name, gzip.compress(content) if name.endswith("gz") else content)
    found = read_examples(path, PAIR)
    assert [[*example.texts, example.label] for example in found] == [
        [cell.strip() for cell in row] for row in CELLS[1:]
    ]
    assert [example.place for example in found] == [f"{path}, line {number}" for number in (2, 3, 5)]
    assert has_labels(path, PAIR) and not has_labels(path, replace(PAIR, label="class"))


def test_a_csv_without_a_header_is_cut_into_as_many_columns_as_are_named(tmp_path):
    path = write(tmp_path / "a.csv", "a, b, c, d;e, f;x\n")
    (example,) = read_examples(path, replace(PAIR, header=("first", "second", "label")))
    assert (example.texts, example.label) == (("a, b, c, d", "e, f"), "x")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            "first,second,label\nA,B\n",
            "{}, line 2: 2 columns, not 3; write all of them",
        ),
        ("a.csv", 'first,second,label\nA,"B,x\n', "{}, line 2: not a CSV with quotes"),
        ("a.csv", "", "{} is empty, or its first line is"),
        (
            "a.csv",
            "first,class\n",
            "{} has no column 'second', its first line names 'first', 'class'; name one of these",
        ),
        (
            "a.tsv",
            "first,second,label\nA,B,x\n",
            "{} has no column 'first', its first line names 'first,second,label'; give a CSV a name"
            " that ends in .csv",
        ),
        ("a.tsv", "word " * 2000 + "\n", "{} has no column 'first', its first line names 'word word"),
        (
            "a.tsv",
            "\t".join(map(str, range(5000))) + "\n",
            "{} has no column 'first', its first line names '0', '1', '2', '3',",
        ),
    ],
)
def test_a_csv_that_cannot_be_read_is_refused_and_a_csv_named_tsv_is_recognised_in_a_short_message(
    tmp_path, name, content, message
):
    path = write(tmp_path / name, content)
    said = refusal(path, PAIR)
    assert said.startswith(message.format(path)) and len(said) < 300
