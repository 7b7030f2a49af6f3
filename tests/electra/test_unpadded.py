"""Rows without their padding: the same hidden states and gradients as with it."""

import pytest
import torch

from fairseq_electra.electra.fast.unpadded import Unpadded
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.encoder import EncoderWithHeads, encoder_arguments
from fairseq_electra.finetuning.sentences.head import SentenceHead
from tests.helpers.small_model import NET, randomize_parameters

PAD, TOKENS = 1, 40


def made(**changes) -> EncoderWithHeads:
    model = EncoderWithHeads(**encoder_arguments({**NET, "model_size": "tiny", **changes}, TOKENS)).double()
    randomize_parameters(model, std=0.3)
    return model.eval()


def batch(lengths, width) -> torch.Tensor:
    tokens = torch.randint(4, TOKENS, (len(lengths), width))
    tokens[:, 0] = 0
    for row, length in zip(tokens, lengths, strict=True):
        if length > 1:
            row[length // 2], row[length - 1] = 2, 2
        row[length:] = PAD
    return tokens


def states_and_gradients(model, tokens, weight):
    states = model(tokens)[0]
    parameters = dict(model.named_parameters())
    found = torch.autograd.grad((states * weight).sum(), list(parameters.values()), allow_unused=True)
    gradients = zip(parameters, found, strict=True)
    return states, {name: gradient for name, gradient in gradients if gradient is not None}


@pytest.mark.parametrize("width", [20, 300])  # one mask, and buckets by length
@pytest.mark.parametrize(
    "traits",
    [
        {"positions": "rotary"},
        {"positions": "learned", "max_position_embeddings": 512},
        {"positions": "rotary", "local_window": 8, "global_every": 2},
        {"positions": "rotary", "local_window": 64, "global_every": 2},  # wider than the shorter rows
        {"positions": "rotary", "norm": "pre"},
    ],
    ids=lambda traits: "-".join(map(str, traits.values())),
)
def test_states_and_gradients_are_those_of_padded_rows(width, traits, monkeypatch):
    model, tokens = made(**traits), batch([width, 0, width // 2, 1, 4, width // 3, 0], width)
    real = tokens != PAD
    weight = torch.randn(*tokens.shape, model.sizes.hidden_size, dtype=torch.float64) * real[..., None]

    states, gradients = states_and_gradients(model, tokens, weight)
    assert (states[~real] == 0).all()  # padding was not computed
    monkeypatch.setattr(Unpadded, "of", lambda *_: None)
    expected, expected_gradients = states_and_gradients(model, tokens, weight)
    assert (states - expected)[real].abs().max() < 1e-10 and (expected[~real] != 0).any()
    assert gradients.keys() == expected_gradients.keys()
    for name, gradient in expected_gradients.items():
        assert (gradients[name] - gradient).abs().max() < 1e-9 * gradient.abs().max().clamp(min=1), name


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_spare_ids_change_no_state_and_no_gradient(positions, monkeypatch):
    model, tokens = made(positions=positions, max_position_embeddings=20), batch([20, 0, 9, 3], 20)
    weight = torch.randn(4, 20, model.sizes.hidden_size, dtype=torch.float64)
    states, gradients = states_and_gradients(model, tokens, weight)
    found, of = [], Unpadded.of
    monkeypatch.setattr(Unpadded, "of", lambda mask, _: found.append(of(mask, 24)) or found[-1])
    with_spare, gradients_with_spare = states_and_gradients(model, tokens, weight)
    assert (with_spare - states).abs().max() < 1e-10 * states.abs().max().clamp(min=1)
    assert gradients_with_spare.keys() == gradients.keys()
    for name, gradient in gradients.items():
        change = (gradients_with_spare[name] - gradient).abs().max()
        assert change < 1e-10 * gradient.abs().max().clamp(min=1), name
    assert found[0].spare == 16 and found[0].documents.numbers.shape == (1, 48)


@pytest.mark.parametrize("how", ["autocast", "weights"])
def test_products_in_bfloat16_have_few_shapes(how, monkeypatch):
    model = made(positions="rotary", autocast="bf16" if how == "autocast" else "none")
    model = model.float() if how == "autocast" else model.bfloat16()
    rows = []
    monkeypatch.setattr(
        torch.nn.functional, "linear", lambda x, *_, f=torch.nn.functional.linear: rows.append(x) or f(x, *_)
    )
    for lengths in ([40, 9, 3], [40, 17, 30], [40, 20, 2]):
        model(batch(lengths, 40))
    assert {x.shape[1] for x in rows} == {64, 96}


@pytest.mark.parametrize(("lengths", "spare"), [([20, 9], 3), ([20, 12], 0), ([20, 13], 0)])
def test_a_packed_row_has_no_more_spare_ids_than_a_row_has_positions(lengths, spare):
    assert Unpadded.of(batch(lengths, 20) == PAD, 32).spare == spare


def test_scores_of_a_head_are_those_of_padded_rows(monkeypatch):
    model, tokens = made(positions="rotary"), batch([20, 1, 10, 4], 20)
    model.register_head("head", SentenceHead(model.sizes.hidden_size, 3, 0.0, "mean").double())
    found = model(tokens, classification_head_name="head")[0]
    monkeypatch.setattr(Unpadded, "of", lambda *_: None)
    assert (model(tokens, classification_head_name="head")[0] - found).abs().max() < 1e-10


def test_a_row_with_recurrence_has_the_states_that_it_has_alone():
    model, tokens = made(positions="rotary", recurrence=5), batch([20, 9, 4], 20)
    states = model(tokens)[0]
    for row, length in enumerate((20, 9, 4)):
        assert (states[row, :length] - model(tokens[row : row + 1, :length])[0]).abs().max() < 1e-10


@pytest.mark.parametrize("probability", [1.0, 1.5, -0.5, float("nan")])
def test_a_dropout_of_heads_out_of_range_is_refused(probability):
    with pytest.raises(InputError, match=r"--head-dropout must lie in \[0, 1\)"):
        made(positions="rotary", head_dropout=probability)


def test_rows_with_little_padding_stay_as_they_are():
    assert Unpadded.of(batch([20, 20], 20) == PAD) is None
    assert Unpadded.of(batch([20, 17], 20) == PAD) is None  # 7.5 % of the batch
    assert Unpadded.of(batch([20, 10], 20) == PAD) is not None
    assert Unpadded.of(torch.ones(2, 3, dtype=torch.bool)) is None  # nothing but padding


def test_long_rows_and_padding_that_is_not_on_the_right_stay_as_they_are():
    assert Unpadded.of(batch([512, 100], 512) == PAD) is not None
    assert Unpadded.of(batch([513, 100], 513) == PAD) is None
    for padded in ([[1, 1, 0, 0], [0, 0, 0, 0]], [[0, 1, 0, 0], [0, 0, 1, 1]]):
        assert Unpadded.of(torch.tensor(padded, dtype=torch.bool)) is None


def test_a_traced_model_takes_batches_of_other_lengths():
    model, other = made(positions="learned", max_position_embeddings=32), batch([20, 3], 20)
    model.requires_grad_(False)
    traced = torch.jit.trace(lambda tokens: model(tokens)[0], batch([20, 10], 20), check_trace=False)
    assert (traced(other) - model(other)[0])[other != PAD].abs().max() < 1e-10


def test_each_token_comes_back_to_its_place():
    tokens = batch([3, 9, 5], 9)
    unpadded = Unpadded.of(tokens == PAD)
    taken = unpadded.take(tokens)
    assert taken.tolist() == [tokens[tokens != PAD].tolist()]
    assert torch.equal(unpadded.put_back(taken.unsqueeze(-1)).squeeze(-1), tokens * (tokens != PAD))
    assert unpadded.documents.positions.tolist() == [[*range(3), *range(9), *range(5)]]
