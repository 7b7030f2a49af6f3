"""Whatever reads a checkpoint reads a folder as well: its best checkpoint, or else its last."""

import argparse
import importlib

import pytest
import torch

from fairseq_electra.checkpoints import find_checkpoint
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.nets import read_net


class LoadedError(InputError):
    """The path that was to be loaded, instead of a checkpoint."""


@pytest.fixture
def paths(tmp_path, monkeypatch):
    """A folder with both checkpoints and one with the last alone; what loads a checkpoint raises its path."""
    from fairseq import checkpoint_utils

    def load(path, *_, **__):
        raise LoadedError(path)

    monkeypatch.setattr(checkpoint_utils, "load_checkpoint_to_cpu", load)
    monkeypatch.setattr("fairseq_electra.hub.load.read_checkpoint", load)
    expected = {}
    for folder, names in (("both", ("best", "last")), ("last", ("last",))):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / f"checkpoint_{name}.pt").write_bytes(b"")
        expected[tmp_path / folder] = str(tmp_path / folder / f"checkpoint_{names[0]}.pt")
    file = tmp_path / "both" / "checkpoint_last.pt"
    return expected | {file: str(file)}


def loaded(read, *arguments):
    with pytest.raises(LoadedError) as caught:
        read(*arguments)
    return str(caught.value)


@pytest.mark.parametrize(
    ("command", "more"),
    [
        ("inspect", ["data-bin"]),
        ("corrupt", ["data-bin"]),
        ("average", ["--output", "averaged.pt"]),
        ("predict", ["--input", "text.txt"]),
        ("export", ["folder", "--to", "transformers"]),
    ],
)
def test_commands_take_the_best_checkpoint_of_a_folder_or_else_the_last(
    paths, command, more, tmp_path, monkeypatch
):
    (tmp_path / "data-bin").mkdir()
    (tmp_path / "text.txt").write_text("")
    monkeypatch.chdir(tmp_path)
    module, parser = importlib.import_module(f"fairseq_electra.cli.{command}"), argparse.ArgumentParser()
    module.add_arguments(parser)
    for given, expected in paths.items():
        assert loaded(module.run, parser.parse_args([str(given), *more])) == expected


@pytest.mark.parametrize("kind", ["", "generator:"])
def test_nets_to_fine_tune_may_be_folders(paths, kind):
    for given, expected in paths.items():
        assert loaded(read_net, f"x={kind}{given}") == expected


def test_a_folder_without_checkpoints_is_named_and_one_of_transformers_told(tmp_path):
    with pytest.raises(
        InputError,
        match=r"holds no checkpoint_best\.pt or checkpoint_last\.pt; give a checkpoint, or the --save-dir",
    ):
        find_checkpoint(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="a folder of transformers becomes one with fairseq-electra import"):
        find_checkpoint(tmp_path)
    assert find_checkpoint(tmp_path / "absent.pt") == tmp_path / "absent.pt"


@pytest.mark.parametrize(
    ("model", "metric", "criterion", "chosen"),
    [
        ({"objective": "electra"}, "loss", "replaced_token_detection", "last"),
        ({}, "loss", "replaced_token_detection", "last"),  # from before --objective
        ({"objective": "replace_mlm"}, "loss", "replaced_token_detection", "last"),
        ({"objective": "electra"}, "fixed_auc", "replaced_token_detection", "best"),
        ({"objective": "mlm"}, "loss", "replaced_token_detection", "best"),
        ({"generator_only": True}, "loss", "replaced_token_detection", "best"),
        ({"objective": "unigram"}, "loss", "replaced_token_detection", "best"),
        ({"objective": "electra"}, "loss", "sentence_prediction", "best"),
    ],
)
def test_the_lowest_loss_of_a_discriminator_beside_a_generator_that_learns_is_not_the_best(
    tmp_path, model, metric, criterion, chosen
):
    cfg = {
        "model": model,
        "criterion": {"_name": criterion},
        "checkpoint": {"best_checkpoint_metric": metric},
    }
    best = tmp_path / "checkpoint_best.pt"
    torch.save({"cfg": cfg, "model": {"weight": torch.zeros(2)}}, best)
    assert find_checkpoint(tmp_path) == best  # there is no other
    (tmp_path / "checkpoint_last.pt").write_bytes(b"")
    assert find_checkpoint(tmp_path).name == f"checkpoint_{chosen}.pt"
