"""What is wrong outside ends in one sentence, a non-zero status and nothing half-written."""

import json
import shutil

import numpy as np
import pytest
import torch

from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.binarized import Binarized
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import refusal, train, train_here, weights

ONE = [*TINY_NET, "--max-update", "1", "--disable-validation"]


@pytest.fixture
def copied(tmp_path, data_bin):
    return shutil.copytree(data_bin, tmp_path / "data")


def refused(log, message):
    assert log.status != 0
    last = log.text.strip().splitlines()[-1]
    assert last.startswith("fairseq_electra: error: "), log.text[-2000:]
    assert message in last
    assert "Traceback" not in log.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--mask-prob", "0"], "--mask-prob must lie between 0 and 1, got 0.0"),
        (["--mask-prob", "1"], "--mask-prob must lie between 0 and 1, got 1.0"),
        (["--temperature", "0"], "--temperature must be above 0, got 0.0"),
        (["--fp16"], "--fp16 needs a GPU; on a CPU use --autocast bf16"),
        (
            ["--positions", "learned", "--max-position-embeddings", "32"],
            "rows of 64 tokens are longer than the position table",
        ),
        (["--tokens-per-sample", "4"], "--tokens-per-sample must lie between"),
        (["--leave-unmasked-prob", "0.9", "--random-token-prob", "0.2"], "add up to at most 1"),
        (["--across-documents"], "--across-documents is for --rows blocks"),
        (["--hidden-size", "33"], "cannot be shared by 2 attention heads"),
        (["--arch", "electra"], "model size unknown: give --finetune-from-model"),
        (["--num-attention-heads", "0"], "--num-attention-heads must be 1 or more, got 0"),
        (["--dropout", "1.5"], "--dropout must lie in [0, 1), got 1.5"),
    ],
)
def test_options(tmp_path, data_bin, options, message):
    assert message in refusal(data_bin, tmp_path / "save", *ONE, *options)
    assert not list((tmp_path / "save").glob("*.pt"))


def test_no_such_folder(tmp_path):
    refused(train(tmp_path / "absent", tmp_path / "save", *ONE, check=False), "no such data folder")


def truncate(path):
    path.write_bytes(path.read_bytes()[:-7])


def drop_lines(dictionary):
    lines = dictionary.read_text().splitlines()
    dictionary.write_text("\n".join(lines[:100] + lines[-1:]) + "\n")


def mask_first(dictionary):
    lines = dictionary.read_text().splitlines()
    dictionary.write_text("\n".join(lines[-1:] + lines[:-1]) + "\n")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: truncate(d / "train.bin"), "train.bin is"),
        (lambda d: truncate(d / "train.idx"), "train.idx is"),
        (
            lambda d: (d / "train.idx").write_bytes(b"TNTIDX\x00\x00" + bytes(40)),
            "is no index of fairseq's mmap format",
        ),
        (lambda d: (d / "train.idx").write_bytes(b""), "is no index of fairseq's mmap format"),
        (lambda d: (d / "train.idx").unlink(), "no "),
        (lambda d: drop_lines(d / "dict.txt"), "but the dictionary has"),
        (lambda d: mask_first(d / "dict.txt"), "<mask> must be the last entry, but is number 4"),
        (lambda d: (d / "dict.txt").unlink(), "dict.txt"),
        (lambda d: (d / "dict.txt").write_bytes("é 1\n".encode("latin-1")), "is no dictionary"),
        (lambda d: (d / "dict.txt").write_text("no count here\n"), "is no dictionary"),
    ],
)
def test_damaged_data(tmp_path, copied, damage, message):
    damage(copied)
    assert message in refusal(copied, tmp_path / "save", *ONE)


def test_an_empty_corpus(tmp_path, copied):
    sizes = np.ones(3, np.int32)
    head = (copied / "train.idx").read_bytes()[:18]
    (copied / "train.idx").write_bytes(
        head + (3).to_bytes(8, "little") + sizes.tobytes() + (np.arange(3) * 2).astype(np.int64).tobytes()
    )
    (copied / "train.bin").write_bytes(np.full(3, 2, np.uint16).tobytes())
    assert "holds no text" in refusal(copied, tmp_path / "save", *ONE)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data_bin):
    folder = tmp_path_factory.mktemp("trained")
    train_here(data_bin, folder / "save", *ONE)
    return folder / "save"


def test_a_checkpoint_of_other_sizes(tmp_path, data_bin, trained):
    shutil.copytree(trained, tmp_path / "save")
    assert "--intermediate-size 64, and this one has 48: give --intermediate-size 64" in refusal(
        data_bin, tmp_path / "save", *ONE, "--intermediate-size", "48", "--max-update", "2"
    )
    there = ("--restore-file", tmp_path / "save" / "checkpoint_last.pt")
    assert "has the shape" in refusal(
        data_bin, tmp_path / "other", *ONE, "--intermediate-size", "48", *there, "--max-update", "2"
    )
    assert weights(tmp_path / "save").keys() == weights(trained).keys()


