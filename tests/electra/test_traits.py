"""Traits of the encoder that are off by default: against the transcription in NumPy, and against PyTorch."""

from dataclasses import asdict, fields, replace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from fairseq_electra.electra.configuration import encoder_sizes, generator_sizes, sizes_in
from fairseq_electra.electra.embeddings import Embeddings
from fairseq_electra.electra.encoder import Encoder
from fairseq_electra.electra.flops import encoder_flops
from fairseq_electra.electra.heads import MaskedLMHead, ReplacedTokenHead
from fairseq_electra.electra.initialization import draw_parameters
from fairseq_electra.electra.model import Electra
from fairseq_electra.electra.norms import RMSNorm
from fairseq_electra.electra.parameters import (
    discriminator_parameters,
    encoder_parameters,
    pretraining_parameters,
)
from fairseq_electra.electra.sizes import EncoderSizes
from fairseq_electra.errors import InputError
from tests.helpers.small_model import randomize_parameters
from tests.reference import paper

PLAIN = EncoderSizes(8, 16, 24, 4, 2, positions="rotary", dropout=0.0, attention_dropout=0.0)
LOCAL = {"local_window": 4, "global_every": 3}
TRAITS = {
    "plain": {},
    "geglu": {"feed_forward": "geglu"},
    "no biases": {"no_linear_bias": True},
    "LayerNorm without bias": {"norm_kind": "layernorm_without_bias"},
    "RMSNorm": {"norm_kind": "rmsnorm"},
    "RMSNorm, pre": {"norm_kind": "rmsnorm", "norm": "pre"},
    "pre": {"norm": "pre"},
    "pre but first": {"norm": "pre_but_first"},
    "norm eps": {"norm_eps": 0.01},
    "RMSNorm, norm eps": {"norm_kind": "rmsnorm", "norm_eps": 0.01},
    "no segments": {"no_segments": True},
    "normed head": {"normed_head": True},
    "rotary base": {"rotary_base": 160000.0},
    "windows": LOCAL,
    "windows in every other layer": {"local_window": 2, "global_every": 2},
    "learned positions, windows": {**LOCAL, "positions": "learned"},
    "ModernBERT's": {
        **LOCAL,
        "embedding_size": 16,
        "norm": "pre_but_first",
        "norm_kind": "layernorm_without_bias",
        "feed_forward": "geglu",
        "no_linear_bias": True,
        "rotary_base": 160000.0,
        "local_rotary_base": 500.0,
        "dropout_at": "attention_output",
        "norm_eps": 0.01,
        "no_segments": True,
        "normed_head": True,
    },
}


def made(sizes, view="row"):
    encoder = Encoder(sizes, view=view).double()
    randomize_parameters(encoder, std=0.3)
    return encoder


def reference(encoder, embedded, real):
    """(T, C), one row, by the transcription."""
    sizes = encoder.sizes
    return paper.encoder(
        embedded,
        real,
        {f"e.{name}": tensor.numpy() for name, tensor in encoder.state_dict().items()},
        "e",
        sizes.num_attention_heads,
        sizes.num_hidden_layers,
        sizes.positions == "rotary",
        sizes.norm,
        (sizes.rotary_base, sizes.local_rotary_base),
        (sizes.local_window, sizes.global_every),
        sizes.norm_eps,
    )


