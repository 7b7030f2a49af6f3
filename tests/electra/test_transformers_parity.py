"""The models against transformers' own: random parameters, padding, segments, rows of unequal length."""

import pytest
import torch

from fairseq_electra.electra.embeddings import Embeddings
from fairseq_electra.electra.encoder import Encoder
from tests.helpers.small_model import randomize_parameters

transformers = pytest.importorskip("transformers")
V = 200


def theirs(model_class, sizes, **changes):
    config = transformers.ElectraConfig(
        vocab_size=V,
        embedding_size=sizes.embedding_size,
        hidden_size=sizes.hidden_size,
        intermediate_size=sizes.intermediate_size,
        num_hidden_layers=sizes.num_hidden_layers,
        num_attention_heads=sizes.num_attention_heads,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=1,
        attn_implementation="eager",
        **changes,
    )
    return model_class(config).eval()


def copy_encoder(their, embeddings, encoder):
    """Fill transformers' ElectraModel from ours, tensor by tensor."""
    pairs = [
        (their.embeddings.word_embeddings.weight, embeddings.tokens.weight),
        (their.embeddings.position_embeddings.weight, embeddings.positions.weight),
        (their.embeddings.token_type_embeddings.weight, embeddings.segments.weight),
    ]
    pairs += linear(their.embeddings.LayerNorm, embeddings.layer_norm)
    if encoder.projection is not None:
        pairs += linear(their.embeddings_project, encoder.projection)
    for them, us in zip(their.encoder.layer, encoder.layers, strict=True):
        width = us.attention.qkv.weight.shape[1]
        for i, part in enumerate(
            (them.attention.self.query, them.attention.self.key, them.attention.self.value)
        ):
            rows = slice(i * width, (i + 1) * width)
            pairs += [(part.weight, us.attention.qkv.weight[rows]), (part.bias, us.attention.qkv.bias[rows])]
        pairs += linear(them.attention.output.dense, us.attention.out) + linear(
            them.attention.output.LayerNorm, us.attention_layer_norm
        )
        pairs += linear(them.intermediate.dense, us.intermediate) + linear(them.output.dense, us.output)
        pairs += linear(them.output.LayerNorm, us.output_layer_norm)
    copy_all(pairs)


def linear(them, us):
    return [(them.weight, us.weight), (them.bias, us.bias)]


def copy_all(pairs):
    with torch.no_grad():
        for them, us in pairs:
            them.copy_(us)