def test_a_checkpoint_of_another_dictionary(tmp_path, copied, trained):
    lines = (copied / "dict.txt").read_text().splitlines()
    lines[500], lines[501] = lines[501], lines[500]
    (copied / "dict.txt").write_text("\n".join(lines) + "\n")
    shutil.copytree(trained, tmp_path / "save")
    assert "trained with another dictionary" in refusal(copied, tmp_path / "save", *ONE, "--max-update", "2")


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"no checkpoint at all"]
)
def test_a_damaged_checkpoint(tmp_path, data_bin, trained, damage):
    shutil.copytree(trained, tmp_path / "save")
    path = tmp_path / "save" / "checkpoint_last.pt"
    path.write_bytes(damage(path.read_bytes()))
    assert "damaged or truncated" in refusal(data_bin, tmp_path / "save", *ONE, "--max-update", "2")


@pytest.mark.parametrize("broken", ["generator_head.bias", "discriminator_head.dense.bias"])
def test_losses_that_are_not_finite_stop_the_run_and_name_their_rows(
    tmp_path, data_bin, trained, broken, caplog
):
    shutil.copytree(trained, tmp_path / "save")
    path = tmp_path / "save" / "checkpoint_last.pt"
    state = torch.load(path, weights_only=True)
    state["model"][broken][0] = float("nan")
    torch.save(state, path)
    with pytest.raises(FloatingPointError):
        train_here(data_bin, tmp_path / "save", *ONE, "--max-update", "3")
    assert "not finite at update 1" in caplog.text
    report = json.loads((tmp_path / "save" / "nonfinite_rows.json").read_text())
    assert len(report["rows"]) == 8 and report["epoch"] == 1


def overwrite_ids(folder, place, value):
    ids = np.memmap(folder / "train.bin", np.uint16, "r+")
    ids[place] = value
    ids.flush()


def test_what_a_worker_process_finds_is_one_sentence_too(tmp_path, copied):
    """An end of line inside a line, in the middle of the text."""
    overwrite_ids(copied, slice(100, 4000, 10), 2)
    assert "holds one inside; make the data again" in refusal(
        copied, tmp_path / "save", *ONE, "--num-workers", "1"
    )


def test_an_id_beyond_the_dictionary_in_the_middle_of_a_long_text_is_found_when_its_row_is_read(make_task):
    dataset = make_task().load_dataset("train")
    ids = dataset.corpus.ids.copy()
    ids[dataset.rows.start[3] + 1] = 5000
    dataset.corpus = Binarized(ids, dataset.corpus.line_sizes)
    with pytest.raises(InputError, match="row 3 holds the id 5000"):
        dataset.collater([1, 2, 3])


def other_vocabulary(folder):
    lines = (folder / "dict.txt").read_text().splitlines()
    (folder / "dict.txt").write_text("\n".join([*lines[1:-1], lines[0], lines[-1]]) + "\n")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (other_vocabulary, r"data has another dict\.txt than .*; encode both with one vocabulary"),
        (shutil.rmtree, "no such data folder: .*data; "),
        (lambda folder: (folder / "train.idx").unlink(), r"no .*data/train\.idx; "),
        (lambda folder: (folder / "train.bin").unlink(), r"no .*data/train\.bin; "),
        (lambda folder: truncate(folder / "train.bin"), r"data/train\.bin is [\d,]+ bytes long, not "),
    ],
    ids=["of another vocabulary", "absent", "without train.idx", "without train.bin", "cut short"],
)
def test_a_folder_of_a_later_epoch_is_looked_at_before_the_first(
    copied, data_bin, make_task, damage, message
):
    damage(copied)
    task = make_task(data=f"{data_bin}:{data_bin}:{copied}")
    task.load_dataset("valid")
    with pytest.raises(InputError, match=message):
        task.load_dataset("train", epoch=1)
    assert "train" not in task.datasets


def test_a_folder_that_changes_during_the_run_is_found_in_its_epoch(copied, data_bin, make_task):
    task = make_task(data=f"{data_bin}:{copied}")
    for epoch in (1, 2, 3):
        task.load_dataset("train", epoch=epoch)
    other_vocabulary(copied)
    task.load_dataset("train", epoch=5)
    with pytest.raises(InputError, match=r"has another dict\.txt"):
        task.load_dataset("train", epoch=4)


def test_no_text_to_validate_on(copied, make_task):
    for path in copied.glob("valid.*"):
        path.unlink()
    with pytest.raises(InputError, match=r"the folder holds train; .*--disable-validation"):
        make_task(data=str(copied)).load_dataset("valid")
