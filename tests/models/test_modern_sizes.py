"""The sizes whose layers are ModernBERT's, as options give them and checkpoints keep them."""

from dataclasses import asdict, fields

import pytest
import torch

from fairseq_electra.electra.configuration import encoder_sizes, generator_sizes, sizes_in
from fairseq_electra.electra.parameters import encoder_parameters
from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.electra.sizes import NUMBERS, EncoderSizes
from fairseq_electra.hub.load import load_checkpoint
from tests.helpers.training import command, configuration, train_here

MODERN = ["modern_tiny", "modern_small", "modern_base"]
SMALL = [
    *["--arch", "electra_modern_tiny", "--hidden-size", 32, "--embedding-size", 32],
    *["--intermediate-size", 40, "--num-attention-heads", 2, "--num-hidden-layers", 4],
]
# transformers configuration_modernbert.py::ModernBertConfig: base; arXiv 2507.11412, table 1: small
PUBLISHED = {"modern_base": (768, 22, 12, 1152), "modern_small": (256, 7, 4, 384)}


def options(*arguments, arch):
    return configuration(command("data", "nowhere", *arguments, "--arch", arch)[3:]).model


@pytest.mark.parametrize("size", MODERN)
def test_an_arch_gives_all_traits_of_a_modern_size(size):
    row, cfg = MODEL_SIZES[size], options(arch=f"electra_{size}")
    traits = {
        each.name
        for each in fields(EncoderSizes)
        if each.name not in NUMBERS and getattr(row.encoder, each.name) != each.default
    }
    assert {"feed_forward", "no_segments", "normed_head", "norm_eps", "norm", "rotary_base"} <= traits
    assert all(cfg[name] == getattr(row.encoder, name) for name in traits)
    assert encoder_sizes(cfg) == row.encoder == row.arch_encoder
    # under hydra the size alone is given, and flags are off where nobody switches them on
    alone = {"model_size": size, "no_linear_bias": False, "no_segments": False, "normed_head": False}
    assert encoder_sizes(alone) == row.encoder and generator_sizes(alone) == row.generator


@pytest.mark.parametrize("size", PUBLISHED)
def test_modern_sizes_have_published_shapes(size):
    sizes = MODEL_SIZES[size].encoder
    shape = (sizes.hidden_size, sizes.num_hidden_layers, sizes.num_attention_heads, sizes.intermediate_size)
    assert shape == PUBLISHED[size] and sizes.embedding_size == sizes.hidden_size


def test_modern_tiny_has_the_parameters_of_tiny_in_its_layers():
    modern, tiny = (encoder_parameters(MODEL_SIZES[size].encoder) for size in ("modern_tiny", "tiny"))
    assert modern == pytest.approx(tiny, rel=0.002)


@pytest.mark.parametrize(("size", "layers"), [("modern_tiny", 1), ("modern_small", 2), ("modern_base", 7)])
def test_the_generator_of_a_modern_size_is_as_wide_and_a_third_as_deep(size, layers):
    sizes, found = MODEL_SIZES[size].encoder, generator_sizes({"model_size": size})
    assert asdict(found) == asdict(sizes) | {"num_hidden_layers": layers}
    given = generator_sizes({"model_size": size, "generator_layers": 0.5})
    assert given.num_hidden_layers == round(sizes.num_hidden_layers / 2)
    assert generator_sizes({"model_size": size, "objective": "mlm"}) == sizes


def test_options_of_before_give_the_generator_of_before():
    for size in ("tiny", "small", "base", "large"):
        before = {"model_size": size, "generator_layers": 1.0}
        assert generator_sizes(before) == generator_sizes({"model_size": size}) == MODEL_SIZES[size].generator


def test_a_modern_size_is_trained_resumed_and_loaded(data_bin, tmp_path, caplog):
    log = train_here(data_bin, tmp_path, *SMALL, "--max-update", 2, "--disable-validation")
    assert log.updates == 2 and all(0 < loss < 100 for loss in log.losses)
    assert "known to collapse" not in caplog.text  # the generator is as wide, but not as deep
    path = tmp_path / "checkpoint_last.pt"
    saved = torch.load(path, weights_only=True)
    assert "embeddings.segments.weight" not in saved["model"]
    assert "discriminator_head.layer_norm.weight" in saved["model"]
    assert saved["cfg"]["model"]["no_segments"] is True and saved["cfg"]["model"]["norm_eps"] == 1e-5
    assert sizes_in(saved["cfg"]["model"])["generator_layers"] == 1 / 3
    model = load_checkpoint(path).model
    assert len(model.generator.layers) == 1 and model.generator.sizes.hidden_size == 32
    assert all(module.eps == 1e-5 for module in model.modules() if isinstance(module, torch.nn.LayerNorm))
    log = train_here(data_bin, tmp_path, *SMALL, "--max-update", 3, "--disable-validation")
    assert log.updates == 3
