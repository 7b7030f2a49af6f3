"""Defaults of a command line: safe ones, the original's with --as, and those of a checkpoint."""

import shutil
from dataclasses import asdict

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


@pytest.mark.long
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
    there = ("--restore-file", tmp_path / "net" / "checkpoint_last.pt")
    for norm, tensor in (("deepnorm", "residual_scale"), ("pre", "layer_norm")):
        found = refusal(data_bin, tmp_path / "net", *TINY_NET, "--norm", norm, "--max-update", 2)
        assert f"--norm post, and this one has {norm}: give --norm post to resume" in found
        found = refusal(data_bin, tmp_path / norm, *TINY_NET, "--norm", norm, *there, "--max-update", 2)
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


MODERN = [
    *"--norm pre_but_first --norm-kind layernorm_without_bias --feed-forward geglu --no-linear-bias".split(),
    *"--rotary-base 160000 --local-window 16 --global-every 2 --local-rotary-base 5000".split(),
    *"--dropout 0.1 --dropout-at attention_output".split(),
]
TRAITS = {
    "norm": "pre_but_first",
    "norm_kind": "layernorm_without_bias",
    "feed_forward": "geglu",
    "no_linear_bias": True,
    "rotary_base": 160000.0,
    "local_window": 16,
    "global_every": 2,
    "local_rotary_base": 5000.0,
    "dropout_at": "attention_output",
}


@pytest.fixture(scope="module")
def modern(data_bin, tmp_path_factory):
    """A checkpoint of a model with every trait."""
    folder = tmp_path_factory.mktemp("modern")
    log = train_here(data_bin, folder, *TINY_NET, *MODERN, "--max-update", 2, "--disable-validation")
    assert log.updates == 2 and all(0 < loss < 100 for loss in log.losses)
    return folder / "checkpoint_last.pt"


def test_a_run_is_resumed_with_the_traits_of_its_checkpoint(modern, data_bin, tmp_path, caplog):
    shutil.copy(modern, tmp_path)
    cfg = configuration(command(data_bin, tmp_path, "--arch", "electra_tiny")[3:])
    assert {name: cfg.model[name] for name in TRAITS} == TRAITS
    assert [line.partition(": ")[2] for line in caplog.messages if line.startswith("as in ")] == [
        "--positions rotary --norm pre_but_first --norm-kind layernorm_without_bias --feed-forward geglu"
        " --no-linear-bias --rotary-base 160000.0 --local-rotary-base 5000.0 --local-window 16"
        " --global-every 2 --dropout-at attention_output"
    ]
    given = ["--local-window", 32, "--rotary-base", 10000]
    cfg = configuration(command(data_bin, tmp_path, "--arch", "electra_tiny", *given)[3:])
    assert (cfg.model.local_window, cfg.model.rotary_base, cfg.model.global_every) == (32, 10000.0, 2)
    given = ["--local-window", 0]
    cfg = configuration(command(data_bin, tmp_path, "--arch", "electra_tiny", *given)[3:])
    assert cfg.model.local_window == 0


@pytest.mark.parametrize("start", ["--finetune-from-model", "--continue-once"])
def test_a_run_that_starts_from_a_checkpoint_has_its_numbers_of_heads(data_bin, tmp_path, start, caplog):
    """Weights of another number have the same shapes, so nothing else would tell."""
    heads = ["--num-attention-heads", 4, "--generator-num-attention-heads", 2]
    train_here(data_bin, tmp_path / "four", *TINY_NET, *heads, "--max-update", 1, "--disable-validation")
    arguments = ["--arch", "electra_tiny", start, tmp_path / "four" / "checkpoint_last.pt"]
    cfg = configuration(command(data_bin, tmp_path / "new", *arguments)[3:])
    assert (cfg.model.num_attention_heads, cfg.model.generator_num_attention_heads) == (4, 2)
    assert "--num-attention-heads 4" in caplog.text
    arguments += ["--num-attention-heads", 8]
    assert configuration(command(data_bin, tmp_path / "new", *arguments)[3:]).model.num_attention_heads == 8


def test_from_pretrained_and_fine_tuning_take_the_traits_from_the_checkpoint(modern):
    from omegaconf import OmegaConf

    from fairseq_electra.electra.configuration import encoder_sizes
    from fairseq_electra.hub.load import load_checkpoint
    from fairseq_electra.models._config import checkpoint_to_start_from, sizes_to_adopt, write_options
    from fairseq_electra.models.electra_encoder import ElectraEncoderConfig

    found = asdict(load_checkpoint(modern).model.sizes)
    assert {name: found[name] for name in TRAITS} == TRAITS
    cfg = OmegaConf.structured(ElectraEncoderConfig)
    cfg.finetune_from_model, cfg.save_dir = str(modern), "nowhere"
    adopted = sizes_to_adopt(cfg, ElectraEncoderConfig, checkpoint_to_start_from(cfg))
    write_options(cfg, adopted)
    assert asdict(encoder_sizes(cfg)) == found


def test_export_refuses_a_model_with_these_traits(modern):
    from fairseq_electra.hub.load import load_checkpoint
    from fairseq_electra.interchange.export_transformers import networks_of

    with pytest.raises(InputError, match="the export to transformers would be wrong, as it was written for"):
        networks_of(load_checkpoint(modern))
