"""The encoder with all of ModernBERT's traits against transformers' own."""

import pytest
import torch

from fairseq_electra.electra.embeddings import Embeddings
from fairseq_electra.electra.encoder import Encoder
from fairseq_electra.electra.sizes import EncoderSizes
from tests.helpers.small_model import randomize_parameters

transformers = pytest.importorskip("transformers")
V, LENGTH, WINDOW = 50, 24, 8
SIZES = EncoderSizes(
    *(32, 32, 40, 4, 2),
    positions="rotary",
    dropout=0.0,
    attention_dropout=0.0,
    norm="pre_but_first",
    norm_kind="layernorm_without_bias",
    feed_forward="geglu",
    no_linear_bias=True,
    rotary_base=160000.0,
    local_window=WINDOW,
    global_every=3,
    norm_eps=1e-5,
    no_segments=True,
)


def modernbert():
    config = transformers.ModernBertConfig(
        vocab_size=V,
        hidden_size=SIZES.hidden_size,
        intermediate_size=SIZES.intermediate_size,
        num_hidden_layers=SIZES.num_hidden_layers,
        num_attention_heads=SIZES.num_attention_heads,
        local_attention=WINDOW,
        norm_eps=SIZES.norm_eps,
        pad_token_id=1,
        attn_implementation="eager",
    )
    return transformers.ModernBertModel(config).eval().double()


def halves(weight):
    """Put the first numbers of all rotated pairs of a head before the second ones, as ModernBERT has them."""
    heads = weight.view(SIZES.num_attention_heads, -1, 2, weight.shape[1])
    return heads.transpose(1, 2).reshape(weight.shape)


def test_the_encoder_is_modernberts():
    embeddings, encoder = Embeddings(SIZES, V, 1).double(), Encoder(SIZES).double()
    for module in (embeddings, encoder):
        randomize_parameters(module, std=0.2)
    theirs = modernbert()
    weights = {
        "embeddings.tok_embeddings.weight": embeddings.tokens.weight,
        "embeddings.norm.weight": embeddings.layer_norm.weight,
        "final_norm.weight": encoder.layer_norm.weight,
    }
    for i, layer in enumerate(encoder.layers):
        query, key, value = layer.attention.qkv.weight.chunk(3)
        weights |= {
            f"layers.{i}.attn.Wqkv.weight": torch.cat([halves(query), halves(key), value]),
            f"layers.{i}.attn.Wo.weight": layer.attention.out.weight,
            f"layers.{i}.mlp.Wi.weight": layer.intermediate.weight,
            f"layers.{i}.mlp.Wo.weight": layer.output.weight,
            f"layers.{i}.mlp_norm.weight": layer.output_layer_norm.weight,
        }
        if i > 0:
            weights[f"layers.{i}.attn_norm.weight"] = layer.attention_layer_norm.weight
    missing = theirs.load_state_dict(weights, strict=False)
    assert not missing.missing_keys and not missing.unexpected_keys
    # padding that sees no token at all is NaN in transformers, and its neighbours with it: so there is little
    tokens, padding = torch.randint(4, V, (2, LENGTH)), torch.arange(LENGTH) >= torch.tensor([[LENGTH], [20]])
    with torch.no_grad():
        ours = encoder(embeddings(tokens, tokens * 0), padding)
        found = theirs(input_ids=tokens, attention_mask=(~padding).long()).last_hidden_state
    # transformers computes rotary angles in float32
    assert (ours - found)[~padding].abs().max() < 2e-5 * found.abs().max()
