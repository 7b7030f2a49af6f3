"""Scores of verbalizers against plain loops: one row at a time, one token at a time, in NumPy."""

import json
import math

import numpy as np
import pytest
import torch

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.sentences import PREDICTION
from fairseq_electra.hub.interface import ElectraHubInterface
from fairseq_electra.probes.prompt_scores import (
    PROMPT_SCORES,
    candidates,
    originality_loss,
    score_prompts,
    scores_of,
)
from fairseq_electra.probes.prompts import make_prompts
from fairseq_electra.probes.sentence_scores import SCORES
from fairseq_electra.probes.templates import Template
from tests.helpers.small_model import randomize_parameters

INFO = TaskInfo("single", PREDICTION, 1, ("0", "1", "2"), ("accuracy",), 64)
TEMPLATE = Template("{text} It was {label}.", {"0": "the name of it", "1": "name", "2": "returned"})
TEXTS = [
    "The name of a class is looked up in the namespace.",
    "Short.",
    "A statement returns the value of an expression, which is an object.",
    "A class",
]


def prompts_of(net):
    examples = [[net.tokenizer.encode(text, add_special_tokens=False).ids] for text in TEXTS]
    return make_prompts(net, TEMPLATE, INFO, examples)


def prompted(text, word) -> tuple[str, str, str]:
    return f"{text} It was ", word, "."


@torch.no_grad()
def plain_discriminator(net, text, word) -> float:
    model, row = net.model, net.encode("".join(prompted(text, word)))[None]
    begin = len(net.encode(prompted(text, word)[0])) - 1
    logits = model.discriminate(row, torch.zeros_like(row), None)[0].tolist()
    probs = [1 - 1 / (1 + math.exp(-each)) for each in logits]  # p(original)
    of_word = probs[begin : begin + len(net.encode(word)) - 2]
    return sum(math.log(p / (1 - p)) for p in of_word) / len(of_word)


@torch.no_grad()
def plain_generator(net, text, word) -> float:
    model, row = net.model, net.encode("".join(prompted(text, word)))
    begin = len(net.encode(prompted(text, word)[0])) - 1
    positions = range(begin, begin + len(net.encode(word)) - 2)
    masked = row.clone()
    masked[list(positions)] = len(net.symbols) - 1
    hidden = model.extract_generator_features(masked[None], torch.zeros_like(masked)[None], None)
    scores = model.generator_head(hidden, model.generator_tokens.weight)[0].numpy()
    probs = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    return sum(math.log(probs[i, row[i]]) for i in positions) / len(positions)


PLAIN = {"generator": plain_generator, "discriminator": plain_discriminator}


@pytest.mark.parametrize(
    ("score", "objective"),
    [
        *(("discriminator", name) for name in ("electra", "unigram", "replace_mlm")),
        *(("generator", name) for name in ("electra", "mlm")),
    ],
)
def test_scores_are_those_of_plain_loops(load, score, objective):
    net = load(objective=objective)
    found = score_prompts(net.model, prompts_of(net), score)
    expected = [[PLAIN[score](net, text, word) for word in TEMPLATE.verbalizers.values()] for text in TEXTS]
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-9)
    assert len(set(found.flatten().tolist())) == found.numel()


@pytest.mark.parametrize("score", PROMPT_SCORES)
@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_padded_batches_have_the_scores_of_single_rows(load, score, positions):
    net = load(positions=positions)
    prompts = prompts_of(net)
    alone = torch.cat([score_prompts(net.model, prompts.take([i]), score) for i in range(len(TEXTS))])
    rows = candidates(prompts, range(len(TEXTS)), net.device)
    assert rows.padding_mask is not None and not rows.is_token.all()
    for max_tokens in (1, 100, 10_000):
        found = score_prompts(net.model, prompts, score, max_tokens)
        np.testing.assert_allclose(found.numpy(), alone.numpy(), rtol=0, atol=1e-12)


