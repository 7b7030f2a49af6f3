"""Where documents start in text of every kind, and warnings for text that seems misunderstood."""

import gzip
import io
import json
import shutil

import pytest

from fairseq_electra.cli import main
from fairseq_electra.errors import InputError
from fairseq_electra.files.text import is_blank, read_lines, read_texts
from fairseq_electra.pretraining.documents import (
    BLANK_LINES,
    HEADINGS,
    LINES,
    DocumentCounts,
    read_plain,
    reader_of,
)
from fairseq_electra.pretraining.encode import encode_to_pieces
from fairseq_electra.pretraining.wordpiece import load_wordpiece, sample_lines
from fairseq_electra.speedrun.text import survey

# as WikiText writes it: a blank at both ends of a line, blank lines that are a blank, a blank between the
# signs of a section's heading
WIKITEXT = (
    " \n = Valkyria Chronicles = \n \n It is a game . \n It was released in 2011 . \n \n = = Gameplay = = \n "
    "\n As in = chess = . \n \n"
    " = = = Story = = = \n \n A squad . \n \n = Tower Building = \n \n It is a building . \n \n"
)
RECORDS = [{"body": "one\ntwo\r\n\n three"}, {"body": " "}, {"body": "four\u2028five", "other": 1}]
DOCUMENT_LINES = ["one", "two", " three", "", "four\u2028five"]


def written(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def documents_of(lines):
    return [
        block.split("\n") for block in "\n".join(line.strip() for line in lines).strip("\n").split("\n\n")
    ]


def understood(lines, files=1):
    documents = DocumentCounts()
    list(documents.over(lines))
    return documents, documents.warning("train", files)


def test_headings_begin_documents_and_blank_lines_are_passed_over(tmp_path):
    path = written(tmp_path / "wiki.txt", WIKITEXT)
    assert documents_of(read_plain(path, document_start=HEADINGS)) == [
        [
            *["= Valkyria Chronicles =", "It is a game .", "It was released in 2011 .", "= = Gameplay = ="],
            *["As in = chess = .", "= = = Story = = =", "A squad ."],
        ],
        ["= Tower Building =", "It is a building ."],
    ]
    mediawiki = written(tmp_path / "media.txt", "= A =\ntext\n== B ==\n\n=C=\nE = mc\n= D =\nmore\n")
    assert documents_of(read_plain(mediawiki, document_start=HEADINGS)) == [
        ["= A =", "text", "== B ==", "=C=", "E = mc"],
        ["= D =", "more"],
    ]
    assert list(read_plain(path)) == list(read_lines(path)), "by default nothing is added or left out"


def test_every_line_is_a_document_where_it_is_said(tmp_path):
    path = written(tmp_path / "a.txt", "one\ntwo\n\n \nthree")
    assert list(reader_of(document_start=LINES)(path, 64)) == ["one", "", "two", "", "three"]
    assert list(reader_of(document_start=BLANK_LINES)(path, 64)) == ["one", "two", "", " ", "three"]
    assert list(read_texts([path, path], reader_of(document_start=LINES)))[4:7] == [
        "three",
        "",
        "one",
    ], "the end of a file ends its document"


@pytest.mark.parametrize("name", ["a.jsonl", "a.json.gz", "a.txt", "a.csv", "a.tsv"])
def test_records_are_documents_and_the_lines_of_their_text_paragraphs(tmp_path, name):
    content = "".join(json.dumps(record) + "\n" for record in RECORDS)
    if name == "a.csv":
        content = 'other,body\n1,"one\ntwo\r\n\n three"\n2," "\n3,four\u2028five\n'
    elif name == "a.tsv":
        content = "body\tother\none\t1\n \t\nfour\u2028five\t3\n"
    path = written(tmp_path / name, gzip.compress(content.encode()) if name.endswith("gz") else content)
    wanted = DOCUMENT_LINES if name != "a.tsv" else ["one", "", "four\u2028five"]
    assert list(reader_of("body")(path, 64)) == wanted
    assert list(sample_lines([path], 0, read=reader_of("body"))) == wanted
    assert list(sample_lines([path], 100, read=reader_of("body"))) == wanted


def test_records_come_from_standard_input_and_long_lines_in_parts(monkeypatch):
    text = json.dumps({"body": "word " * 20}) + "\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    parts = list(reader_of("body")("-", 16))
    assert len(parts) == 7 and "".join(parts).split() == ["word"] * 20


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"body": "a"}\n{"text": "a"}\n', "a.jsonl, line 2: no 'body', it has 'text'"),
        ("a.jsonl", '{"body": ["a"]}\n', "a.jsonl, line 1: the text 'body' is [\"a\"], a list"),
        ("a.txt", "plain\n", "a.txt, line 1: not JSON"),
        ("a.csv", "text,label\na,b\n", "a.csv has no column 'body', its first line names 'text', 'label'"),
    ],
)
def test_records_without_the_column_are_refused_with_their_line(tmp_path, name, content, message):
    with pytest.raises(InputError) as caught:
        list(reader_of("body")(written(tmp_path / name, content), 64))
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json.xz", "a.CSV", "a.tsv.gz"])
def test_a_table_is_not_taken_for_plain_text(tmp_path, name):
    path = written(tmp_path / name, "text\n")
    for read in (lambda: list(reader_of()(path, 64)), lambda: survey([str(path)])):
        with pytest.raises(InputError, match=f"{name} is a table by its name.* and not plain text"):
            read()


