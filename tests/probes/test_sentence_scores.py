"""Scores of sentences against plain loops: one token at a time, one sentence at a time, in NumPy."""

import dataclasses

import pytest
import torch

from fairseq_electra.errors import InputError
from fairseq_electra.hub.interface import ElectraHubInterface
from fairseq_electra.probes.sentence_scores import (
    chosen_scores,
    encode,
    score_rows,
    score_sentences,
    score_tokens,
)
from tests.helpers.plain_scores import discriminator_tokens, energy_tokens, generator_tokens

SENTENCES = [
    "The name of a class is looked up in the namespace.",
    "Short.",
    "A statement returns the value of an expression.",
    "Don't mix café & 中文 with <s> or [MASK]!",
    "The names of a class is looked up in the namespace.",
    "\u200b",
    "Short.",
]


@pytest.mark.parametrize("objective", ["electra", "mlm", "replace_mlm"])
@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_the_generators_score_is_that_of_plain_loops(load, objective, positions):
    net = load(objective=objective, positions=positions)
    found = score_sentences(net, SENTENCES, "generator")
    expected = [sum(generator_tokens(net, sentence)) for sentence in SENTENCES]
    assert found == pytest.approx(expected, abs=1e-9) and len(set(found)) == len(found) - 1
    assert found[1] == found[6] < 0 and found[5] == 0


@pytest.mark.parametrize("objective", ["electra", "all_tokens_mlm", "replace_mlm", "unigram"])
def test_the_discriminators_score_is_that_of_plain_loops(load, objective):
    net = load(objective=objective)
    found = score_sentences(net, SENTENCES, "discriminator")
    expected = [sum(discriminator_tokens(net, sentence, objective)) for sentence in SENTENCES]
    assert found == pytest.approx(expected, abs=1e-9) and len(set(found)) == len(found) - 1
    assert found[1] == found[6] < 0 and found[5] == 0


def test_the_energy_score_is_that_of_plain_loops(load):
    net = load(objective="electric")
    found = score_sentences(net, SENTENCES, "energy")
    expected = [sum(energy_tokens(net, sentence)) for sentence in SENTENCES]
    assert found == pytest.approx(expected, abs=1e-9) and len(set(found)) == len(found) - 1
    assert found[1] == found[6] and found[5] == 0


@pytest.mark.parametrize("score", ["generator", "discriminator"])
def test_score_rows_does_not_depend_on_batches(load, score):
    net = load()
    rows = encode(net, SENTENCES)
    alone = [score_rows(net, [row], score)[0] for row in rows]
    for max_tokens in (1, 30, 10_000):
        assert score_rows(net, rows, score, max_tokens) == pytest.approx(alone, abs=1e-12)


def test_score_tokens_gives_each_row_the_terms_of_its_sum(load):
    for objective, score, plain in [
        ("electra", "generator", generator_tokens),
        ("electra", "discriminator", discriminator_tokens),
        ("electric", "energy", energy_tokens),
    ]:
        net = load(objective=objective)
        found = score_tokens(net, encode(net, SENTENCES), score, 40)
        for sentence, of_tokens in zip(SENTENCES, found, strict=True):
            assert of_tokens.tolist() == pytest.approx(plain(net, sentence), abs=1e-9)


def test_score_rows_gives_equal_rows_exactly_equal_scores_in_float32(load):
    net = load().float()
    row, other = encode(net, [SENTENCES[0], SENTENCES[2]])
    for score in ("generator", "discriminator"):
        found = score_rows(net, [row, other, row], score, 40)
        assert found[0] == found[2] != found[1]


def test_chosen_scores_are_those_that_the_model_has_and_others_are_refused(load):
    assert chosen_scores(load()) == ["generator", "discriminator"]
    assert chosen_scores(load(), ["discriminator"] * 2) == ["discriminator"]
    assert chosen_scores(load(objective="electric")) == ["energy"]
    mlm, unigram = load(objective="mlm"), load(objective="unigram")
    assert chosen_scores(mlm) == ["generator"] and chosen_scores(unigram) == ["discriminator"]
    with pytest.raises(InputError, match="no trained discriminator to score sentences with; use generator"):
        chosen_scores(mlm, ["generator", "discriminator"])
    with pytest.raises(InputError, match="no trained generator to score sentences with; use discriminator"):
        score_sentences(unigram, SENTENCES, "generator")
    with pytest.raises(InputError, match="no trained energy to score sentences with; use discriminator"):
        score_sentences(unigram, SENTENCES, "energy")


def test_chosen_scores_leaves_out_what_was_not_trained(pretrained):
    found = pretrained()
    headless = dataclasses.replace(found, initialised=["discriminator_head.dense.weight"])
    assert chosen_scores(ElectraHubInterface(headless)) == ["generator"]
    neither = dataclasses.replace(headless, initialised=[*headless.initialised, "generator_head.bias"])
    with pytest.raises(InputError, match="no trained generator to score sentences with; pre-train it first"):
        chosen_scores(ElectraHubInterface(neither))


def test_chosen_scores_refuses_a_fine_tuned_model(pretrained):
    from fairseq_electra.finetuning.encoder import EncoderWithHeads

    found = pretrained()
    tuned = dataclasses.replace(found, model=EncoderWithHeads(found.model.sizes, len(found.symbols)))
    with pytest.raises(InputError, match="give the pre-training checkpoint"):
        chosen_scores(ElectraHubInterface(tuned))


def test_encode_refuses_a_sentence_longer_than_the_positions(load):
    net = load(positions="learned")
    with pytest.raises(InputError, match="longer than the position table of 512; shorten the sentences"):
        encode(net, ["word", "word " * 600])


def test_score_rows_refuses_scores_that_are_not_finite(load):
    net = load()
    torch.nn.init.constant_(net.model.discriminator_head.prediction.bias, float("nan"))
    rows = encode(net, SENTENCES)
    assert len(score_rows(net, rows, "generator")) == len(rows)
    with pytest.raises(InputError, match="the discriminator gives a sentence a score that is not a finite"):
        score_rows(net, rows, "discriminator")


@pytest.mark.long
@pytest.mark.parametrize("positions", ["learned", "rotary"])
@pytest.mark.parametrize("objective", ["electra", "mlm"])
def test_the_generators_score_is_that_of_transformers(tmp_path, pretrained, positions, objective):
    """ElectraForMaskedLM or RoFormerForMaskedLM, of an export, with its own tokenizer."""
    from fairseq_electra.interchange.export_transformers import export_transformers
    from tests.helpers.transformers_models import in_double, transformers

    ours = pretrained(positions=positions, objective=objective)
    export_transformers(ours, tmp_path / "out")
    folder = tmp_path / "out" / "generator" if objective == "electra" else tmp_path / "out"
    theirs = in_double(transformers.AutoModelForMaskedLM.from_pretrained(folder))
    assert type(theirs).__name__ == {"learned": "Electra", "rotary": "RoFormer"}[positions] + "ForMaskedLM"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    found = score_sentences(ElectraHubInterface(ours).double(), SENTENCES[:3], "generator")
    for sentence, score in zip(SENTENCES, found, strict=False):
        ids = tokenizer(sentence, return_tensors="pt").input_ids
        total = 0.0
        for i in range(1, ids.shape[1] - 1):
            masked = ids.clone()
            masked[0, i] = tokenizer.mask_token_id
            with torch.no_grad():
                total += float(theirs(masked).logits[0, i].log_softmax(-1)[ids[0, i]])
        assert score == pytest.approx(total, abs=1e-9)