@pytest.fixture
def setting(make_task, make_model):
    """Our model, transformers' generator and discriminator filled from it, and a batch."""
    import dataclasses

    task = make_task()
    task.dictionary.symbols = [*task.dictionary.symbols[: V - 1], "<mask>"]
    model = (
        make_model(
            task, positions="learned", intermediate_size=96, num_attention_heads=2, generator_hidden_size=0.75
        )
        .double()
        .eval()
    )
    g, d = model.generator.sizes, model.discriminator.sizes
    g = dataclasses.replace(g, intermediate_size=4 * g.hidden_size)
    generator = theirs(transformers.ElectraForMaskedLM, g).double()
    discriminator = theirs(transformers.ElectraForPreTraining, d).double()
    copy_encoder(generator.electra, model.embeddings, model.generator)
    copy_encoder(discriminator.electra, model.embeddings, model.discriminator)
    copy_all(
        linear(generator.generator_predictions.dense, model.generator_head.dense)
        + linear(generator.generator_predictions.LayerNorm, model.generator_head.layer_norm)
        + [
            (generator.generator_lm_head.weight, model.embeddings.tokens.weight),
            (generator.generator_lm_head.bias, model.generator_head.bias),
        ]
        + linear(discriminator.discriminator_predictions.dense, model.discriminator_head.dense)
        + linear(
            discriminator.discriminator_predictions.dense_prediction, model.discriminator_head.prediction
        )
    )
    torch.manual_seed(0)
    lengths = torch.tensor([20, 13, 5])
    tokens = torch.randint(4, V - 1, (3, 20))
    padding_mask = torch.arange(20) >= lengths[:, None]
    tokens[padding_mask] = 1
    segments = (torch.arange(20) > lengths[:, None] // 2).long().masked_fill(padding_mask, 0)
    return model, generator, discriminator, tokens, segments, padding_mask


def differences(setting):
    """Largest difference of generator scores and of discriminator scores, over real tokens."""
    model, generator, discriminator, tokens, segments, padding_mask = setting
    every = torch.arange(20).expand(3, -1)
    inputs = {"input_ids": tokens, "token_type_ids": segments, "attention_mask": (~padding_mask).long()}
    with torch.no_grad():
        gen = model.generate(tokens, segments, padding_mask, every) - generator(**inputs).logits
        disc = model.discriminate(tokens, segments, padding_mask) - discriminator(**inputs).logits
    return gen[~padding_mask].abs().max().item(), disc[~padding_mask].abs().max().item()


def test_both_networks_agree_with_transformers(setting):
    assert max(differences(setting)) < 1e-10
    for network in setting[:3]:
        network.float()
    assert max(differences(setting)) < 1e-5


def tanh_gelu(setting, monkeypatch):
    plain = torch.nn.functional.gelu
    monkeypatch.setattr("fairseq_electra.electra.encoder.F.gelu", lambda x: plain(x, approximate="tanh"))


def other_eps(setting, monkeypatch):
    for module in setting[0].modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-5


def shifted_positions(setting, monkeypatch):
    table = setting[0].embeddings.positions.weight
    with torch.no_grad():
        table.copy_(table.roll(-2, 0))


def swapped_segments(setting, monkeypatch):
    weight = setting[0].embeddings.segments.weight
    with torch.no_grad():
        weight.copy_(weight.flip(0))


def swapped_query_and_key(setting, monkeypatch):
    with torch.no_grad():
        for encoder in (setting[0].generator, setting[0].discriminator):
            for layer in encoder.layers:
                for tensor in (layer.attention.qkv.weight, layer.attention.qkv.bias):
                    q, k, v = tensor.chunk(3)
                    tensor.copy_(torch.cat([k, q, v]))


@pytest.mark.parametrize(
    "fault", [tanh_gelu, other_eps, shifted_positions, swapped_segments, swapped_query_and_key]
)
def test_the_comparison_notices(setting, monkeypatch, fault):
    fault(setting, monkeypatch)
    gen, disc = differences(setting)
    assert gen > 1e-5 and disc > 1e-5


@pytest.mark.parametrize("size", ["small", "base", "large"])
def test_parameter_counts_equal_those_of_transformers(size):
    from fairseq_electra.electra.heads import MaskedLMHead, ReplacedTokenHead
    from fairseq_electra.electra.size_table import MODEL_SIZES

    vocabulary = 30522
    sizes = MODEL_SIZES[size].encoder
    with torch.device("meta"):
        for ours, head, model_class in (
            (sizes, ReplacedTokenHead(sizes), transformers.ElectraForPreTraining),
            (
                g := MODEL_SIZES[size].generator,
                MaskedLMHead(g, vocabulary),
                transformers.ElectraForMaskedLM,
            ),
        ):
            config = transformers.ElectraConfig(
                vocab_size=vocabulary,
                embedding_size=ours.embedding_size,
                hidden_size=ours.hidden_size,
                intermediate_size=ours.intermediate_size,
                num_hidden_layers=ours.num_hidden_layers,
                num_attention_heads=ours.num_attention_heads,
            )
            them = sum(p.numel() for p in model_class(config).parameters())
            us = sum(
                p.numel()
                for m in (Embeddings(ours, vocabulary, 1), Encoder(ours), head)
                for p in m.parameters()
            )
            assert us == them, (size, model_class.__name__)


def test_rotary_positions_are_those_of_roformer():
    from transformers.models.roformer.modeling_roformer import (
        RoFormerSelfAttention,
        RoFormerSinusoidalPositionalEmbedding,
    )

    from fairseq_electra.electra.rotary import rotary_angles, rotate

    torch.manual_seed(0)
    vectors = torch.randn(2, 9, 3, 8)  # (B, T, H, D)
    table = RoFormerSinusoidalPositionalEmbedding(16, 8)
    table.weight = torch.nn.Parameter(table.create_weight())
    sinusoids = table(torch.Size([2, 9]))[None, None, :, :]
    query = vectors.transpose(1, 2)
    expected, _ = RoFormerSelfAttention.apply_rotary_position_embeddings(sinusoids, query, query)
    assert (
        rotate(vectors, rotary_angles(9, 8, vectors.device)).transpose(1, 2) - expected
    ).abs().max() < 1e-5


def test_random_parameters_are_random():
    module = torch.nn.LayerNorm(8)
    randomize_parameters(module)
    assert module.bias.abs().min() > 0
