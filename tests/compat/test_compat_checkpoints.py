"""What fairseq does when it writes and reads checkpoints, which the package changes."""

import argparse
import errno
import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from fairseq import checkpoint_utils, trainer
from fairseq.criterions import sentence_prediction
from fairseq.file_io import PathManager
from fairseq.logging import meters
from fairseq.optim import OPTIMIZER_DATACLASS_REGISTRY, OPTIMIZER_REGISTRY

from fairseq_electra.compat import atomic_saves
from fairseq_electra.errors import InputError
from tests.helpers.fairseq_source import source_of, stock_source


def test_fairseq_still_puts_numpys_numbers_into_checkpoints(tmp_path):
    """--report-acc-and-f1 gets one from scikit-learn, and --best-checkpoint-metric saves it."""
    assert "torch.load(f, map_location" in source_of(checkpoint_utils.load_checkpoint_to_cpu)
    scores = sentence_prediction.acc_and_f1(np.array([0, 1, 1]), np.array([0, 1, 0]))
    assert isinstance(scores["acc_and_f1"], np.generic)
    torch.save({"best": [scores["acc_and_f1"], np.float32(1), np.int64(2)]}, tmp_path / "a.pt")
    assert torch.load(tmp_path / "a.pt", weights_only=True)["best"] == [scores["acc_and_f1"], 1, 2]


def test_fairseq_still_saves_the_options_of_components_without_a_dataclass_as_a_namespace(tmp_path):
    assert "sgd" in OPTIMIZER_REGISTRY and "sgd" not in OPTIMIZER_DATACLASS_REGISTRY
    torch.save({"cfg": {"optimizer": argparse.Namespace(momentum=0.0)}}, tmp_path / "a.pt")
    assert torch.load(tmp_path / "a.pt", weights_only=True)["cfg"]["optimizer"].momentum == 0.0


def test_a_checkpoint_with_code_in_it_is_refused_by_name(tmp_path):
    torch.save({"model": Path}, tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"a\.pt, .* bytes: it holds pathlib\.Path, which is code"):
        checkpoint_utils.load_checkpoint_to_cpu(str(tmp_path / "a.pt"))


def test_fairseq_still_copies_checkpoints_in_place(tmp_path, monkeypatch):
    plain = next(cell.cell_contents for cell in PathManager.copy.__closure__ if callable(cell.cell_contents))
    assert "shutil.copyfile(src_path, dst_path)" in inspect.getsource(plain)
    source, target = tmp_path / "new", tmp_path / "last"
    source.write_text("new")
    target.write_text("last good")

    def die(src, dst):
        with open(dst, "w") as stream:
            stream.write("ne")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", die)
    with pytest.raises(
        InputError, match=r"cannot write .*last \(.*No space left on device; .* MB free\); make room$"
    ):
        PathManager.copy(str(source), str(target), overwrite=True)
    assert target.read_text() == "last good" and {*tmp_path.iterdir()} == {source, target}
    monkeypatch.undo()
    assert PathManager.copy(str(source), str(target), overwrite=True)
    assert target.read_text() == "new"


def test_fairseq_still_writes_one_attempt_behind_the_other(tmp_path, monkeypatch):
    attempts = inspect.getsource(checkpoint_utils._torch_persistent_save)
    assert "for i in range(3):" in attempts and "seek" not in attempts and "time.sleep" in attempts
    (tmp_path / "last.pt").write_text("last good")

    def die(obj, stream):
        stream.write(b"P")
        raise RuntimeError("file write failed")

    monkeypatch.setattr("torch.save", die)
    with pytest.raises(InputError, match="file write failed"):
        checkpoint_utils.torch_persistent_save({}, str(tmp_path / "last.pt"))
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("last.pt", "last good")]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied"),
            r"\(\[Errno 13\] Permission denied\); check the path and its permissions$",
        ),
        (
            OSError(errno.EDQUOT, "Disk quota exceeded"),
            r"\(\[Errno \d+\] Disk quota exceeded; \S+ MB free\); make room$",
        ),
        (OSError(), r"\(OSError\); check the path and its permissions$"),
        (RuntimeError(), r"\(RuntimeError; \S+ MB free\); make room$"),
    ],
)
def test_a_failed_write_is_told_what_helps_against_its_cause(tmp_path, monkeypatch, error, sentence):
    def die(obj, stream):
        raise error

    monkeypatch.setattr("torch.save", die)
    with pytest.raises(InputError, match=sentence):
        checkpoint_utils.torch_persistent_save({}, str(tmp_path / "last.pt"))


