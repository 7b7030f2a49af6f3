"""The text of a speedrun: whole documents, a reproducible choice, disjoint splits."""

import itertools
import lzma

import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.speedrun.text import (
    MAX_VALID_CHARACTERS,
    UNIT_CHARACTERS,
    survey,
    units,
    vocabulary_size,
)


@pytest.fixture
def articles(tmp_path):
    """Two files of 600 documents of three lines, one of them compressed."""
    texts = [[f"Article {i} line {j} " + f"word{i * 7 + j} " * 20 for j in range(3)] for i in range(600)]
    first, second = tmp_path / "a.txt", tmp_path / "b.txt.xz"
    first.write_text("\n\n\n".join("\n".join(text) for text in texts[:300]) + "\n")
    second.write_bytes(lzma.compress(("\n".join("\n".join([*text, ""]) for text in texts[300:])).encode()))
    return [str(first), str(second)], ["\n".join(text) for text in texts]


def documents(lines):
    groups = itertools.groupby(lines, key=bool)
    return ["\n".join(group) for filled, group in groups if filled]


def test_every_document_is_in_exactly_one_split(articles):
    files, expected = articles
    text = survey(files)
    train, valid = (documents(text.lines(split)) for split in ("train", "valid"))
    assert text.documents == 600 and sorted(train + valid) == sorted(expected)
    assert [document for document in expected if document in set(train)] == train
    assert 0.04 < text.valid_characters / text.characters < 0.06
    assert text.valid_characters == sum(len(line) for line in text.lines("valid"))
    assert survey(files) == text


def test_lines_put_repeated_documents_into_one_split(articles):
    files, expected = articles
    text = survey([*files, *files])
    train, valid = (set(documents(text.lines(split))) for split in ("train", "valid"))
    assert valid and not train & valid and train | valid == set(expected)


def test_survey_holds_out_a_limited_part_of_much_text(tmp_path):
    file = tmp_path / "long.txt"
    file.write_text("".join(f"{i} " + "x" * 1000 + "\n\n" for i in range(20_000)))
    assert MAX_VALID_CHARACTERS <= survey([str(file)]).valid_characters < MAX_VALID_CHARACTERS + 2000


def test_a_long_document_is_held_out_in_parts_with_a_gap_between(tmp_path):
    file = tmp_path / "book.txt"
    lines = [f"line {i} " + "of a book " * 20 for i in range(3000)]
    file.write_text("\n".join(lines) + "\n")
    text = survey([str(file)])
    train, valid = ([line for line in text.lines(split) if line] for split in ("train", "valid"))
    assert text.documents == 1 and sorted(train + valid) == sorted(lines) and valid
    assert all(sum(map(len, unit.lines)) < UNIT_CHARACTERS + 300 for unit in units([str(file)]))
    for before, after in itertools.pairwise(text.lines("train")):
        if before and after:  # neighbours in train are neighbours in the book
            assert lines.index(after) == lines.index(before) + 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "the text has 0 characters"),
        (b"A short text.\n" * 10, "the text has 130 characters, too few to hold out a validation set"),
        (b"caf\xe9 au lait\n" * 10, "line 1: not UTF-8"),
        (b"The same line.\n\n" * 20_000, "the text repeats itself"),
        (b"x" * 200_000 + b"\n", "its lines are so long"),
    ],
)
def test_survey_refuses_unusable_text(tmp_path, content, sentence):
    (tmp_path / "text").write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        survey([str(tmp_path / "text")])


def test_text_that_is_not_there_or_can_be_read_only_once(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*absent"):
        survey([str(tmp_path / "absent")])
    with pytest.raises(InputError, match="- is not a file that can be read several times"):
        survey(["-"])
    with pytest.raises(InputError, match="is not a file"):
        survey([str(tmp_path)])


def test_vocabulary_size_grows_with_the_text():
    sizes = [vocabulary_size(int(characters), "small") for characters in (1e6, 1e7, 1e8, 1e10)]
    assert sizes == [4096, 8192, 16384, 30522]
    assert vocabulary_size(10**10, "tiny") == 8192 and vocabulary_size(10**6, "tiny") == 4096
