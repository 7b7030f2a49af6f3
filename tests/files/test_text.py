"""Files of text: other formats are named, long lines take little memory, files end their documents."""

import bz2
import errno
import gzip
import io
import lzma
import random
import sys
import tarfile
import tracemalloc
import zipfile

import pytest

from fairseq_electra.cli import main
from fairseq_electra.errors import InputError
from fairseq_electra.files.formats import other_format
from fairseq_electra.files.text import (
    atomic_folder,
    atomic_write,
    numbered_parts,
    read_lines,
    read_text,
    read_texts,
)
from fairseq_electra.pretraining.encode import (
    CHARACTERS_PER_BATCH,
    LINES_PER_BATCH,
    batches_of,
    encode_lines,
    encode_to_binary,
)
from fairseq_electra.pretraining.wordpiece import load_wordpiece, sample_lines, train_wordpiece
from fairseq_electra.speedrun.text import survey

TEXT = "A line of text.\nAnother one, with é and 漢字.\n\n" * 20


def archive(write) -> bytes:
    stream = io.BytesIO()
    write(stream)
    return stream.getvalue()


def tar(stream):
    with tarfile.open(fileobj=stream, mode="w") as file:
        entry = tarfile.TarInfo("train.txt")
        entry.size = len(TEXT.encode())
        file.addfile(entry, io.BytesIO(TEXT.encode()))


def zipped(stream):
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("train.txt", TEXT)


FORMATS = {
    "gzip": (gzip.compress(TEXT.encode()), "is compressed by gzip"),
    "xz": (lzma.compress(TEXT.encode()), "is compressed by xz"),
    "lzma": (lzma.compress(TEXT.encode(), lzma.FORMAT_ALONE), "is compressed by lzma"),
    "bzip2": (
        bz2.compress(TEXT.encode()),
        r"is compressed by bzip2, not plain text in UTF-8; unpack it \(bzip2 -dc\)",
    ),
    "zstd": (b"\x28\xb5\x2f\xfd\x24\x00\x01", "is compressed by zstd"),
    "zip": (archive(zipped), "is a zip archive"),
    "tar": (archive(tar), "is a tar archive"),
    "parquet": (b"PAR1\x15\x04\x15\x10" + bytes(20), "is a table in Parquet"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "is a PDF"),
    "utf-16": (
        TEXT.encode("utf-16"),
        r"is text in UTF-16, not plain text in UTF-8; convert it: iconv -f UTF-16 -t UTF-8",
    ),
    "utf-16-be": (b"\xfe\xff" + TEXT.encode("utf-16-be"), "is text in UTF-16"),
    "utf-32": (TEXT.encode("utf-32"), "is text in UTF-32"),
    "utf-16 without mark": (
        TEXT.encode("utf-16-le"),
        "is binary, or text in UTF-16 without a byte order mark",
    ),
}
READERS = {
    "a record a line": lambda path: list(read_lines(path)),
    "running text": lambda path: list(read_text(path)),
    "several files": lambda path: list(read_texts([path])),
    "all of it for a vocabulary": lambda path: list(sample_lines([path], 0)),
    "a sample for a vocabulary": lambda path: list(sample_lines([path], 100)),
    "a speedrun": lambda path: survey([str(path)]),
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize("name", FORMATS)
def test_other_formats_are_told_by_their_first_bytes(tmp_path, name, reader):
    content, sentence = FORMATS[name]
    (tmp_path / "train.txt").write_bytes(content)
    with pytest.raises(InputError, match=f"train.txt {sentence}"):
        reader(tmp_path / "train.txt")


def test_what_a_compressed_file_holds_is_looked_at_as_well(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(FORMATS["tar"][0]))
    (tmp_path / "b.xz").write_bytes(lzma.compress(FORMATS["utf-16"][0]))
    for name, what in (("a.tar.gz", "a tar archive"), ("b.xz", "text in UTF-16")):
        with pytest.raises(InputError, match=f"{name} is {what}"):
            list(read_lines(tmp_path / name))


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
def test_plain_text_with_the_name_of_a_compressed_file_is_called_that(tmp_path, suffix):
    (tmp_path / f"a{suffix}").write_text(TEXT)
    with pytest.raises(InputError, match="is not compressed as its name says"):
        list(read_lines(tmp_path / f"a{suffix}"))


def put_into_standard_input(monkeypatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(content))))


