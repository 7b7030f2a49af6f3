"""Preparing text as library calls gives what the parts give, and says what it found."""

import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.encode import encode_to_binary, encode_to_pieces
from fairseq_electra.pretraining.prepare import RunningText, encode_text, learn_vocabulary, text_as_pieces
from fairseq_electra.pretraining.wordpiece import load_wordpiece, train_wordpiece


@pytest.fixture
def text(tmp_path, corpus_lines):
    path = tmp_path / "text.txt"
    path.write_text("\n".join(corpus_lines[:200]) + "\n")
    return path


def test_learn_vocabulary_writes_what_train_wordpiece_learns(tmp_path, text, corpus_lines):
    learned = learn_vocabulary(RunningText([text]).sample(), tmp_path / "vocab", 600)
    assert (
        load_wordpiece(tmp_path / "vocab").get_vocab() == train_wordpiece(corpus_lines[:200], 600).get_vocab()
    )
    assert learned.size == 600
    fewer = learn_vocabulary(["\u00e9cole \u00e9t\u00e9"] * 9, tmp_path / "fewer", 600)
    assert fewer.size < 600 and fewer.notes[0].startswith("accents are stripped, as in the original")


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ({"size": 5}, "--size must be above 5, the number of special symbols, got 5"),
        ({"min_frequency": -1}, "--min-frequency must be 0 or more, got -1"),
        ({"character_coverage": 0.0}, "--character-coverage must lie above 0"),
    ],
)
def test_learn_vocabulary_refuses_numbers(tmp_path, numbers, sentence):
    with pytest.raises(InputError, match=sentence):
        learn_vocabulary(["text"], tmp_path / "vocab", **{"size": 100} | numbers)
    assert not (tmp_path / "vocab").exists()


@pytest.mark.parametrize("millions", [-1.0, float("inf"), float("nan")])
def test_sample_refuses_numbers(text, millions):
    with pytest.raises(InputError, match="--sample must be 0 or more, and finite"):
        RunningText([text]).sample(millions)


def test_sample_draws_about_as_much_as_it_should(text, corpus_lines):
    total = sum(map(len, corpus_lines[:200]))
    drawn = sum(map(len, RunningText([text]).sample(total / 2e6)))
    assert 0.2 < drawn / total < 0.8 and sum(map(len, RunningText([text]).sample(0))) == total


def test_encode_text_writes_and_counts(tmp_path, text, vocabulary, corpus_lines):
    running = RunningText([text])
    found = encode_text(running, vocabulary, tmp_path / "one" / "train")
    numbers = encode_to_binary(
        load_wordpiece(vocabulary), corpus_lines[:200], tmp_path / "other" / "train", vocabulary
    )
    assert (found.lines, found.ids) == numbers and running.documents.lines == sum(
        map(bool, corpus_lines[:200])
    )
    for name in ("train.bin", "train.idx", "dict.txt", "tokenizer.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_encode_text_warns_of_what_seems_misunderstood(tmp_path, vocabulary):
    (tmp_path / "text.txt").write_text('{"a": 1}\n\u0e01\u0e02\u0e03\n')
    warnings = encode_text(
        RunningText([tmp_path / "text.txt"]), vocabulary, tmp_path / "bin" / "train"
    ).warnings
    assert len(warnings) == 2 and "are <unk>" in warnings[0] and "its first line is JSON" in warnings[1]
    asked_for = encode_text(
        RunningText([tmp_path / "text.txt"], document_start="blank-lines"),
        vocabulary,
        tmp_path / "bin" / "train",
    )
    assert len(asked_for.warnings) == 1


def test_text_as_pieces_are_those_of_the_lines(text, vocabulary, corpus_lines):
    running = RunningText([text], moses="en")
    pieces = list(text_as_pieces(running, vocabulary))
    plain = list(encode_to_pieces(load_wordpiece(vocabulary), corpus_lines[:200]))
    assert len(pieces) == len(plain) and running.unknown.ids == sum(len(line.split()) for line in pieces)


def test_running_text_refuses_a_column_of_plain_text(text):
    with pytest.raises(
        InputError, match="--documents is for plain text: with --text, each record is a document"
    ):
        RunningText([text], "body", document_start="lines")
