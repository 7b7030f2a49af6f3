"""What is lost in encoding is counted and said: by encode, by prepare and at the start of training."""

import json
import logging
import sys

import numpy as np
import pytest
from fairseq.tasks.sentence_prediction import SentencePredictionConfig, SentencePredictionTask
from omegaconf import OmegaConf

from fairseq_electra.cli import main
from fairseq_electra.pretraining import unknown as counting
from fairseq_electra.pretraining.binarized import unknown_in_folder
from fairseq_electra.pretraining.encode import encode_lines, encode_to_pieces
from fairseq_electra.pretraining.unknown import Unknown, unknown_shares, unknown_warning
from fairseq_electra.pretraining.wordpiece import UNK_ID, load_wordpiece
from fairseq_electra.tasks._prepared_folder import PreparedFolderConfig
from fairseq_electra.tasks.question_answering import QuestionAnsweringConfig, QuestionAnsweringTask
from fairseq_electra.tasks.token_classification import TokenClassificationTask

TASKS = {
    "sentences": (
        SentencePredictionTask,
        SentencePredictionConfig,
        {"num_classes": 2, "max_positions": 128, "regression_target": False},
    ),
    "tags": (
        TokenClassificationTask,
        PreparedFolderConfig,
        {"train_subset": "train", "max_valid_steps": None},
    ),
    "questions": (
        QuestionAnsweringTask,
        QuestionAnsweringConfig,
        {"train_subset": "train", "max_valid_steps": None},
    ),
}
KOREAN = "학교 선생님 한국어 사람들 오늘 날씨가 좋습니다"


def count_by_words(tokenizer, lines):
    """Count ids, <unk>, characters without blanks, and characters behind <unk>, word by word."""
    ids = unknown = characters = behind = 0
    for line in lines:
        characters += sum(character != " " for character in line)
        normalized = tokenizer.normalizer.normalize_str(line)
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normalized):
            found = tokenizer.encode(word, add_special_tokens=False).ids
            ids, unknown = ids + len(found), unknown + found.count(UNK_ID)
            behind += len(word) if UNK_ID in found else 0
    return ids, unknown, characters, behind


@pytest.fixture(scope="module")
def lines(corpus_lines):
    strange = ["ωmega", "x" * 201, "日本 text", "ж"]
    return [line if i % 7 else f"{line} {strange[i // 7 % 4]}" for i, line in enumerate(corpus_lines[:400])]


def test_ids_and_characters_behind_unk_are_those_of_a_count_by_words(vocabulary, lines):
    tokenizer, unknown = load_wordpiece(vocabulary), Unknown()
    for _ in encode_lines(tokenizer, lines, unknown):
        pass
    assert (
        unknown.ids,
        unknown.unknown_ids,
        unknown.characters,
        round(unknown.unknown_characters),
    ) == count_by_words(tokenizer, lines)
    assert unknown.unknown_ids > 50


def test_of_many_lines_with_unk_some_are_looked_at(vocabulary, lines, monkeypatch):
    tokenizer, unknown = load_wordpiece(vocabulary), Unknown()
    monkeypatch.setattr(counting, "LINES_SAMPLED", 20)
    list(encode_to_pieces(tokenizer, lines, unknown))
    ids, unknown_ids, _, behind = count_by_words(tokenizer, lines)
    assert (unknown.ids, unknown.unknown_ids) == (ids, unknown_ids)
    assert 0.5 * behind < unknown.unknown_characters < 2 * behind


def test_the_warning_begins_where_one_per_cent_is_lost():
    assert not Unknown(1000, 9, 1000, 9).warning("text")
    assert "text: 1.00% of the ids are <unk>, with 0.00% of the characters" in Unknown(
        1000, 10, 1000, 0
    ).warning("text")
    assert "0.10% of the ids are <unk>, with 1.00% of the characters" in Unknown(1000, 1, 1000, 10).warning(
        "text"
    )
    assert str(Unknown()) == "0.00% of the ids are <unk>, with 0.00% of the characters behind them"


def test_encode_says_what_is_lost_and_warns_where_it_is_much(tmp_path, vocabulary, lines, capsys):
    (tmp_path / "ko.txt").write_text(f"{KOREAN}\n" * 10, encoding="utf-8")
    (tmp_path / "en.txt").write_text("the name of the module\n" * 10)
    encode = ["encode", "--vocab", str(vocabulary), "--destdir", str(tmp_path / "bin")]
    assert (
        main([*encode, "--trainpref", str(tmp_path / "ko.txt"), "--validpref", str(tmp_path / "en.txt")]) == 0
    )
    said = capsys.readouterr()
    train, valid = said.out.splitlines()
    assert "; 100.00% of the ids are <unk>, with 100.00% of the characters behind them" in train
    assert "; 0.00% of the ids are <unk>, with 0.00% of the characters behind them" in valid
    (warning,) = said.err.splitlines()
    assert (
        warning.startswith(f"WARNING: {tmp_path}/bin/train: 100.00% of the ids are <unk>")
        and "--character-coverage" in warning
    )


