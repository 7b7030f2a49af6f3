"""Scores of generated text: diversity, accuracy of infilling, perplexity, and the files behind them."""

import json
import math
import types

import numpy as np
import pytest
import torch
from sacrebleu.metrics import BLEU

from fairseq_electra.errors import InputError
from fairseq_electra.generation.networks import NetworksOfModels
from fairseq_electra.generation.settings import Settings
from fairseq_electra.hub.interface import ElectraHubInterface
from fairseq_electra.pretraining.wordpiece import EOS_ID, LEADING, PAD_ID, UNK_ID
from generation import run
from generation.causal import CausalModel
from generation.diversity import MAX_REFERENCES, distinct, diversity, self_bleu
from generation.infilling import MIN_TOKENS, infilling_accuracy, lines_of, masked_template
from generation.score import COLUMNS, read_texts, table

WORDS, LENGTH = 12, 9  # entries of the vocabulary of the causal model, and tokens of its texts


class NextToken(torch.nn.Module):
    """Scores of the next token that depend on the last two."""

    def __init__(self):
        super().__init__()
        random = torch.Generator().manual_seed(1)
        self.table = torch.randn(WORDS, WORDS, WORDS, generator=random)

    def forward(self, tokens):
        before = torch.cat([torch.zeros_like(tokens[:, :1]), tokens[:, :-1]], 1)
        return (self.table[before, tokens],)


@pytest.fixture
def causal() -> CausalModel:
    model = object.__new__(CausalModel)
    model.model, model.device = NextToken(), torch.device("cpu")

    class Dictionary(list):
        def eos(self):
            return EOS_ID

        def pad(self):
            return PAD_ID

    model.dictionary = Dictionary(range(WORDS))
    return model


def test_distinct_is_the_share_of_different_ngrams():
    texts = [["a", "b", "a", "b"], ["b", "a"], ["c"]]
    assert distinct(texts, 1) == 3 / 7
    assert distinct(texts, 2) == 2 / 4  # ab ba ab, ba
    assert distinct(texts, 5) == 0


def test_self_bleu_is_the_mean_bleu_against_the_other_texts():
    texts = ["the name of a class is", "the name of a list was", "it has no name of a class", "of"]
    bleu = BLEU(effective_order=True)
    expected = [
        bleu.sentence_score(text, [other for other in texts if other is not text]).score for text in texts
    ]
    assert self_bleu(texts) == pytest.approx(np.mean(expected))
    assert self_bleu(["a b c d e", "a b c d e"]) == pytest.approx(100)
    assert "self_bleu" not in diversity(["a b"]) and diversity(["a b"])["distinct_1"] == 1


def test_self_bleu_takes_no_more_than_some_references():
    """The last text has the first among the references that follow it, but not the other way round."""
    other = [f"w{i} x{i} y{i} z{i}" for i in range(MAX_REFERENCES)]
    assert self_bleu(["a b c d e", *other, "a b c d e"]) == pytest.approx(100 / (MAX_REFERENCES + 2))


def test_perplexity_is_that_of_the_chain_rule(causal):
    texts = [[4, 5, 6, 4], [7], [8, 9, 10, 5], [6] * 7]
    table, expected = causal.model.table.numpy(), []
    for text in texts:
        total, context = 0.0, [0, EOS_ID]
        for token in text:
            scores = table[context[-2], context[-1]]
            total -= scores[token] - math.log(sum(math.exp(score) for score in scores))
            context.append(token)
        expected.append(total)
    assert causal.negative_log_likelihoods(texts) == pytest.approx(expected, rel=1e-5)
    assert causal.perplexity(texts) == pytest.approx(math.exp(sum(expected) / 16), rel=1e-5)


def test_sample_draws_the_likeliest_tokens_at_temperature_0_and_no_special_ones(causal):
    (text,) = causal.sample(1, LENGTH, Settings(temperature=0))
    context = [0, EOS_ID]
    for token in text:
        scores = causal.model.table[context[-2], context[-1]]
        assert token == max(range(len(LEADING), WORDS - 1), key=lambda i: float(scores[i]))
        context.append(token)
    texts = causal.sample(40, LENGTH, Settings())
    assert len(texts) == 40 and {len(text) for text in texts} == {LENGTH}
    assert {token for text in texts for token in text} == set(range(len(LEADING), WORDS - 1))
    assert causal.sample(40, LENGTH, Settings()) == texts != causal.sample(40, LENGTH, Settings(seed=2))


@pytest.fixture
def model(pretrained):
    return ElectraHubInterface(pretrained()).double()


