"""The answer heads and their loss against formulas in NumPy, and their search against all possible pairs."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import erf

from fairseq_electra.criterions.question_answering import QuestionAnsweringLoss, QuestionAnsweringLossConfig
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.questions.heads import ConditionalAnswerHead, IndependentAnswerHead
from tests.helpers.small_model import randomize_parameters

WIDTH, INNER = 12, 20
KINDS = ("independent", "conditional", "answerability")


def make_head(kind, seed=0, std=0.7):
    head = (
        IndependentAnswerHead(WIDTH)
        if kind == "independent"
        else ConditionalAnswerHead(WIDTH, kind == "answerability", INNER)
    )
    randomize_parameters(head, seed, std)
    return head.double().eval()


def make_batch(lengths, seed=0, begins=1.0):
    """Return random hidden states, and masks of the tokens that an answer may cover and may begin with.

    Each row has a question of two pieces, a window, an end and padding. An answer may begin with each piece
    of the window with probability ``begins``.
    """
    generator = np.random.default_rng(seed)
    width = max(lengths) + 5
    hidden = generator.normal(size=(len(lengths), width, WIDTH))
    allowed = np.zeros((len(lengths), width), dtype=bool)
    allowed[:, 0] = True
    for row, length in zip(allowed, lengths, strict=True):
        row[4 : 4 + length] = True
    may = allowed & (generator.random(allowed.shape) < begins)
    may[:, 0] = False
    return torch.from_numpy(hidden), torch.from_numpy(allowed), torch.from_numpy(may)


def parameters(head):
    return {name: tensor.detach().double().numpy() for name, tensor in head.named_parameters()}


def gelu(x):
    return x * (1 + erf(x / math.sqrt(2))) / 2


def log_softmax(scores):
    top = scores.max(-1, keepdims=True)
    return scores - top - np.log(np.exp(scores - top).sum(-1, keepdims=True))


def only(allowed, scores):
    return np.where(allowed, scores, -1e4)


def first_scores(p, hidden, allowed):
    """Of one row, (T, C)."""
    if "prediction.weight" in p:
        return only(allowed, hidden @ p["prediction.weight"][0] + p["prediction.bias"][0])
    return only(allowed, hidden @ p["first.weight"][0] + p["first.bias"][0])


def last_scores(p, hidden, allowed, first):
    """Of one row; in the paper's head of [first token; each token]."""
    if "prediction.weight" in p:
        return only(allowed, hidden @ p["prediction.weight"][1] + p["prediction.bias"][1])
    pairs = np.concatenate([np.broadcast_to(hidden[first], hidden.shape), hidden], -1)
    return only(
        allowed, gelu(pairs @ p["dense.weight"].T + p["dense.bias"]) @ p["last.weight"][0] + p["last.bias"][0]
    )


def unanswerable_score(p, hidden, allowed):
    if "answerability.0.weight" not in p:
        return None
    attended = np.exp(log_softmax(first_scores(p, hidden, allowed))) @ hidden
    inner = gelu(
        np.concatenate([hidden[0], attended]) @ p["answerability.0.weight"].T + p["answerability.0.bias"]
    )
    return float((inner @ p["answerability.2.weight"].T + p["answerability.2.bias"])[0])


def rows_of(*tensors):
    return zip(*(tensor.numpy() for tensor in tensors), strict=True)