def test_a_path_that_is_not_there_is_told_so(tmp_path):
    with pytest.raises(
        InputError, match=r"No such file or directory.*\); check the path and its permissions$"
    ):
        checkpoint_utils.torch_persistent_save({}, str(tmp_path / "absent" / "last.pt"))


def test_fairseq_still_puts_tensors_into_the_metrics_of_a_checkpoint():
    meter = meters.AverageMeter()
    meter.update(torch.tensor(2.0))
    assert isinstance(meter.state_dict()["sum"], torch.Tensor)
    assert '"metrics": metrics.state_dict()' in stock_source(trainer)


def test_fairseq_still_shows_pytorchs_words_on_damaged_checkpoints(tmp_path):
    assert "damaged" not in source_of(checkpoint_utils.load_checkpoint_to_cpu.__closure__[0].cell_contents)
    (tmp_path / "a.pt").write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match="13 bytes: not a checkpoint, or damaged or truncated"):
        checkpoint_utils.load_checkpoint_to_cpu(str(tmp_path / "a.pt"))
    with pytest.raises(InputError, match="no such checkpoint"):
        checkpoint_utils.load_checkpoint_to_cpu(str(tmp_path / "b.pt"))


@pytest.mark.parametrize(
    ("name", "state"), [("pytorch_model.bin", {"encoder.weight": torch.ones(1)}), ("a.pt", [torch.ones(1)])]
)
def test_what_is_no_checkpoint_of_fairseq_is_not_called_damaged(tmp_path, name, state):
    torch.save(state, tmp_path / name)
    with pytest.raises(
        InputError,
        match="bytes: not a checkpoint of fairseq; a model of transformers becomes one with fairseq-electra",
    ):
        checkpoint_utils.load_checkpoint_to_cpu(str(tmp_path / name))
    (tmp_path / "model.safetensors").write_bytes((0x80).to_bytes(8, "little") + b"{}")
    with pytest.raises(InputError, match="not a checkpoint of fairseq; a model of transformers becomes one"):
        checkpoint_utils.load_checkpoint_to_cpu(str(tmp_path / "model.safetensors"))


def test_fairseq_still_drops_the_weights_before_it_starts_the_average_from_them():
    source = source_of(trainer.Trainer.load_checkpoint)
    assert source.index('del state["model"]') < source.index('state["model"], build_fp32_params')


def test_fairseq_still_writes_a_checkpoint_under_a_name_that_two_runs_share_and_renames_it_at_once(
    tmp_path, monkeypatch
):
    plain = stock_source(checkpoint_utils)
    assert 'PathManager.open(filename + ".tmp", "wb")' in plain and "fsync" not in plain
    names, synced = [], []
    save, sync = torch.save, atomic_saves.sync

    def saving(obj, stream):
        names.append(stream.name)
        save(obj, stream)

    monkeypatch.setattr("torch.save", saving)
    monkeypatch.setattr(
        atomic_saves,
        "sync",
        lambda path: synced.append((str(path), (tmp_path / "last.pt").exists())) or sync(path),
    )
    checkpoint_utils.torch_persistent_save({"a": 1}, str(tmp_path / "last.pt"))
    assert synced == [(str(names[0]), False)]
    checkpoint_utils.torch_persistent_save({"a": 2}, str(tmp_path / "last.pt"))
    assert (
        len({*names}) == 2
        and torch.load(tmp_path / "last.pt")["a"] == 2
        and len(list(tmp_path.iterdir())) == 1
    )


def test_a_run_that_is_stopped_in_a_save_leaves_nothing_half_written(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.save", lambda obj, stream: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        checkpoint_utils.torch_persistent_save({}, str(tmp_path / "last.pt"))
    assert list(tmp_path.iterdir()) == []


def test_fairseq_still_saves_no_vocabulary_beside_a_checkpoint():
    source = stock_source(checkpoint_utils).partition("def save_checkpoint")[2].partition("\ndef ")[0]
    assert "torch_persistent_save" not in source and "dict.txt" not in source and "tokenizer" not in source
    assert "trainer.save_checkpoint(checkpoints[0], extra_state)" in source


def test_fairseq_still_names_neither_option_nor_remedy_for_a_folder_it_cannot_write_to(tmp_path):
    (tmp_path / "file").touch()
    plain = checkpoint_utils.verify_checkpoint_directory.__wrapped__
    with pytest.raises(OSError, match="file/save") as error:
        plain(str(tmp_path / "file" / "save"))
    assert "--save-dir" not in str(error.value)


def test_fairseq_still_takes_the_best_score_of_a_checkpoint_as_it_stands():
    source = stock_source(checkpoint_utils).partition("def load_checkpoint(")[2].partition("\ndef ")[0]
    assert 'save_checkpoint.best = extra_state["best"]' in source and "units" not in source