def test_standard_input_is_looked_at_too(monkeypatch):
    put_into_standard_input(monkeypatch, FORMATS["bzip2"][0])
    with pytest.raises(InputError, match="standard input is compressed by bzip2"):
        list(read_text("-"))
    put_into_standard_input(monkeypatch, b"a\n\xff\n")
    with pytest.raises(InputError, match="standard input, line 2: not UTF-8"):
        list(read_text("-"))
    put_into_standard_input(monkeypatch, TEXT.encode())
    assert list(read_texts(["-"])) == TEXT.split("\n")[:-1]


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.txt.xz", "-"])
def test_a_byte_order_mark_at_the_start_of_a_file_is_no_text(tmp_path, monkeypatch, name):
    content, path = "\ufeffa\n\ufeffb\n\nc\n".encode(), tmp_path / name
    if name == "-":
        path = name
    else:
        write = {".gz": gzip.compress, ".xz": lzma.compress}.get(path.suffix, bytes)
        path.write_bytes(write(content))
    for read in (read_lines, read_text, lambda path: [part for _, _, part in numbered_parts(path)]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))  # has no peek
        assert list(read(path)) == ["a", "\ufeffb", "", "c"]


def test_a_line_behind_a_byte_order_mark_is_cut_as_it_would_be_without(tmp_path):
    for text in ("a" * 50 + "\nb\n", "a" * 7 + "\nb", "a" * 8 + "\n", "a" * 8, "é" * 9, "a"):
        (tmp_path / "with").write_text("\ufeff" + text, encoding="utf-8")
        (tmp_path / "without").write_text(text, encoding="utf-8")
        assert list(read_text(tmp_path / "with", 8)) == list(read_text(tmp_path / "without", 8))


@pytest.mark.parametrize("start", ["PK fire", "BZh5", "PAR1 is a protein", "Rar", "7z", "]", "", "\0", "%PD"])
def test_text_that_begins_like_another_format_is_text(tmp_path, start):
    (tmp_path / "a.txt").write_text(f"{start}\nmore\n", encoding="utf-8")
    assert list(read_lines(tmp_path / "a.txt")) == list(read_text(tmp_path / "a.txt")) == [start, "more"]


@pytest.mark.parametrize("word", ["ajustar", "gustar", "ustar"])
def test_text_with_the_mark_of_a_tar_archive_in_a_word_at_its_place_is_text(tmp_path, word):
    line = f"{'a ' * 129}"[: 257 - word.index("ustar")] + f"{word} más"
    assert line.encode()[257:262] == b"ustar"
    (tmp_path / "a.txt").write_text(f"{line}\n", encoding="utf-8")
    assert list(read_lines(tmp_path / "a.txt")) == [line]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_archives_of_every_form_are_told(form):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as file:
        file.addfile(tarfile.TarInfo("train.txt"))
    assert other_format(stream.getvalue())[0] == "a tar archive"


LEGACY = [
    ("cp949", "한국어 문장"),
    ("shift_jis", "日本語の文"),
    ("koi8-r", "Русский текст"),
    ("latin-1", "déjà vu"),
]


@pytest.mark.parametrize(("encoding", "text"), LEGACY)
def test_no_encoding_is_advised_that_turns_any_text_into_nonsense_without_an_error(tmp_path, encoding, text):
    (tmp_path / "a.txt").write_bytes(f"plain\n{text}\n".encode(encoding))
    with pytest.raises(InputError, match="line 2: not UTF-8") as error:
        list(read_text(tmp_path / "a.txt"))
    advice = str(error.value).removeprefix(str(tmp_path))
    assert "latin" not in advice and "iconv -f ENCODING" in advice


def awkward_line(words: list[str], length: int, seed: int) -> str:
    rng = random.Random(seed)
    return "".join(rng.choice(words) + rng.choice([" ", " ", "\t", "\u3000", "  "]) for _ in range(length))