@pytest.mark.parametrize("kind", KINDS)
def test_forward_scores_are_the_formulas(kind):
    head = make_head(kind)
    hidden, allowed, _ = make_batch([7, 3, 1, 10])
    first = torch.tensor([5, 0, 4, 13])
    found = head(hidden, allowed, first)
    p = parameters(head)
    for i, (row, may, start) in enumerate(rows_of(hidden, allowed, first)):
        assert found.first[i].tolist() == pytest.approx(first_scores(p, row, may), abs=1e-10)
        assert found.last[i].tolist() == pytest.approx(last_scores(p, row, may, start), abs=1e-10)
        if kind == "answerability":
            assert found.unanswerable[i].item() == pytest.approx(unanswerable_score(p, row, may), abs=1e-10)
    assert (found.unanswerable is None) == (kind != "answerability")


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_the_formula_and_the_gradient_reaches_every_parameter(kind):
    head = make_head(kind).train()
    hidden, allowed, _ = make_batch([7, 3, 1, 10])
    first, last = torch.tensor([5, 0, 4, 13]), torch.tensor([9, 0, 4, 13])

    def model(src_tokens, classification_head_name, head_inputs):
        assert classification_head_name == "name"
        return head(src_tokens, **head_inputs), None

    task = SimpleNamespace(cfg=SimpleNamespace(classification_head_name="name"))
    criterion = QuestionAnsweringLoss(QuestionAnsweringLossConfig(answerability_weight=0.3), task)
    sample = {
        "net_input": {"src_tokens": hidden},
        "first": first,
        "last": last,
        "allowed": allowed,
        "ntokens": 60,
    }
    loss, size, log = criterion(model, sample)
    p = parameters(head)
    span = none = 0.0
    for row, may, start, end in rows_of(hidden, allowed, first, last):
        span -= (
            log_softmax(first_scores(p, row, may))[start] / 2
            + log_softmax(last_scores(p, row, may, start))[end] / 2
        )
        if kind == "answerability":
            score = unanswerable_score(p, row, may)
            none += np.log1p(np.exp(-score if start == 0 else score))
    assert loss.item() == pytest.approx(span + 0.3 * none) and log["span_loss"].item() == pytest.approx(span)
    assert log["loss"].item() == loss.item() and ("answerability_loss" in log) == (kind == "answerability")
    if kind == "answerability":
        assert log["answerability_loss"].item() == pytest.approx(none)
    assert size == log["sample_size"] == log["nsentences"] == 4 and log["ntokens"] == 60
    loss.backward()
    # the last layers' biases move all scores alike
    alike = {"first.bias", "last.bias", "prediction.bias"}
    assert all(
        parameter.grad.abs().max() > 1e-9 for name, parameter in head.named_parameters() if name not in alike
    )


def test_a_negative_weight_of_answerability_is_refused():
    task = SimpleNamespace(cfg=SimpleNamespace(classification_head_name="name"))
    with pytest.raises(InputError, match=r"--answerability-weight must not be negative, got -0\.1"):
        QuestionAnsweringLoss(QuestionAnsweringLossConfig(answerability_weight=-0.1), task)


def pairs_by_hand(p, hidden, allowed, begins, beam, longest):
    """All answers of a row, best first: log p(first) + log p(last | first)."""
    starts = log_softmax(first_scores(p, hidden, allowed))
    tried = sorted(np.flatnonzero(begins), key=lambda place: -starts[place])
    if "prediction.weight" not in p:
        tried = tried[:beam]
    found = []
    for first in tried:
        ends = log_softmax(last_scores(p, hidden, allowed, first))
        found += [
            (starts[first] + ends[last], int(first), last)
            for last in range(1, len(hidden))
            if allowed[last] and 0 <= last - first < longest
        ]
    return sorted(found, reverse=True)


@pytest.mark.parametrize(
    ("beam", "count", "longest"), [(99, 5, 4), (99, 200, 99), (99, 1, 1), (2, 6, 5), (1, 3, 30), (4, 30, 2)]
)
@pytest.mark.parametrize("kind", KINDS)
def test_the_search_finds_the_best_of_all_pairs(kind, beam, count, longest):
    differ = 0
    for seed in range(12):
        head = make_head(kind, seed)
        hidden, allowed, begins = make_batch([9, 4, 1, 14, 6], seed, begins=0.6)
        begins[4] = False  # a window none of whose pieces has most context there
        with torch.no_grad():
            found = head.search(hidden, allowed, begins, beam, count, longest)
        assert found.first.shape == found.last.shape == found.score.shape == (
            5,
            count,
        ) and found.unanswerable.shape == (5,)
        assert torch.isfinite(found.unanswerable).all()
        p = parameters(head)
        for i, (row, may, start) in enumerate(rows_of(hidden, allowed, begins)):
            pairs = pairs_by_hand(p, row, may, start, beam, longest)
            best = pairs[:count]
            assert found.score[i, : len(best)].tolist() == pytest.approx(
                [score for score, _, _ in best], abs=1e-9
            )
            places = list(zip(found.first[i].tolist(), found.last[i].tolist(), strict=True))[: len(best)]
            assert places == [(first, last) for _, first, last in best]
            assert all(
                may[last] and start[first] and 0 < first <= last < first + longest for first, last in places
            )
            assert (found.score[i, len(best) :] == -torch.inf).all()
            everything = pairs_by_hand(p, row, may, start, 99, 99)
            differ += len(best) > 0 and best != everything[:count]
    if longest < 14 or (beam < 99 and kind != "independent"):
        assert differ > 5