def test_lines_of_are_the_long_lines_without_their_ends(model, data_bin):
    assert {len(line) for line in lines_of(data_bin, model.symbols, "valid", 5, 20, 20)} == {20}
    lines = lines_of(data_bin, model.symbols, "valid", 5, 20)
    assert len(lines) == 5
    for line in lines:
        assert MIN_TOKENS <= len(line) <= 20 and EOS_ID not in line and line.min() >= UNK_ID
    with pytest.raises(InputError, match="was made with another vocabulary than the model's"):
        lines_of(data_bin, model.symbols[:-2], "valid", 5, 20)
    with pytest.raises(InputError, match=r"no .*test\.idx"):
        lines_of(data_bin, model.symbols, "test", 5, 20)


def test_masked_template_masks_a_share_of_the_words():
    line = np.array([*range(10, 29), UNK_ID])
    ids, is_open = masked_template(line, 3, 50, 0.5, 1)
    assert sum(is_open) in (10, 11) and not is_open[0] and not is_open[-2] and not is_open[-1]
    for token, opened, original in zip(ids[1:-1], is_open[1:-1], line, strict=True):
        assert token == (50 if opened else original)
    assert masked_template(line, 4, 50, 0.5, 1).is_open != is_open


def test_infilling_accuracy_counts_the_original_tokens(model, data_bin):
    """In one pass, as a plain loop over the masked tokens counts them."""
    lines = lines_of(data_bin, model.symbols, "valid", 6, 30)
    networks = NetworksOfModels(model)
    settings = Settings(steps=1, temperature=0)
    found = infilling_accuracy(model, networks, lines, 0.3, settings)
    correct = total = 0
    for i, line in enumerate(lines):
        ids, is_open = masked_template(line, i, model.mask, 0.3, settings.seed)
        for position in np.flatnonzero(is_open):
            logits = networks.scores(torch.tensor([ids]), torch.tensor([[position]]))[0, 0]
            correct += int(logits.argmax()) == line[position - 1]
            total += 1
    assert found == (total, pytest.approx(100 * correct / total), pytest.approx(100 * correct / total))


def test_infilling_accuracy_is_full_where_the_model_knows_the_text(model):
    """A generator that always predicts one word, on lines of nothing else."""
    lines = [np.full(12, 20), np.full(9, 20)]

    def scores(tokens, positions):
        logits = torch.zeros(*positions.shape, len(model.symbols))
        logits[..., 20] = 50
        return logits

    networks = types.SimpleNamespace(mask=model.mask, pad=PAD_ID, scores=scores)
    assert infilling_accuracy(model, networks, lines, 0.5, Settings(steps=3))[1:] == (100, 100)


def test_read_texts_checks_the_vocabulary(tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text(json.dumps({"text": "a b", "tokens": [{"id": 1, "token": "b"}]}) + "\n")
    assert read_texts(path, ["a", "b"]) == ([[1]], ["a b"])
    for symbols in (["a"], ["b", "a"]):
        with pytest.raises(InputError, match="the vocabulary of the scorer has no 'b' at 1"):
            read_texts(path, symbols)
    path.write_text("")
    with pytest.raises(InputError, match="is empty"):
        read_texts(path, ["a"])
    for bad in ({}, [], {"text": "", "tokens": []}, {"text": "a", "tokens": [{"id": 0}]}):
        path.write_text(
            json.dumps({"text": "a", "tokens": [{"id": 0, "token": "a"}]}) + "\n" + json.dumps(bad)
        )
        with pytest.raises(InputError, match="line 2 is no generated text"):
            read_texts(path, ["a"])
    path.write_text(json.dumps({"text": "a", "tokens": [{"id": -1, "token": "a"}]}))
    with pytest.raises(InputError, match="has no 'a' at -1"):
        read_texts(path, ["a"])


def test_table_has_a_row_for_each_file():
    row = dict.fromkeys(COLUMNS, 1.25) | {"texts": 3}
    lines = table({"human": row, "one step": row}).splitlines()
    assert len(lines) == 4 and lines[3] == "| one step | 3 | 1.2 | 1.2 | 1.250 | 1.250 | 1.250 |"


def test_run_ends_bad_input_with_a_sentence():
    def program():
        raise InputError("no such file; check the path")

    with pytest.raises(SystemExit) as ended:
        run(program)
    assert ended.value.code == "no such file; check the path"


def test_table_leaves_a_score_open_that_a_file_does_not_have():
    row = {"texts": 1, "perplexity": 3.0, "distinct_1": 0.1, "distinct_2": 0.2, "distinct_3": 0.3}
    head, _, line = table({"a": row}).splitlines()
    assert line.count("|") == head.count("|")
    cells = dict(zip(head.split("|"), line.split("|"), strict=True))
    assert cells[" self-bleu "].strip() == "" and cells[" distinct-1 "] == " 0.100 "