@pytest.mark.parametrize("longest", [8, 11, 64, 1000])
def test_a_long_line_in_parts_has_the_ids_of_the_whole_line(tmp_path, vocabulary, corpus_lines, longest):
    words = [
        *{word for line in corpus_lines[:50] for word in line.split() if len(word) < longest},
        "é",
        "漢字",
        "x-y",
        "a\u2028b",
    ]
    lines = ["short", awkward_line(words, 300, 1), "", awkward_line(words, 50, 2), "the end"]
    (tmp_path / "a.txt").write_bytes("\r\n".join(lines).encode())
    tokenizer = load_wordpiece(vocabulary)
    parts = list(read_text(tmp_path / "a.txt", longest))
    if longest >= 64:  # a word of fewer bytes is never cut
        ids = [each for batch in encode_lines(tokenizer, parts) for each in batch]
        whole = [each for batch in encode_lines(tokenizer, lines) for each in batch]
        assert [i for each in ids for i in each] == [i for each in whole for i in each]
    assert max(len(part.encode()) for part in parts) <= longest and parts.count("") == 1
    assert all(part.strip() for part in parts if part)
    assert "".join("".join(parts).split()) == "".join("".join(lines).split())


def test_lines_up_to_the_bound_are_as_they_were(tmp_path):
    lines = ["x" * 63, "y" * 62 + "\r", "", "  ", "é" * 31, "a b " * 15, "漢" * 21, "end"]
    (tmp_path / "a.txt").write_bytes("\n".join(lines).encode())
    assert list(read_text(tmp_path / "a.txt", 64)) == list(read_lines(tmp_path / "a.txt"))


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("one two three", ["one two ", "three"]),
        ("one" + " " * 30, ["one     "]),
        (" " * 30, [" " * 6]),
        ("漢字漢字漢", ["漢字", "漢字", "漢"]),
        ("漢字\u3000漢字", ["漢字", "漢字"]),
        ("abcdefgh", ["abcdefg", "h"]),
        ("abcdefg\r", ["abcdefg"]),
    ],
)
@pytest.mark.parametrize("end", ["", "\n", "\nnext\n"])
def test_where_a_line_is_cut(tmp_path, line, parts, end):
    (tmp_path / "a.txt").write_bytes((line + end).encode())
    assert list(read_text(tmp_path / "a.txt", 8)) == [*parts, *(["next"] if "next" in end else [])]


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.txt.xz"])
def test_memory_does_not_grow_with_a_line(tmp_path, name):
    text = b"word and word " * 700_000  # 10 MB
    write = {"a.txt": open, "a.txt.gz": gzip.open, "a.txt.xz": lzma.open}[name]
    with write(tmp_path / name, "wb", **({"preset": 0} if name.endswith("xz") else {})) as stream:
        stream.write(text)
    tracemalloc.start()
    characters = sum(map(len, read_text(tmp_path / name)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert characters == len(text) and peak < len(text)


def test_batches_hold_a_bounded_number_of_lines_and_of_characters():
    lines = ["a"] * (LINES_PER_BATCH + 5) + ["b" * (CHARACTERS_PER_BATCH // 3)] * 10 + ["c"]
    batches = list(batches_of(lines))
    assert [line for batch in batches for line in batch] == lines
    assert (
        len(batches[0]) == LINES_PER_BATCH
        and max(sum(map(len, batch)) for batch in batches) < 4 / 3 * CHARACTERS_PER_BATCH
    )


def test_a_line_that_is_longer_than_the_sample_is_drawn_in_part(tmp_path, corpus_lines):
    text = " ".join(line for line in corpus_lines if line)
    (tmp_path / "one.txt").write_text(text, encoding="utf-8")
    wanted = len(text) // 5
    drawn = list(sample_lines([tmp_path / "one.txt"], wanted))
    assert 0.5 * wanted < sum(map(len, drawn)) < 1.5 * wanted and all(part in text for part in drawn)
    assert train_wordpiece(drawn, 500).get_vocab_size() == 500
    assert list(sample_lines([tmp_path / "one.txt"], len(text))) == list(
        sample_lines([tmp_path / "one.txt"], 0)
    )


def test_a_sample_without_a_line_is_not_called_a_text_without_words(tmp_path):
    (tmp_path / "a.txt").write_text("one line\nand another\n")
    with pytest.raises(InputError, match="give a larger --sample"):
        list(sample_lines([tmp_path / "a.txt"], 1))


@pytest.mark.parametrize(
    "ends", [("", "", ""), ("\n", "\n", "\n"), ("\n\n", "", "\n"), ("\n  \n", "\n\n\n", "")]
)
def test_the_end_of_a_file_ends_its_document(tmp_path, vocabulary, corpus_lines, ends):
    documents = [[line for line in corpus_lines[start : start + 15] if line] for start in (0, 20, 40)]
    for i, (document, end) in enumerate(zip(documents, ends, strict=True)):
        (tmp_path / f"{i}.txt").write_text("\n".join(document) + end)
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "one.txt").write_text("\n\n".join("\n".join(document) for document in documents) + "\n")
    several = list(
        read_texts([tmp_path / name for name in ("empty.txt", "0.txt", "empty.txt", "1.txt", "2.txt")])
    )
    groups = "\n".join(line.strip() for line in several).strip().split("\n\n")
    assert [group.strip().split("\n") for group in groups if group.strip()] == [
        [line.strip() for line in each] for each in documents
    ]
    if set(ends) <= {"", "\n"}:  # nothing but the line between two documents is added
        assert several == list(read_texts([tmp_path / "one.txt"]))
        tokenizer = load_wordpiece(vocabulary)
        for name, files in (("three", ["0.txt", "1.txt", "2.txt"]), ("one", ["one.txt"])):
            encode_to_binary(
                tokenizer,
                read_texts([tmp_path / file for file in files]),
                tmp_path / name / "train",
                vocabulary,
            )
        for name in ("train.bin", "train.idx"):
            assert (tmp_path / "three" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def test_a_file_that_begins_with_a_blank_line_gets_no_second_one(tmp_path):
    (tmp_path / "a.txt").write_text("one\n")
    (tmp_path / "b.txt").write_text("\ntwo\n")
    assert list(read_texts([tmp_path / "a.txt", tmp_path / "b.txt"])) == ["one", "", "two"]


@pytest.mark.parametrize("place", ["the current folder", "a folder", "a link to a folder"])
def test_an_empty_folder_is_filled_and_stays_the_same_one(tmp_path, monkeypatch, place):
    here = tmp_path / "here"
    here.mkdir()
    before, given = here.stat().st_ino, here
    if place == "the current folder":
        monkeypatch.chdir(here)
        given = "."
    elif place == "a link to a folder":
        given = tmp_path / "link"
        given.symlink_to("here")
    (here / ".here.0123abcd.partial").mkdir()  # of a killed writer
    with atomic_folder(given) as partial:
        (partial / "input0").mkdir()
        (partial / "input0" / "a").write_text("a")
        assert list(here.iterdir()) == [partial]
        with pytest.raises(InputError, match="exists and is not empty"), atomic_folder(given):
            pass
    assert [path.relative_to(here).as_posix() for path in sorted(here.rglob("*"))] == ["input0", "input0/a"]
    assert here.stat().st_ino == before and sorted(path.name for path in tmp_path.iterdir()) == [
        "here",
        *(["link"] if "link" in place else []),
    ]
    with pytest.raises(InputError, match="exists and is not empty"), atomic_folder(given):
        pass


def test_an_empty_folder_is_empty_again_where_something_goes_wrong_and_a_link_to_none_makes_one(tmp_path):
    (tmp_path / "here").mkdir()
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "here") as partial:
        (partial / "a").write_text("a")
        raise ZeroDivisionError
    assert not list((tmp_path / "here").iterdir())
    (tmp_path / "link").symlink_to("there")
    with atomic_folder(tmp_path / "link") as partial:
        (partial / "a").write_text("a")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "there" / "a").read_text() == "a"


def test_a_full_disk_is_called_that_with_the_path(tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device")  # a write names no file
    sentence = r"cannot write .*/{}: No space left on device \(.* MB free\)"
    with pytest.raises(InputError, match=sentence.format("a.txt")), atomic_write(tmp_path / "new" / "a.txt"):
        raise full
    with (
        pytest.raises(InputError, match=sentence.format("folder")),
        atomic_folder(tmp_path / "folder"),
    ):
        raise full
    assert [path.name for path in tmp_path.rglob("*")] == ["new"]


def test_output_to_a_full_disk_ends_in_a_sentence(monkeypatch, capsys):
    full = io.TextIOWrapper(open("/dev/full", "wb"), encoding="utf-8")  # noqa: SIM115 (closing it fails, too)
    monkeypatch.setattr(sys, "stdout", full)
    assert main(["user-dir"]) == 1
    assert "cannot write: No space left on device; is the disk full?" in capsys.readouterr().err
    with pytest.raises(OSError, match="No space"):
        full.close()


def test_output_is_utf_8_whatever_the_locale(monkeypatch):
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="ascii", errors="surrogateescape")
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(["user-dir"]) == 0
    print("déjà 漢字", file=stream, flush=True)
    assert written.getvalue().decode().endswith("déjà 漢字\n")
