"""Generation with our models: their scores, whole texts in batches, candidates, and what is refused."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tokenizers import AddedToken

from fairseq_electra.errors import InputError
from fairseq_electra.generation.generate import generate
from fairseq_electra.generation.networks import NetworksOfModels
from fairseq_electra.generation.settings import Settings
from fairseq_electra.generation.templates import Template, read_template
from fairseq_electra.pretraining.wordpiece import EOS_ID, LEADING, PAD_ID
from tests.helpers.plain_generation import TableNetworks, plain_unmask, rows_of

CPU = torch.device("cpu")
TEXTS = ["The name of", "", "A <mask*4> of the <mask> is", "Lists", "An object <mask*7>."]


def templates_of(model, length=12):
    return [read_template(model, text, length, "here") for text in TEXTS]


def test_networks_score_as_the_model_does_without_special_symbols(load):
    model = load()
    networks = NetworksOfModels(model, model)
    rows = torch.tensor([[0, 30, model.mask, 40, 2, 1], [0, model.mask, 31, 32, 33, 2]])
    positions = torch.tensor([[2, 3], [1, 4]])
    found = networks.scores(rows, positions)
    special = [*range(len(LEADING)), model.mask]
    assert (found[..., special] == float("-inf")).all()
    words = [i for i in range(len(model.symbols)) if i not in special]
    segments, padding = torch.zeros_like(rows), rows == PAD_ID
    expected = model.model.generate(rows, segments, padding, positions)
    assert torch.equal(found[..., words], expected[..., words])
    assert torch.equal(networks.replaced(rows), model.model.discriminate(rows, segments, padding))


def test_networks_never_draw_rows_that_belong_to_no_piece(load):
    model = load()
    model.symbols[30], model.symbols[31] = "[unused0]", "[unused1] of a word"
    rows = torch.tensor([[0, 40, model.mask, 2]])
    (found,) = NetworksOfModels(model).scores(rows, torch.tensor([[2]]))
    assert found[0, 30] == float("-inf") != found[0, 31]


def test_networks_never_draw_special_tokens_of_an_imported_vocabulary(load, monkeypatch):
    model = load()
    added = {30: AddedToken("<|endoftext|>", special=False), 31: AddedToken("   ", special=False)}
    monkeypatch.setattr(model, "tokenizer", SimpleNamespace(get_added_tokens_decoder=lambda: added))
    rows = torch.tensor([[0, 40, model.mask, 2]])
    (found,) = NetworksOfModels(model).scores(rows, torch.tensor([[2]]))
    assert found[0, 30] == float("-inf") != found[0, 31]


@pytest.mark.parametrize("objective", ["electra", "mlm"])
@pytest.mark.parametrize(
    "changes", [{"steps": 4}, {"method": "gibbs"}, {"remask": True, "no_repeat": 2}], ids=str
)
def test_generate_gives_the_same_text_in_any_batch(load, objective, changes):
    model = load(objective=objective)
    networks, settings = NetworksOfModels(model), Settings(**{"steps": 6} | changes)
    templates = templates_of(model)
    together = generate(networks, templates, settings, CPU, batch_size=16)
    alone = generate(networks, templates, settings, CPU, batch_size=1)
    assert [text.ids for text in together] == [text.ids for text in alone]
    for text, template in zip(together, templates, strict=True):
        assert text.is_open == template.is_open[1:-1] and text.score is None
        for token, given, is_open, logprob in zip(
            text.ids, template.ids[1:-1], text.is_open, text.logprobs, strict=True
        ):
            assert (token >= len(LEADING) and token != model.mask) if is_open else token == given
            assert (logprob < 0) == is_open
    other = generate(networks, templates, Settings(**{"steps": 6, "seed": 2} | changes), CPU)
    assert [text.ids for text in other] != [text.ids for text in together]


def test_generate_keeps_the_candidate_with_the_highest_mean_of_log_p_original():
    networks, settings = TableNetworks(), Settings(steps=3, candidates=5)
    texts = [[None] * 6, [4, None, None, 5], [None] * 3]
    rows = rows_of(texts)
    templates = [
        Template(tuple(row[: row.index(EOS_ID) + 1]), tuple(opened[: row.index(EOS_ID) + 1]))
        for row, opened in zip(rows.tokens.tolist(), rows.is_open.tolist(), strict=True)
    ]
    chosen = []
    for number, (text, found) in enumerate(
        zip(texts, generate(networks, templates, settings, CPU, batch_size=4), strict=True)
    ):
        candidates = [plain_unmask(networks, text, settings, number, candidate)[0] for candidate in range(5)]
        logprobs = [F.logsigmoid(-networks.replaced(torch.tensor([row])))[0, 1:-1] for row in candidates]
        best = max(range(5), key=lambda i: float(logprobs[i].mean()))
        chosen.append(best)
        assert list(found.ids) == candidates[best][1:-1]
        assert found.logprobs_original == pytest.approx(logprobs[best].tolist())
        assert found.score == pytest.approx(float(np.mean(logprobs[best].numpy())))
    assert set(chosen) != {0}


def test_generate_without_candidates_writes_the_first_of_them():
    template = Template((0, 10, 10, 10, 10, 2), (False, True, True, True, True, False))
    (alone,) = generate(TableNetworks(), [template], Settings(steps=2), CPU)
    (row, _, _) = plain_unmask(TableNetworks(), [None] * 4, Settings(steps=2))
    assert list(alone.ids) == row[1:-1]


@pytest.mark.parametrize("objective", ["unigram", "uniform", "electric"])
def test_networks_refuse_a_model_without_generator(load, objective):
    with pytest.raises(InputError, match="the checkpoint has no generator, as it was trained with"):
        NetworksOfModels(load(objective=objective))


def test_networks_refuse_generators_and_critics_that_were_not_trained(load, pretrained):
    model = load()
    model.initialised = ["generator_head.bias"]
    with pytest.raises(InputError, match="the folder of transformers has no generator"):
        NetworksOfModels(model)
    model.initialised = ["discriminator_head.dense.weight"]
    with pytest.raises(InputError, match="need a discriminator that tells replaced tokens"):
        NetworksOfModels(model, model)


@pytest.mark.parametrize("objective", ["mlm", "electric"])
def test_networks_refuse_a_critic_without_p_replaced(load, objective):
    with pytest.raises(InputError, match="need a discriminator that tells replaced tokens"):
        NetworksOfModels(load(), load(objective=objective))


def test_networks_take_a_critic_of_the_same_vocabulary_alone(load):
    generator, critic = load(objective="mlm"), load()
    assert NetworksOfModels(generator, critic).replaced(torch.tensor([[0, 30, 2]])).shape == (1, 3)
    critic.symbols = [*critic.symbols[:-2], "other", critic.symbols[-1]]
    with pytest.raises(InputError, match="the critic has another vocabulary"):
        NetworksOfModels(generator, critic)


def test_generate_refuses_scores_that_are_no_numbers(load):
    model = load()
    with torch.no_grad():
        model.model.generator_head.bias.fill_(float("nan"))
    with pytest.raises(InputError, match="the model's scores are not finite numbers"):
        generate(NetworksOfModels(model), templates_of(model), Settings(steps=2), CPU)
