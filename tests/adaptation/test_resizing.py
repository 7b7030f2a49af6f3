"""A model with rows for new tokens is the same model on text without them."""

import math

import pytest
import torch

from fairseq_electra.adaptation.extending import Source
from fairseq_electra.adaptation.resizing import resized, resized_model
from fairseq_electra.electra.configuration import build
from fairseq_electra.electra.objectives import OBJECTIVES
from tests.helpers.small_model import NET, randomize_parameters

V, MASK, NEW_MASK = 24, 23, 26
PARTS = {23: [7, 9], 24: [5, 6, 8], 25: [7, 7]}  # of the new tokens
RARITY = {23: -0.5, 24: -2.0, 25: 0.0}
SOURCES = [
    *(Source([i]) for i in range(MASK)),
    *(Source(parts, RARITY[i]) for i, parts in PARTS.items()),
    Source([MASK]),
]
OLD = [*range(MASK), NEW_MASK]  # where the old tokens stand now
VARIANTS = [
    *({"objective": name} for name in OBJECTIVES),
    *({"tie_embeddings": name} for name in ("none", "tokens", "gdes")),
    {"untie_lm_head": True},
]
# every tensor with a row for each token, of any objective
OVER_TOKENS = {
    *("embeddings.tokens.weight", "embeddings.tokens.difference.weight", "token_probs"),
    *("generator_embeddings.tokens.weight", "generator_head.bias", "generator_head.table.weight"),
    *("language_head.bias", "noise_model.head.bias"),
}


def model_of(variant):
    options = {"model_size": "tiny", **NET, "dropout": 0.0, "attention_dropout": 0.0, **variant}
    # a tensor of another meaning with V rows must not be taken for one over tokens
    options |= {"intermediate_size": V, "generator_layers": 1.0}
    model = build(options, V).eval()
    randomize_parameters(model)
    if "token_probs" in model.state_dict():
        model.token_probs.copy_(torch.rand(V))
    return model, options


def test_resized_rows_are_those_of_their_sources_or_their_mean():
    tensor = torch.randn(V, 3)
    result = resized(tensor, SOURCES)
    assert result.shape == (27, 3) and torch.equal(result[OLD], tensor)
    assert torch.equal(result[24], (tensor[5] + tensor[6] + tensor[8]) / 3)
    assert torch.equal(resized(tensor[:, 0], SOURCES), result[:, 0])


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: "-".join(map(str, *variant.items())))
def test_resized_model_changes_nothing_but_what_has_a_row_for_each_token(variant):
    model, options = model_of(variant)
    before, after = model.state_dict(), resized_model(model, options, SOURCES).state_dict()
    assert before.keys() == after.keys()
    over_tokens = before.keys() & OVER_TOKENS
    assert {name for name in before if before[name].shape != after[name].shape} == over_tokens
    for name, tensor in before.items():
        assert torch.equal(after[name][OLD] if name in over_tokens else after[name], tensor), name
    for name in over_tokens:
        for row, parts in PARTS.items():
            expected = sum(before[name][part].double() for part in parts) / len(parts)
            if name.endswith("bias"):
                expected += RARITY[row]
            if name == "token_probs":
                expected *= math.exp(RARITY[row])
            torch.testing.assert_close(after[name][row].double(), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("variant", [{}, {"tie_embeddings": "gdes"}, {"untie_lm_head": True}], ids=str)
def test_resized_model_gives_equal_outputs_on_text_without_new_tokens(variant):
    model, options = model_of(variant)
    wider = resized_model(model, options, SOURCES)
    text = torch.randint(4, MASK, (3, 10), generator=torch.Generator().manual_seed(1))
    text[:, 4], segments, positions = MASK, torch.zeros(3, 10, dtype=torch.long), torch.full((3, 1), 4)
    there = torch.tensor(OLD)[text]
    with torch.no_grad():
        assert torch.equal(
            wider.discriminate(there, segments, None), model.discriminate(text, segments, None)
        )
        before, after = (
            each.generate(tokens, segments, None, positions)
            for each, tokens in ((model, text), (wider, there))
        )
        new = wider.discriminate(torch.full((1, 2), 24), torch.zeros(1, 2, dtype=torch.long), None)
    assert torch.equal(after[..., OLD], before) and new.isfinite().all()
    # a new token scores as its parts do on average, and as much less as it is rarer
    expected = torch.stack([before[..., parts].mean(-1) + RARITY[row] for row, parts in PARTS.items()], -1)
    torch.testing.assert_close(after[..., list(PARTS)], expected, rtol=1e-5, atol=1e-6)


def test_resized_model_predicts_new_tokens_by_frequency_where_it_predicts_their_parts_so():
    model, options = model_of({"objective": "mlm"})
    counts = torch.arange(10.0, 10 + V)
    with torch.no_grad():
        model.embeddings.tokens.weight.zero_()
        model.generator_head.bias.copy_(counts.log())
    new = {23: 4.0, 24: 9.0, 25: 17.0}  # counts of the new words
    rarity = {row: math.log(new[row]) - counts[parts].log().mean().item() for row, parts in PARTS.items()}
    sources = [Source(each.parts, rarity.get(row, 0.0)) for row, each in enumerate(SOURCES)]
    bias = resized_model(model, options, sources).generator_head.bias
    torch.testing.assert_close(bias[list(PARTS)].exp(), torch.tensor(list(new.values())))