@pytest.mark.parametrize("name", TRAITS)
def test_encoder_and_its_gradient_are_those_of_the_transcription(name):
    encoder = made(replace(PLAIN, **TRAITS[name]))
    embedded = torch.randn(1, 9, encoder.sizes.embedding_size, dtype=torch.float64)
    padding = torch.arange(9)[None] >= 8
    real = ~padding[0].numpy()
    weight = torch.randn(9, 16, dtype=torch.float64) * (~padding[0])[:, None]
    found = encoder(embedded.requires_grad_(), padding)[0]
    expected = reference(encoder, embedded.detach()[0].numpy(), real)
    assert np.abs(found.detach().numpy() - expected)[real].max() < 1e-9

    # along a random direction through embeddings and all parameters, by differences of the transcription
    (found * weight).sum().backward()
    moved = [embedded, *encoder.parameters()]
    direction = [torch.randn_like(each) for each in moved]
    slope = sum(float((each.grad * d).sum()) for each, d in zip(moved, direction, strict=True))
    values = []
    for step in (1e-5, -1e-5):
        with torch.no_grad():
            for each, d in zip(moved, direction, strict=True):
                each += step * d
            out = reference(encoder, embedded.detach()[0].numpy(), real)
            values.append(float((out * weight.numpy()).sum()))
            for each, d in zip(moved, direction, strict=True):
                each -= step * d
    assert (values[0] - values[1]) / 2e-5 == pytest.approx(slope, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("kind", ["layernorm_without_bias", "rmsnorm"])
@pytest.mark.parametrize("eps", [1e-12, 0.01])
def test_embeddings_and_heads_have_the_traits_of_the_encoder(kind, eps):
    modern = {"no_segments": True, "normed_head": True} if eps > 1e-12 else {}
    sizes = replace(PLAIN, norm_kind=kind, norm_eps=eps, **modern)
    modules = {
        "embeddings": Embeddings(sizes, 30, 1),
        "generator_head": MaskedLMHead(sizes, 30),
        "discriminator_head": ReplacedTokenHead(sizes),
    }
    p = {}
    for prefix, module in modules.items():
        randomize_parameters(module.double())
        p |= {f"{prefix}.{name}": tensor.numpy() for name, tensor in module.state_dict().items()}
    assert not any(name.endswith("layer_norm.bias") for name in p)
    assert ("embeddings.segments.weight" in p) is not bool(modern)
    assert ("discriminator_head.layer_norm." in " ".join(p)) is bool(modern)
    embeddings, head, discriminator_head = modules.values()
    tokens, segments = np.array([4, 9, 2, 7]), np.array([0, 0, 1, 1])
    found = embeddings(torch.from_numpy(tokens)[None], torch.from_numpy(segments)[None])[0]
    assert np.abs(found.detach().numpy() - paper.embed(tokens, segments, p, eps=eps)).max() < 1e-9
    hidden = np.random.default_rng(1).normal(size=(4, 16))
    h = paper.gelu(paper.linear(hidden, "generator_head.dense", p))
    h = paper.normalized(h, "generator_head.layer_norm", p, eps)
    expected = h @ p["embeddings.tokens.weight"].T + p["generator_head.bias"]
    scores = head(torch.from_numpy(hidden), embeddings.tokens.weight)
    assert np.abs(scores.detach().numpy() - expected).max() < 1e-9
    scores = discriminator_head(torch.from_numpy(hidden)).detach().numpy()
    assert np.abs(scores - paper.replaced_token_scores(hidden, p, eps)).max() < 1e-9


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_rms_norm_computes_in_float32(dtype):
    norm, values = RMSNorm(8), torch.randn(5, 8)
    values[0], values[1] = 300.0, 1e-4  # squares beyond, and below, what float16 can hold
    found = norm.to(dtype)(values.to(dtype))
    assert found.dtype == dtype
    expected = values / values.square().mean(-1, keepdim=True).sqrt()
    assert torch.allclose(found.float(), expected, rtol=1e-2)


@pytest.mark.parametrize("name", [name for name in TRAITS if name != "plain"])
@pytest.mark.parametrize("kind", ["bf16 weights", "autocast"])
def test_traits_compute_in_bfloat16(name, kind):
    sizes = replace(PLAIN, **TRAITS[name])
    encoder = Encoder(sizes)
    randomize_parameters(encoder)
    embedded, padding = (
        torch.randn(2, 9, sizes.embedding_size),
        torch.arange(9)[None] >= torch.tensor([[9], [7]]),
    )
    exact = encoder(embedded, padding)
    if kind == "bf16 weights":
        found = encoder.bfloat16()(embedded.bfloat16(), padding)
    else:
        with torch.autocast("cpu", torch.bfloat16):
            found = encoder(embedded, padding)
    assert (found.float() - exact)[~padding].abs().max() < 0.1 * exact.abs().max()


def test_dropout_at_attention_output_leaves_the_rest_alone():
    sizes = replace(PLAIN, dropout=0.5, dropout_at="attention_output")
    embeddings, encoder = Embeddings(sizes, 30, 1), Encoder(sizes)
    tokens = torch.randint(4, 30, (2, 6))
    assert torch.equal(embeddings(tokens, tokens * 0), embeddings.eval()(tokens, tokens * 0))
    layer, hidden = encoder.layers[0], torch.randn(2, 6, 16)
    everywhere = Encoder(replace(sizes, dropout_at="everywhere"))
    probabilities = [
        (each.layers[0].dropout.probability, each.layers[0].output_dropout.probability)
        for each in (encoder, everywhere)
    ]
    assert probabilities == [(0.5, 0.0), (0.5, 0.5)]
    assert not torch.equal(layer(hidden, None, None), layer(hidden, None, None))
    layer.dropout.probability = 0.0
    assert torch.equal(layer(hidden, None, None), layer(hidden, None, None))


@pytest.mark.parametrize("name", TRAITS)
def test_flops_and_parameters_are_those_that_pytorch_counts(name):
    sizes, rows, length = replace(PLAIN, **TRAITS[name]), 3, 10
    encoder = Encoder(sizes)
    embedded = torch.randn(rows, length, sizes.embedding_size, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        encoder(embedded, None).sum().backward()
    # a mask of T x T computes all pairs, also in layers with a window
    pairs = rows * length**2
    assert encoder_flops(sizes).of_step(rows * length, pairs, 0, pairs) == counter.get_total_flops()
    assert encoder_parameters(sizes) == sum(each.numel() for each in encoder.parameters())
    generator, own = (
        sizes.generator(1 / 2, 1 / 2),
        [Embeddings(sizes, 30, 1), encoder, ReplacedTokenHead(sizes)],
    )
    kept = sum(each.numel() for module in own for each in module.parameters())
    assert discriminator_parameters(sizes, 30) == kept
    more = [Encoder(generator), MaskedLMHead(generator, 30)]
    assert pretraining_parameters(sizes, generator, 30) == kept + sum(
        each.numel() for module in more for each in module.parameters()
    )


def test_generator_has_the_traits_of_the_discriminator():
    sizes = replace(PLAIN, **TRAITS["ModernBERT's"])
    shapes = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    same = {each.name for each in fields(sizes)} - {*shapes}
    generator = sizes.generator(1 / 2, 1 / 2)
    assert all(getattr(generator, name) == getattr(sizes, name) for name in same)
    assert (sizes.num_local_layers, generator.num_local_layers) == (2, 1)


def test_options_reach_both_networks_and_are_passed_on_to_fine_tuning():
    given = {"model_size": "tiny", **TRAITS["ModernBERT's"], "embedding_size": None}
    sizes = encoder_sizes(given)
    for name, value in TRAITS["ModernBERT's"].items():
        if name != "embedding_size":
            assert getattr(sizes, name) == getattr(generator_sizes(given), name) == value
            assert sizes_in(given)[name] == value


def test_options_of_before_the_traits_give_the_encoder_of_before():
    before = {"model_size": "small", "positions": "rotary", "norm": "scaled"}
    assert asdict(encoder_sizes(before)) | before == asdict(encoder_sizes({"model_size": "small"})) | before
    torch.manual_seed(1)
    names = Encoder(PLAIN).state_dict().keys()
    assert (
        names == Encoder(EncoderSizes(**{name: getattr(PLAIN, name) for name in BEFORE})).state_dict().keys()
    )


BEFORE = [
    *["embedding_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"],
    *["positions", "max_position_embeddings", "dropout", "attention_dropout", "norm"],
]


def test_weights_of_another_kind_are_not_loaded():
    plain = Encoder(replace(PLAIN, norm_kind="layernorm_without_bias")).state_dict()
    for changes in ({"norm_kind": "rmsnorm"}, {"norm_kind": "layernorm"}):
        with pytest.raises(RuntimeError, match="Missing key"):
            Encoder(replace(PLAIN, **changes)).load_state_dict(plain)
    pre = Encoder(replace(PLAIN, norm="pre")).state_dict()
    for changes in ({"feed_forward": "geglu"}, {"no_linear_bias": True}, {"norm": "pre_but_first"}):
        with pytest.raises(RuntimeError, match=r"size mismatch|Unexpected key"):
            Encoder(replace(PLAIN, **({"norm": "pre"} | changes))).load_state_dict(pre)


def test_new_parameters_are_drawn_as_the_others():
    model = Electra(
        sizes := replace(PLAIN, norm_kind="rmsnorm", feed_forward="geglu", no_linear_bias=True),
        sizes.generator(1 / 2, 1),
        30,
    )
    randomize_parameters(model)
    draw_parameters(model, [model.discriminator.projection])
    layer = model.discriminator.layers[0]
    assert bool((layer.output_layer_norm.gain == 1).all()) and model.discriminator.projection.bias is None
    assert 0.01 < float(layer.intermediate.weight.detach().std()) < 0.03
    assert layer.intermediate.weight.shape == (48, 16) and layer.intermediate.bias is None


def test_compiled_traits_are_one_graph_with_the_same_result():
    sizes = replace(PLAIN, **TRAITS["ModernBERT's"])
    model = Electra(sizes, sizes.generator(1 / 2, 1), 30).eval()
    tokens, at = torch.randint(4, 29, (2, 140)), torch.tensor([[1, 5], [2, 7]])
    arguments = [tokens, tokens * 0, tokens < 0, at, tokens.gather(1, at), torch.rand(2, 2)]
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True, dynamic=False)
    assert torch.allclose(compiled(*arguments).disc_logits, model(*arguments).disc_logits, atol=1e-6)
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm_kind": "batchnorm"}, "--norm-kind must be one of layernorm, layernorm_without_bias, rmsnorm"),
        ({"feed_forward": "swiglu"}, "--feed-forward must be one of gelu, geglu, got 'swiglu'"),
        ({"dropout_at": "mlp"}, "--dropout-at must be one of everywhere, attention_output"),
        ({"local_window": 5}, "--local-window 5: half of the window lies on each side"),
        ({"local_window": -2}, "--local-window -2: half of the window lies on each side"),
        ({"local_window": 4, "global_every": 0}, "--global-every must be 1 or more, got 0"),
        ({"local_window": 4, "global_every": 1}, "with --global-every 1 no layer has the --local-window 4"),
        ({"global_every": 2}, "--global-every are of encoders with windows; give --local-window"),
        ({"local_rotary_base": 5e3}, "are of encoders with windows; give --local-window"),
        ({"rotary_base": 1.0}, "--rotary-base must be above 1, got 1.0"),
        ({"rotary_base": float("inf")}, "--rotary-base must be above 1, got inf"),
        ({"rotary_base": 2e4, "positions": "learned"}, "need --positions rotary; leave them out"),
    ],
)
def test_sizes_refuse_traits_that_cannot_be(changes, message):
    with pytest.raises(InputError, match=message):
        replace(PLAIN, **changes)