@pytest.mark.parametrize(
    ("lines", "files", "warning"),
    [
        (WIKITEXT.split("\n") * 6, 1, "24 of 48 documents are a heading alone"),
        (["a line"] * 2000, 2, "no blank line among 2,000 lines, so each file is one document"),
        (["a line", ""] * 50, 1, "50 of 50 documents are one line, as blank lines stand around it"),
        (["", '{"body": "a"}', "b"], 1, "its first line is JSON and is read as plain text"),
        (["a line", "another", ""] * 2000, 1, ""),
        (["a line"] * 999, 1, ""),
        ([*["a line"] * 1000, "", *["a line"] * 1000], 1, ""),
        (["a line", ""] * 19, 1, ""),
        (["a line", "x", "", "= a heading =", ""] * 2 + ["a line", "another", ""] * 50, 1, ""),
        (["a line", '{"body": "a"}'], 1, ""),
        ([], 1, ""),
    ],
)
def test_text_that_seems_to_be_meant_in_another_way_is_warned_of(lines, files, warning):
    said = understood(lines, files)[1]
    assert said.startswith(f"WARNING: train: {warning}") if warning else said == ""


def test_lines_that_end_with_carriage_returns_alone_are_warned_of(tmp_path):
    for content, warned in (
        (b"one\rtwo\r\rthree\r", True),
        (b"one\r\ntwo\r\n", False),
        (b"a\rb\n" + b"c\n" * 20, False),
        (b"", False),
    ):
        (tmp_path / "a.txt").write_bytes(content)
        documents = DocumentCounts()
        list(documents.over(read_texts([tmp_path / "a.txt"])))
        assert bool(said := documents.warning_of_returns("a.txt")) == warned
        assert not warned or said.startswith(
            "WARNING: a.txt: 1 of 1 lines hold carriage returns, which end no line here"
        )


def test_lines_and_documents_are_counted_and_yielded_as_they_are():
    lines = ["", "one", " ", "\t", "two", "three", "", "four"]
    documents = DocumentCounts()
    assert list(documents.over(lines)) == lines
    assert (documents.lines, documents.documents, documents.of_one_line, documents.of_a_heading) == (
        4,
        3,
        2,
        0,
    )
    assert str(documents) == "3 documents of 1.3 lines with text on average"