@pytest.mark.parametrize("kind", KINDS)
def test_search_unanswerable_is_the_formula(kind):
    head = make_head(kind)
    hidden, allowed, begins = make_batch([9, 4, 1])
    with torch.no_grad():
        found = head.search(hidden, allowed, begins, 99, 2, 5)
    p = parameters(head)
    for i, (row, may, start) in enumerate(rows_of(hidden, allowed, begins)):
        if kind == "independent":
            none = log_softmax(first_scores(p, row, may))[0] + log_softmax(last_scores(p, row, may, 0))[0]
            expected = none - pairs_by_hand(p, row, may, start, 99, 5)[0][0]
        else:
            expected = unanswerable_score(p, row, may) or 0.0
        assert found.unanswerable[i].item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_search_never_returns_tokens_that_are_not_allowed(kind):
    head = make_head(kind)
    hidden, allowed, begins = make_batch([6, 6])
    with torch.no_grad():
        before = head.search(hidden, allowed, begins, 99, 99, 99)
        hidden[:, 1:4] *= 50  # the question
        hidden[:, 10:] *= 50  # the end and padding
        after = head.search(hidden, allowed, begins, 99, 99, 99)
    assert torch.equal(before.first, after.first) and torch.equal(before.last, after.last)
    assert torch.allclose(before.score, after.score) and torch.allclose(
        before.unanswerable, after.unanswerable
    )


@pytest.mark.parametrize("kind", KINDS)
def test_search_does_not_depend_on_padding(kind):
    head = make_head(kind)
    hidden, allowed, begins = make_batch([9, 4], begins=0.7)
    with torch.no_grad():
        wide = head.search(hidden, allowed, begins, 3, 12, 4)
        narrow = head.search(hidden[1:, :9], allowed[1:, :9], begins[1:, :9], 3, 12, 4)
    there = torch.isfinite(narrow.score[0])
    assert 0 < there.sum() < 12 and torch.equal(there, torch.isfinite(wide.score[1]))
    assert torch.allclose(wide.score[1][there], narrow.score[0][there])
    assert torch.equal(wide.first[1][there], narrow.first[0][there]) and torch.equal(
        wide.last[1][there], narrow.last[0][there]
    )
    assert torch.allclose(wide.unanswerable[1], narrow.unanswerable[0])


def test_the_conditional_heads_probabilities_of_all_pairs_and_of_none_add_up_to_one():
    head = make_head("conditional")
    hidden, allowed, begins = make_batch([5])
    p, row, may = parameters(head), hidden[0].numpy(), allowed[0].numpy()
    starts = np.exp(log_softmax(first_scores(p, row, may)))
    total = sum(
        starts[a] * np.exp(log_softmax(last_scores(p, row, may, a)))[b]
        for a, b in itertools.product(np.flatnonzero(may), repeat=2)
    )
    assert total == pytest.approx(1)
    with torch.no_grad():
        found = head.search(hidden, allowed, begins, 99, 15, 99)
    assert 0 < found.score.exp().sum().item() < 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_search_in_half_precision_compares_float32_scores(kind, dtype):
    head = make_head(kind).to(dtype)
    hidden, allowed, begins = make_batch([5, 9])
    scores = head(hidden.to(dtype), allowed, torch.tensor([4, 0]))
    answers = head.search(hidden.to(dtype), allowed, begins, 4, 5, 6)
    assert {each.dtype for each in (*scores, answers.score, answers.unanswerable) if each is not None} == {
        torch.float32
    }
