import gzip
import lzma
from pathlib import Path

import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.words.read import has_tags, read_conll, read_words, with_column
from fairseq_electra.finetuning.words.tags import BIO, BIOES, IOB1, Entity

REAL = Path(__file__).parents[4] / "shared" / "data" / "ner"
PLAIN = "EU\tB-ORG\nrejects\tO\n\nPeter\tB-PER\nBlackburn\tI-PER\n"
EXPECTED = [(["EU", "rejects"], [Entity("ORG", 0, 1)], 1), (["Peter", "Blackburn"], [Entity("PER", 0, 2)], 4)]


def write(path, text):
    path.write_bytes(text.encode())
    return path


def read(path, scheme=BIO):
    sentences = read_conll(path, scheme)
    lines = [each.place.removeprefix(f"{path}, line ") for each in sentences]
    return [(each.words, each.entities, int(line)) for each, line in zip(sentences, lines, strict=True)]


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.replace("\t", " "),
        PLAIN.replace("\t", "   "),
        PLAIN.replace("\t", "\tNNP\tB-NP\t"),
        PLAIN.replace("\t", " NNP B-NP "),
        PLAIN.replace("\n\n", "\n\t\n"),
        PLAIN.replace("\n\n", "\n  \n"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n\n", "\n\t\n").replace("\n", "\r\n"),
        PLAIN.removesuffix("\n"),
        PLAIN + "\n\n\n",
        "\ufeff" + PLAIN,
    ],
    ids=[
        *["tabs", "blanks", "several blanks", "four columns with tabs", "four columns with blanks"],
        "a separator that holds a tab",
        *["a separator that holds blanks", "crlf", "crlf and a tab", "no line end"],
        *["blank lines at the end", "a byte-order mark"],
    ],
)
def test_read_conll_reads_the_same_from_many_forms(tmp_path, text):
    assert read(write(tmp_path / "a.conll", text)) == EXPECTED


def test_read_conll_skips_lines_that_start_documents(tmp_path):
    text = f"-DOCSTART- -X- -X- O\n\n{PLAIN}-DOCSTART-\tO\nend\tO\n"
    found = read(write(tmp_path / "a.conll", text))
    assert found == [*((words, entities, line + 2) for words, entities, line in EXPECTED), (["end"], [], 9)]
    assert read(write(tmp_path / "b.conll", "\ufeff-DOCSTART- O\n\nend O\n")) == [(["end"], [], 3)]


def test_read_conll_reads_compressed_files(tmp_path):
    (tmp_path / "a.conll.gz").write_bytes(gzip.compress(PLAIN.encode(), mtime=0))
    (tmp_path / "a.conll.xz").write_bytes(lzma.compress(PLAIN.encode()))
    assert read(tmp_path / "a.conll.gz") == read(tmp_path / "a.conll.xz") == EXPECTED


@pytest.mark.parametrize("between", ["\t", " ", "\tX\t", " X "], ids=["tab", "blank", "tabs", "blanks"])
def test_read_conll_keeps_no_break_spaces_in_words(tmp_path, between):
    found = read(
        write(tmp_path / "a.conll", f"10\u00a0000{between}B-SUM\n\u2009\u20ac\u3000x{between}I-SUM\n")
    )
    assert [word.strip() for word in found[0][0]] == ["10\u00a0000", "\u20ac\u3000x"] and found[0][1] == [
        Entity("SUM", 0, 2)
    ]


def test_read_conll_keeps_blanks_in_words_between_tabs(tmp_path):
    assert read(write(tmp_path / "a.conll", "New York\tB-LOC\n")) == [
        (["New York"], [Entity("LOC", 0, 1)], 1)
    ]


@pytest.mark.parametrize("scheme", [IOB1, BIOES])
def test_read_conll_reads_the_same_entities_from_other_schemes(tmp_path, scheme):
    tags = {
        "B-ORG": {IOB1: "I-ORG", BIOES: "S-ORG"},
        "B-PER": {IOB1: "I-PER", BIOES: "B-PER"},
        "I-PER": {IOB1: "I-PER", BIOES: "E-PER"},
    }
    text = PLAIN
    for tag, of_scheme in tags.items():
        text = text.replace(f"\t{tag}", f"\t*{of_scheme[scheme]}")
    assert read(write(tmp_path / "a.conll", text.replace("*", "")), scheme) == EXPECTED


