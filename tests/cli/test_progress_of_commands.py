"""Commands whose work may be long say what they are doing, on standard error."""

import json
import sys
import types

import pytest
import torch

from fairseq_electra.cli import main
from fairseq_electra.cli.corrupt import rows_by_generator, too_short
from fairseq_electra.finetuning.sentences.predict import SentencePredictor
from fairseq_electra.hub.interface import ElectraHubInterface
from fairseq_electra.progress import Progress

LINES = [f"word {number} of the text {'and more ' * (number % 7)}" for number in range(200)]


@pytest.fixture
def noted(monkeypatch):
    """What is being done, and how much of it was counted, while it is being shown."""
    found, shown = [], []

    def stage(self, what, unit="", total=0):
        leave(self)
        plain_stage(self, what, unit, total)

    def leave(self, *_):
        if self in shown and self._stage.name:
            found.append((self._stage.name, self._stage.unit, self._stage.done, self._stage.total))

    def enter(self):
        shown.append(self)
        return self

    plain_stage = Progress.stage
    monkeypatch.setattr(Progress, "stage", stage)
    monkeypatch.setattr(Progress, "__enter__", enter)
    monkeypatch.setattr(Progress, "__exit__", leave)
    return found


@pytest.fixture(scope="module")
def vocab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "text.txt").write_text("\n".join(LINES) + "\n")
    assert main(["vocab", str(folder / "text.txt"), "--size", "100", "--output", str(folder / "vocab")]) == 0
    return folder / "vocab"


def test_vocab_tells_its_parts(tmp_path, vocab, noted):
    given = ["vocab", str(vocab.parent / "text.txt"), "--size", "100", "--output"]
    assert main([*given, str(tmp_path / "one")]) == 0
    assert noted == [
        ("counting the text's characters", "lines", 200, 0),
        ("drawing lines of the text", "lines", 200, 0),
        ("counting words", "", 0, 0),
        ("learning pieces", "", 0, 0),
    ]
    noted.clear()
    assert main([*given, str(tmp_path / "two"), "--sample", "0"]) == 0
    assert noted[0] == ("reading the text", "lines", 200, 0) and len(noted) == 3


def test_encode_tells_the_split_and_its_lines(tmp_path, vocab, noted, monkeypatch):
    text = vocab.parent / "text.txt"
    assert (
        main(
            [
                "encode",
                "--vocab",
                str(vocab),
                "--destdir",
                str(tmp_path / "bin"),
                "--trainpref",
                str(text),
                "--validpref",
                str(text),
            ]
        )
        == 0
    )
    assert noted == [(f"{tmp_path}/bin/{split}", "lines", 200, 0) for split in ("train", "valid")]
    noted.clear()
    monkeypatch.setattr("sys.stdin", open(text, encoding="utf-8"))  # noqa: SIM115
    assert main(["encode", "--vocab", str(vocab)]) == 0
    assert noted == [("standard input", "lines", 200, 0)]
    sys.stdin.close()


def prepared(folder, vocab, content, *more):
    for split in ("train", "valid"):
        (folder / split).write_text(content)
    given = [
        *["--vocab", vocab, "--destdir", folder / "bin", "--train", folder / "train"],
        *["--valid", folder / "valid"],
        *more,
    ]
    assert main(["prepare", *map(str, given)]) == 0


def reading(folder):
    return [(f"reading {folder}/{split}", "", 0, 0) for split in ("train", "valid")]


def test_prepare_tells_what_it_reads_and_how_many_examples_are_done(tmp_path, vocab, noted):
    prepared(
        *[tmp_path, vocab, "text\tclass\n" + "".join(f"{line}\t{i % 2}\n" for i, line in enumerate(LINES))],
        *["--text", "text", "--label", "class"],
    )
    assert noted == reading(tmp_path) + [
        (f"{tmp_path}/bin, {split}", "examples", 200, 200) for split in ("train", "valid")
    ]


def test_prepare_tells_what_it_reads_and_how_many_sentences_are_done(tmp_path, vocab, noted):
    prepared(tmp_path, vocab, "word\tB-X\ntext\tO\n\n" * 50, "--conll")
    assert noted == reading(tmp_path) + [
        (f"{tmp_path}/bin, {split}", "sentences", 50, 50) for split in ("train", "valid")
    ]


def test_prepare_tells_how_many_windows_there_will_be(tmp_path, vocab, noted, capsys):
    record = {"id": "q", "question": "text", "answers": [{"text": "word", "answer_start": 0}]}
    paragraphs = [
        {"context": " ".join(LINES[i : i + 20]), "qas": [record | {"id": f"q{i}"}]} for i in (0, 20)
    ]
    prepared(
        tmp_path,
        vocab,
        json.dumps({"data": [{"paragraphs": paragraphs}]}),
        *["--squad", "--max-positions", "100", "--stride", "20"],
    )
    stages, total = dict.fromkeys(("train", "valid")), 0
    for split in stages:
        assert (f"{split}: cutting contexts into pieces", "contexts", 2, 2) in noted
        (windows,) = [stage for stage in noted if stage[0] == f"{split}: making windows of 2 questions"]
        assert windows[1] == "windows" and windows[2] == windows[3] > 4, (
            "as many were made as were told of at the beginning"
        )
        total += windows[3]
    assert f"; 4 in several windows of 100 tokens, {total} windows in all; " in capsys.readouterr().out


def test_predict_counts_rows_while_it_computes_them():
    net = types.SimpleNamespace(max_tokens=20, progress=Progress())
    done = [
        net.progress._stage.done
        for _ in ElectraHubInterface._batches_of_like_length(net, [5, 9, 5, 10, 20, 4])
    ]
    assert done == [0, 3, 5] and net.progress._stage.done == 6


def answers(predictor, numbers, inputs):
    """Give every input its number."""
    for number in numbers:
        predictor.tuned.progress.add()
        yield {"score": number}


def test_predict_tells_its_source_and_shows_the_progress_of_its_net(monkeypatch, tmp_path, noted, capsys):
    net = types.SimpleNamespace(
        labels={"head": []}, kind="sentence_prediction", task=None, max_length=16, progress=Progress()
    )
    net.to = lambda device: None
    monkeypatch.setattr("fairseq_electra.from_pretrained", lambda *_, **__: net)
    monkeypatch.setattr(SentencePredictor, "answer", answers)
    (tmp_path / "text.txt").write_text("one\ntwo\n")
    (tmp_path / "net").mkdir()
    assert main(["predict", str(tmp_path / "net"), "--input", str(tmp_path / "text.txt")]) == 0
    assert capsys.readouterr().out == '{"score": 1}\n{"score": 2}\n'
    assert noted == [(f"predicting on {tmp_path}/text.txt", "rows", 2, 0)]


def test_corrupt_counts_rows(make_task, make_model):
    task = make_task()
    progress, rows = Progress(), torch.randint(5, 50, (3, 128)).numpy()
    corrupt_rows = rows_by_generator(make_model(task).eval(), task.source_dictionary, progress)
    corrupt_rows(rows, torch.arange(3).numpy())
    assert progress._stage.done == 3


def test_a_generator_that_has_seen_shorter_rows_than_it_corrupts_is_warned_of():
    assert too_short(64).startswith(
        "WARNING: the generator was trained on rows of at most 64 tokens and corrupts rows of 128"
    )
    assert not too_short(128)