def test_originality_loss_and_its_gradient_are_the_papers():
    """The true label's verbalizer is original, all others are replaced."""
    rng = np.random.default_rng(1)
    scores, target = rng.normal(size=(5, 3)), np.array([0, 2, 1, 1, 0])
    original = 1 / (1 + np.exp(-scores))
    is_true = np.arange(3) == target[:, None]
    given = torch.from_numpy(scores).requires_grad_()
    loss = originality_loss(given, torch.from_numpy(target))
    loss.backward()
    assert loss.item() == pytest.approx(-np.log(np.where(is_true, original, 1 - original)).mean(), abs=1e-12)
    np.testing.assert_allclose(given.grad.numpy(), (original - is_true) / scores.size, atol=1e-12)


@pytest.mark.parametrize("score", PROMPT_SCORES)
def test_scores_have_gradients_of_all_that_they_use(load, score):
    net = load()
    prompts = prompts_of(net)
    scores = scores_of(net.model, prompts, [1, 0], score)
    PROMPT_SCORES[score].loss(scores, torch.tensor([2, 0])).backward()
    used = {name for name, parameter in net.model.named_parameters() if parameter.grad is not None}
    assert {name.split(".")[0] for name in used} == {"embeddings", score, f"{score}_head"}
    assert all(parameter.grad is None or parameter.grad.any() for parameter in net.model.parameters())


def test_prompt_scores_are_probabilities_that_sentence_scores_know():
    assert list(PROMPT_SCORES) == [name for name in SCORES if name != "energy"]


def test_score_prompts_refuses_scores_that_are_not_finite(load):
    net = load()
    torch.nn.init.constant_(net.model.discriminator_head.prediction.bias, float("nan"))
    with pytest.raises(InputError, match="the discriminator gives a verbalizer a score that is not a finite"):
        score_prompts(net.model, prompts_of(net), "discriminator")


@pytest.mark.long
@pytest.mark.parametrize("score", PROMPT_SCORES)
def test_scores_are_those_of_transformers(tmp_path, pretrained, score):
    """ElectraForPreTraining and ElectraForMaskedLM of an export, with its own tokenizer."""
    from fairseq_electra.interchange.export_transformers import export_transformers
    from tests.helpers.transformers_models import in_double, transformers

    ours = pretrained(positions="learned")
    randomize_parameters(ours.model, seed=1, std=0.2)
    export_transformers(ours, tmp_path / "out")
    folder = tmp_path / "out" / ("generator" if score == "generator" else "")
    kind = {"generator": "ElectraForMaskedLM", "discriminator": "ElectraForPreTraining"}[score]
    assert json.loads((folder / "config.json").read_text())["architectures"] == [kind]
    theirs = in_double(getattr(transformers, kind).from_pretrained(folder))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    net = ElectraHubInterface(ours).double()
    found = score_prompts(net.model, prompts_of(net), score)
    for text, row in zip(TEXTS, found.tolist(), strict=True):
        for word, value in zip(TEMPLATE.verbalizers.values(), row, strict=True):
            before, _, after = prompted(text, word)
            encoded = tokenizer(before + word + after, return_tensors="pt", return_offsets_mapping=True)
            begin, end = len(before), len(before) + len(word)
            of_word = [
                i for i, (a, b) in enumerate(encoded.offset_mapping[0].tolist()) if begin <= a < b <= end
            ]
            tokens = encoded.input_ids.clone()
            if score == "generator":
                tokens[0, of_word] = tokenizer.mask_token_id
            with torch.no_grad():
                logits = theirs(input_ids=tokens, attention_mask=encoded.attention_mask).logits[0, of_word]
            if score == "generator":
                ids = encoded.input_ids[0, of_word]
                expected = logits.log_softmax(-1).gather(1, ids[:, None]).mean().item()
            else:
                expected = -logits.mean().item()
            assert value == pytest.approx(expected, abs=1e-9)