def test_encode_of_standard_input_says_it_on_standard_error(vocabulary, monkeypatch, capfdbinary):
    import io

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{KOREAN}\n".encode())))
    assert main(["encode", "--vocab", str(vocabulary)]) == 0
    said = capfdbinary.readouterr()
    assert said.out == b" ".join([b"<unk>"] * 7) + b"\n"
    assert (
        said.err.startswith(b"100.00% of the ids are <unk>")
        and b"WARNING: standard input: 100.00%" in said.err
    )


@pytest.mark.parametrize("kind", ["sentences", "tags", "questions"])
def test_prepare_says_what_is_lost_and_so_does_training(tmp_path, vocabulary, capsys, caplog, kind):
    if kind == "sentences":
        text = "text\tlabel\n" + "".join(f"{KOREAN}\t{label}\n" for label in "ab")
        options = ["--text", "text", "--label", "label"]
    elif kind == "tags":
        text, options = "".join(f"{word}\tB-X\n" for word in KOREAN.split()), ["--conll"]
    else:
        question = {"id": "1", "question": KOREAN, "answers": [{"text": "학교", "answer_start": 0}]}
        text = json.dumps({"data": [{"paragraphs": [{"context": KOREAN, "qas": [question]}]}]})
        options = ["--squad"]
    (tmp_path / "train").write_text(text, encoding="utf-8")
    assert (
        main(
            [
                "prepare",
                "--vocab",
                str(vocabulary),
                "--destdir",
                str(tmp_path / "task"),
                *options,
                "--train",
                str(tmp_path / "train"),
            ]
        )
        == 0
    )
    said = capsys.readouterr()
    assert said.out.rstrip().endswith(
        "; 100.00% of the ids are <unk>, with 100.00% of the characters behind them"
    )
    assert said.err.startswith(f"WARNING: {tmp_path}/task: 100.00%")
    task, config, more = TASKS[kind]
    more = more | {"data": str(tmp_path / "task"), "seed": 1}
    task.setup_task(OmegaConf.merge(OmegaConf.structured(config), more)).load_dataset("train")
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith(f"{tmp_path}/task/input0/train: 100.0% of the ids are <unk>")
    assert not unknown_in_folder(tmp_path / "task", "valid", 1 << 16)


def test_questions_are_counted_as_their_contexts_are(tmp_path, vocabulary, capsys):
    question = {"id": "1", "question": KOREAN, "answers": [{"text": "object", "answer_start": 4}]}
    text = json.dumps({"data": [{"paragraphs": [{"context": "the object", "qas": [question]}]}]})
    (tmp_path / "train.json").write_text(text, encoding="utf-8")
    given = [
        "prepare",
        "--vocab",
        str(vocabulary),
        "--destdir",
        str(tmp_path / "task"),
        "--squad",
        "--train",
        str(tmp_path / "train.json"),
    ]
    assert main(given) == 0
    counted = len(KOREAN.split())
    ids = counted + len(load_wordpiece(vocabulary).encode("the object", add_special_tokens=False).ids)
    assert f"{counted / ids:.2%} of the ids are <unk>" in capsys.readouterr().out


def test_shares_of_a_binarized_text_are_counted_line_by_line():
    lines = [[5, 3, 2], [2], [3, 2], [3, 3, 2], [7, 8, 9, 2], [2]]
    ids, sizes = (
        np.array([i for line in lines for i in line], np.uint16),
        np.array([len(line) for line in lines], np.int32),
    )
    assert unknown_shares(ids, sizes) == (4 / 8, 2 / 4)
    assert "50.0% of the ids are <unk>, and 50.0% of the lines are nothing else" in unknown_warning(
        "train", ids, sizes
    )
    assert unknown_shares(np.array([2, 2], np.uint16), np.array([1, 1], np.int32)) == (0.0, 0.0)
    few = np.array([5] * 198 + [3, 2], np.uint16)
    assert not unknown_warning("train", few, np.array([200], np.int32))


def test_of_a_long_binarized_text_the_first_lines_are_looked_at(monkeypatch):
    ids, sizes = np.array([3, 2, 5, 2, 5, 5, 2, 3, 2], np.uint16), np.array([2, 2, 3, 2], np.int32)
    monkeypatch.setattr(counting, "IDS_CHECKED", 5)
    assert unknown_shares(ids, sizes) == (1 / 2, 1 / 2)
    monkeypatch.setattr(counting, "IDS_CHECKED", 1)
    assert unknown_shares(ids, sizes) == (1.0, 1.0)


def test_training_warns_of_a_text_of_which_much_is_unk(make_task, tmp_path, data_bin, caplog):
    import shutil

    shutil.copytree(data_bin, tmp_path / "bin")
    ids = np.fromfile(tmp_path / "bin" / "train.bin", np.uint16)
    ids[np.flatnonzero(ids > 3)[::20]] = UNK_ID
    ids.tofile(tmp_path / "bin" / "train.bin")
    with caplog.at_level(logging.INFO):
        task = make_task(data=str(tmp_path / "bin"))
        task.load_dataset("valid")
        assert not [record for record in caplog.records if record.levelname == "WARNING"]
        task.load_dataset("train")
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "train: 5." in warning and "of the ids are <unk>" in warning