@pytest.mark.parametrize(
    ("text", "scheme", "message"),
    [
        ("a\tO\nword\nb\tO\n", BIO, ", line 2: 'word' is not a word and a tag with a tab or a blank between"),
        ("word\n", BIO, ", line 1: 'word' is not a word and a tag"),
        ("a O\n\n\tO\n", BIO, ", line 3: '\\tO' is not a word and a tag"),
        ("a O\n \u00a0\tO\n", BIO, ", line 2: ' \\xa0\\tO' is not a word and a tag"),
        ("a O\nb\t\n", BIO, ", line 2: 'b\\t' is not a word and a tag"),
        ("a\u00a0O\n", BIO, ", line 1: 'a\\xa0O' is not a word and a tag"),
        ("a O\n\nb O\nc X-PER\n", BIO, ", line 4: unknown tag 'X-PER'; BIO has O, B-TYPE, I-TYPE"),
        ("a O\nb PER\n", BIO, ", line 2: unknown tag 'PER'"),
        ("a S-PER\n", BIO, ", line 1: unknown tag 'S-PER'"),
        ("a B-PER\n\nb I-PER\n", BIO, ", line 3: a stray 'I-PER': no entity of type 'PER' is open"),
        ("a B-PER\n-DOCSTART- O\nb I-PER\n", BIO, ", line 3: a stray 'I-PER': no entity"),
        (
            "a O\nb B-PER\nc O\n",
            BIOES,
            ", line 3: the entity before 'O' has no end; in BIOES it ends with E-PER",
        ),
        ("a O\nb B-PER\n\nc O\n", BIOES, ", line 2: the entity before 'O' has no end"),
        ("", BIO, " holds no sentence; give a file with a word and a tag a line"),
        ("\n\t\n  \n\r\n", BIO, " holds no sentence"),
        ("-DOCSTART- -X- O O\n\n", BIO, " holds no sentence"),
    ],
    ids=[
        *["one column", "one column alone", "no word", "a word of blanks", "no tag"],
        "a no-break space between",
        *("unknown prefix", "no prefix", "another scheme", "I without B", "I without B in a new document"),
        *("no end", "no end in the sentence", "empty file", "blank file", "a document alone"),
    ],
)
def test_read_conll_refuses_a_bad_file_with_name_and_line(tmp_path, text, scheme, message):
    path = write(tmp_path / "bad.conll", text)
    with pytest.raises(InputError) as caught:
        read_conll(path, scheme)
    assert str(caught.value).startswith(f"{path}{message}")


def test_read_conll_refuses_a_missing_or_binary_file(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*none\.conll: No such file"):
        read_conll(tmp_path / "none.conll", BIO)
    (tmp_path / "bad.conll").write_bytes(b"a O\n\xff O\n")
    with pytest.raises(InputError, match=r"bad\.conll, line 2: not UTF-8"):
        read_conll(tmp_path / "bad.conll", BIO)


def test_read_conll_reads_words_without_tags(tmp_path):
    path = write(tmp_path / "a.conll", "\ufeff-DOCSTART-\n\nEU\nrejects \n \n\u00a310\u00a0000\n")
    assert not has_tags(path) and [
        (each.words, each.entities) for each in read_conll(path, BIO, tagged=False)
    ] == [
        (["EU", "rejects"], []),
        (["\u00a310\u00a0000"], []),
    ]
    for text in (PLAIN, PLAIN.replace("\t", " "), "-DOCSTART- O\n\n" + PLAIN, "EU\t\n", "", "\n\n"):
        assert has_tags(write(tmp_path / "b.conll", text))


def test_read_conll_refuses_tags_in_some_lines_only(tmp_path):
    path = write(tmp_path / "a.conll", "EU\n\nrejects\tO\n")
    with pytest.raises(InputError) as caught:
        read_conll(path, BIO, tagged=False)
    assert str(caught.value).startswith(
        f"{path}, line 3: 'rejects\\tO' is more than a word, and the first line has no tag; tag all or none"
    )


@pytest.mark.parametrize("between", ["", "\t", " ", "\tNNP\t", " NNP "])
def test_read_words_keeps_all_lines_and_with_column_adds_one(tmp_path, between):
    columns = between and between + "O"
    lines = ["-DOCSTART- -X- O", "", f"EU{columns}", f"rejects{columns}", "", "\t", f"Peter{columns}"]
    sentences = list(read_words(write(tmp_path / "a.conll", "\ufeff" + "\n".join(lines) + "\r\n")))
    assert [line for sentence in sentences for line, _ in sentence] == lines
    words = [[word for _, word in sentence if word is not None] for sentence in sentences]
    assert [each for each in words if each] == [["EU", "rejects"], ["Peter"]]
    blank = between.startswith(" ")
    assert with_column(lines[2], "B-X") == f"EU{columns}{' ' if blank else chr(9)}B-X"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n\tO\n", ", line 2: '\\tO' has no word in its first column"),
        ("", " holds no word; give"),
        ("\n-DOCSTART- O\n", " holds no word"),
    ],
)
def test_read_words_refuses_files_without_words(tmp_path, text, message):
    path = write(tmp_path / "a.conll", text)
    with pytest.raises(InputError) as caught:
        list(read_words(path))
    assert str(caught.value).startswith(f"{path}{message}")


def counted(path):
    """Blocks between lines without a word, lines with one, and tags that begin with B."""
    sentences = words = entities = 0
    inside = False
    for line in path.read_bytes().decode().split("\n"):
        word, _, tag = line.partition("\t")
        if word.strip():
            words, entities, sentences = words + 1, entities + tag.startswith("B-"), sentences + (not inside)
        inside = bool(word.strip())
    return sentences, words, entities


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("wnut17/train.conll", (3394, 62730, 1975)),
        ("wnut17/dev.conll", (1009, 15733, 836)),
        ("wnut17/test.conll", (1287, 23394, 1079)),
        ("ncbi_disease/train.tsv", (5424, 135701, 5134)),
        ("ncbi_disease/dev.tsv", (923, 23969, 787)),
        ("ncbi_disease/test.tsv", (940, 24497, 960)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_read_conll_counts_of_real_files_are_those_of_a_plain_count(name, expected):
    path = REAL / name
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    sentences = read_conll(path, BIO)
    found = (
        len(sentences),
        sum(len(each.words) for each in sentences),
        sum(len(each.entities) for each in sentences),
    )
    assert found == counted(path) == expected
