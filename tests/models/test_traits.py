"""Defaults of a command line: safe ones, the original's with --as, and those of a checkpoint."""

import pytest
import torch

from fairseq_electra.errors import InputError
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import assert_same_weights, command, configuration, refusal, train_here, weights


def options(*arguments, arch="electra_small"):
    cfg = configuration(command("data", "nowhere", *arguments, "--arch", arch)[3:])
    return cfg.model.positions, cfg.model.norm, cfg.optimizer.bias_correction, cfg.optimizer.adam_betas


@pytest.mark.parametrize(
    ("size", "norm"), [("tiny", "post"), ("small", "scaled"), ("base", "scaled"), ("large", "scaled")]
)
def test_an_arch_by_itself_is_safe(size, norm):
    assert options(arch=f"electra_{size}") == ("rotary", norm, "on", "(0.9, 0.98)")


@pytest.mark.parametrize(("name", "correction"), [("google", "off"), ("paper", "on")])
def test_as_is_the_original_bit_by_bit(name, correction):
    assert options("--as", name) == ("learned", "post", correction, "(0.9, 0.999)")


def test_what_is_given_wins_over_what_as_stands_for():
    assert options("--as", "google", "--norm", "pre", "--bias-correction", "on") == (
        "learned",
        "pre",
        "on",
        "(0.9, 0.999)",
    )


def test_the_old_spelling_of_bias_correction_is_understood():
    assert options("--bias-correction", "--no-save")[2] == "on"


def make_old(save_dir):
    """Turn a checkpoint into one of a version that knew no --norm and left positions to the size table."""
    path = save_dir / "checkpoint_last.pt"
    state = torch.load(path, weights_only=True)
    del state["cfg"]["model"]["norm"]
    state["cfg"]["model"]["positions"] = None
    torch.save(state, path)


def test_an_old_checkpoint_is_resumed_by_its_old_line_bit_by_bit(data_bin, tmp_path):
    small = [*TINY_NET, "--arch", "electra_small", "--dropout", "0", "--attention-dropout", "0"]
    original = [
        *["--positions", "learned", "--norm", "post", "--bias-correction", "off"],
        *["--adam-betas", "(0.9, 0.999)"],
    ]
    train_here(data_bin, tmp_path / "whole", *small, *original, "--max-update", 6)
    train_here(data_bin, tmp_path / "old", *small, *original, "--max-update", 3)
    make_old(tmp_path / "old")
    log = train_here(data_bin, tmp_path / "old", *small, "--max-update", 6)
    assert "--positions learned --norm post" in log.text and "--adam-betas '(0.9, 0.999)'" in log.text
    assert_same_weights(weights(tmp_path / "whole"), weights(tmp_path / "old"))


def test_a_branch_keeps_the_betas_of_its_trunk_and_a_net_from_given_weights_has_the_safe_ones(
    data_bin, tmp_path
):
    train_here(data_bin, tmp_path / "trunk", *TINY_NET, "--adam-betas", "(0.9, 0.999)", "--max-update", 1)
    last = str(tmp_path / "trunk" / "checkpoint_last.pt")
    assert options("--continue-once", last, arch="electra_tiny")[3] == "(0.9, 0.999)"
    assert options("--restore-file", last, arch="electra_tiny")[3] == "(0.9, 0.999)"
    assert options("--restore-file", last, "--reset-optimizer", arch="electra_tiny")[3] == "(0.9, 0.98)"
    assert options("--finetune-from-model", last, arch="electra_tiny")[3] == "(0.9, 0.98)"
    assert options("--finetune-from-model", last, arch="electra")[3] == "(0.9, 0.98)"


def test_an_old_checkpoint_is_validated_and_loaded_as_what_it_is(data_bin, tmp_path):
    from fairseq_electra.cli.inspect import load_pretrained
    from fairseq_electra.hub.load import load_checkpoint

    small = [*TINY_NET, "--arch", "electra_small"]
    train_here(data_bin, tmp_path / "old", *small, "--as", "paper", "--max-update", 1)
    make_old(tmp_path / "old")
    path = tmp_path / "old" / "checkpoint_last.pt"
    for model in (load_pretrained(str(path), str(data_bin))[0], load_checkpoint(path).model):
        assert (model.sizes.positions, model.sizes.norm) == ("learned", "post")


def test_tensors_of_another_kind_are_refused(data_bin, tmp_path):
    train_here(data_bin, tmp_path / "net", *TINY_NET, "--norm", "post", "--max-update", 1)
    for norm, tensor in (("deepnorm", "residual_scale"), ("pre", "layer_norm")):
        found = refusal(data_bin, tmp_path / "net", *TINY_NET, "--norm", norm, "--max-update", 2)
        assert tensor in found and "give the --arch and options it was trained with" in found


def test_a_net_that_is_fine_tuned_from_nothing_has_the_same_traits():
    line = "--arch electra_encoder --model-size small --task sentence_prediction --num-classes 2".split()
    line += ["--criterion", "sentence_prediction"]
    cfg = configuration(
        [
            "data",
            *command("data", "x")[4:6],
            *line,
            *["--optimizer", "electra_adam", "--lr", "1e-3", "--batch-size", "8"],
        ]
    )
    assert (cfg.model.positions, cfg.model.norm, cfg.optimizer.adam_betas) == ("rotary", "scaled", None)


def test_a_word_that_is_neither_on_nor_off_is_refused(data_bin, tmp_path):
    found = refusal(data_bin, tmp_path, *TINY_NET, "--bias-correction", "perhaps")
    assert found == "--bias-correction must be on or off, got 'perhaps'"
    with pytest.raises(InputError, match="--as bert: there is no such name; choose from google, paper"):
        options("--as", "bert")
    with pytest.raises(InputError, match="--norm must be one of"):
        from fairseq_electra.electra.size_table import named_sizes

        named_sizes("small", norm="sandwich")
