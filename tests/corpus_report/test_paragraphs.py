"""Documents of a text, with the file and line of each paragraph."""

import gzip

import pytest

from fairseq_electra.corpus_report import paragraphs
from fairseq_electra.corpus_report.paragraphs import excerpt, read_documents, words_of
from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.documents import read_plain


def test_read_documents_numbers_lines_and_ends_documents_with_files(tmp_path):
    (tmp_path / "a.txt").write_text("\none\ntwo\n\n\u200b\nthree\n")
    with gzip.open(tmp_path / "b.txt.gz", "wt") as stream:
        stream.write("four\n")
    documents = list(read_documents([tmp_path / "a.txt", tmp_path / "b.txt.gz"]))
    found = [[(each.text, each.location.line) for each in document.paragraphs] for document in documents]
    assert found == [[("one", 2), ("two", 3)], [("three", 6)], [("four", 1)]]
    assert str(documents[2].paragraphs[0].location) == f"{tmp_path / 'b.txt.gz'}:1"
    assert all(document.begins and document.ends for document in documents)


def test_read_documents_yields_a_long_document_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(paragraphs, "MAX_CHARACTERS", 8)
    path = tmp_path / "long.txt"
    path.write_text("aaaa\nbbbb\ncccc\ndddddddddddd\n\ne\n")
    parts = [
        ([each.text for each in document.paragraphs], document.begins, document.ends)
        for document in read_documents([path])
    ]
    assert parts == [
        (["aaaa", "bbbb"], True, False),
        (["cccc"], False, False),
        (["dddddddddddd"], False, True),
        (["e"], True, True),
    ]


def test_a_line_read_in_parts_is_one_line(tmp_path, monkeypatch):
    path = tmp_path / "long.txt"
    path.write_text("x " * 700_000 + "\nada@example.org\n")
    (document,) = read_documents([path])
    assert [each.location.line for each in document.paragraphs] == [1, 1, 2]


@pytest.mark.parametrize(("start", "sizes"), [("lines", [1, 1, 1, 1, 1]), ("headings", [2, 3])])
def test_documents_start_where_encode_says(tmp_path, start, sizes):
    path = tmp_path / "text.txt"
    path.write_text(" = One = \n\na\n = Two = \n\nb\n\nc\n")
    documents = list(read_documents([path], start))
    assert [len(document.paragraphs) for document in documents] == sizes
    assert all(document.begins and document.ends for document in documents)
    assert [each.location.line for document in documents for each in document.paragraphs] == [1, 3, 4, 6, 8]
    lines = list(read_plain(path, document_start=start))
    assert lines == "\n\n".join("\n".join(each.text for each in d.paragraphs) for d in documents).split("\n")


def test_read_documents_refuses_what_is_not_text(tmp_path):
    (tmp_path / "binary").write_bytes(bytes(64))
    with pytest.raises(InputError, match="binary"):
        list(read_documents([tmp_path / "binary"]))
    (tmp_path / "table.csv").write_text("a,b\n")
    with pytest.raises(InputError, match="table by its name"):
        list(read_documents([tmp_path / "table.csv"]))


def test_words_of_splits_at_blanks_and_around_ideographs():
    assert words_of("Don't STOP, 3.5 über") == ["don", "t", "stop", "3", "5", "über"]
    assert words_of("漢字かな and 한국어") == ["漢", "字", "か", "な", "and", "한국어"]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("हिन्दी भाषा में लिखा गया", 5),
        ("தமிழ் மொழி", 2),
        ("বাংলা ভাষা", 2),
        ("نَصّ", 1),
        ("cafe\u0301 re\u0301sume\u0301", 2),
        ("می\u200cخواهم", 1),
    ],
)
def test_words_of_keeps_vowel_signs_and_other_marks_in_their_words(text, number):
    assert words_of(text) == text.split() and len(words_of(text)) == number
    assert words_of("मेरा लड़का गया था") != words_of("मेरी लड़की गयी थी")


def test_excerpt_is_short_and_without_personal_data():
    text = excerpt("Write to ada@example.com " + "again and " * 20)
    assert text.startswith("Write to [EMAIL] again") and len(text) <= 60