@pytest.mark.parametrize(
    "line",
    [
        *["\u200b", "\ufeff \u00ad", "\t\u2060\u200e", "\ue000", "\ufffd", "\x00\r", "\u2028", " ", ""],
        *["\u200b.", "\u3000é", "\u0378"],
    ],
)
def test_a_line_of_which_the_vocabulary_leaves_nothing_ends_a_document(tmp_path, vocabulary, line):
    blank = not load_wordpiece(vocabulary).encode(line, add_special_tokens=False).ids
    assert is_blank(line) == blank
    lines = ["= A =", line, "b", "= C ="]
    documents = DocumentCounts()
    assert list(documents.over(lines)) == lines
    assert (documents.lines, documents.documents) == ((3, 2) if blank else (4, 1))
    if "\x00" not in line:
        path = written(tmp_path / "a.txt", "\n".join(lines))
        assert list(read_plain(path, document_start=HEADINGS)) == [
            "= A =",
            *([] if blank else [line]),
            "b",
            "",
            "= C =",
        ]
    record = written(tmp_path / "a.jsonl", json.dumps({"body": f"a\n{line}\nb"}))
    assert len(list(reader_of("body")(record, 64))) == (2 if blank else 3)


def test_text_without_the_headings_that_shall_begin_its_documents_is_warned_of():
    said = (
        "WARNING: train: no line among 3 is a heading of the form '= Title =', so each file is one document"
    )
    for lines, warning in ((["a", "b", "", "== c =="], said), (["a", "", "= b ="], "")):
        documents = DocumentCounts()
        list(documents.over(lines))
        assert documents.warning("train", 1, HEADINGS).startswith(warning) and bool(
            documents.warning("train", 1, HEADINGS)
        ) == bool(warning)
        assert documents.warning("train", 1, LINES) == ""


def test_encode_says_what_it_understood_and_takes_json_lines(tmp_path, vocabulary, capsys, monkeypatch):
    wiki = written(tmp_path / "wiki.txt", WIKITEXT * 6)
    other = str(written(tmp_path / "other.txt", "one\n\ntwo\n"))

    def given(text, *options):
        shutil.rmtree(tmp_path / "bin", ignore_errors=True)
        into = ["--destdir", str(tmp_path / "bin"), "--trainpref", str(text)]
        return main(["encode", "--vocab", str(vocabulary), *into, *options])

    assert given(wiki) == 0
    output, said = capsys.readouterr()
    assert "lines, " in output and "; 48 documents of 1.1 lines with text on average; " in output
    assert "24 of 48 documents are a heading alone" in said
    assert given(wiki, "--documents", "headings") == 0
    output, said = capsys.readouterr()
    assert "; 12 documents of 4.5 lines" in output and "a heading alone" not in said
    assert given(other, "--documents", "headings") == 0
    assert "no line among 2 is a heading of the form '= Title ='" in capsys.readouterr().err
    assert given(wiki, "--documents", "headings", "--text", "body") == 1
    assert "--documents is for plain text" in capsys.readouterr().err
    content = "".join(json.dumps(record) + "\n" for record in RECORDS)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(content.encode()))))
    assert main(["encode", "--vocab", str(vocabulary), "--text", "body"]) == 0
    output, said = capsys.readouterr()
    assert output.split("\n")[:-1] == list(encode_to_pieces(load_wordpiece(vocabulary), DOCUMENT_LINES))
    assert "2 documents of 2.0 lines" in said


def test_cells_in_quotes_are_warned_of_and_quoted_reads_them(tmp_path, vocabulary, capsys):
    path = written(tmp_path / "a.tsv", 'body\tid\n"the ""name"""\t1\nan object\t2\n')
    what = "1 of the first 2 cells begin and end with quotes, which are read as text"
    warning = f"warning: {path}: {what}; if they are not, give --quoted"
    for given in (
        ["vocab", "--size", "200", "--output", str(tmp_path / "vocab"), str(path), "--text", "body"],
        [
            "encode",
            "--vocab",
            str(vocabulary),
            "--destdir",
            str(tmp_path / "bin"),
            "--trainpref",
            str(path),
            "--text",
            "body",
        ],
    ):
        assert main(given) == 0 and warning in capsys.readouterr().err
        written_by_it = tmp_path / ("vocab" if given[0] == "vocab" else "bin")
        shutil.rmtree(written_by_it)
        assert main([*given, "--quoted"]) == 0 and "quotes" not in capsys.readouterr().err
        shutil.rmtree(written_by_it)
        assert main([*(word for word in given if word not in ("--text", "body")), "--quoted"]) == 1
        assert "--quoted is for the cells of a TSV: name the column" in capsys.readouterr().err
    assert list(reader_of("body", quoted=True)(path, 64)) == ['the "name"', "", "an object"]
