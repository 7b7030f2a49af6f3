"""Recurrence over the parts of a row against one part after the other, its gradients, and its count."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from fairseq_electra.electra.encoder import Encoder
from fairseq_electra.electra.flops import STEP_BY_FORWARD, encoder_flops
from fairseq_electra.electra.packed import PackedDocuments
from fairseq_electra.electra.rotary import rotary_angles
from fairseq_electra.electra.scaled_dot_product import BLOCKED
from fairseq_electra.electra.sizes import EncoderSizes
from fairseq_electra.errors import InputError
from tests.helpers.components import criterion_for
from tests.helpers.small_model import randomize_parameters

PART = 5
SIZES = EncoderSizes(
    *(16, 16, 24, 3, 2), positions="rotary", dropout=0.0, attention_dropout=0.0, recurrence=PART
)


def made(sizes=SIZES) -> Encoder:
    encoder = Encoder(sizes).double()
    randomize_parameters(encoder, std=0.3)
    return encoder


def part_by_part(encoder, embedded, padding):
    """Encode the parts of rows in turn, by whole rows of two parts whose first one is kept from before.

    Each layer gets [states of the part before, detached; its own states], all of them see each other, and
    only the second part of its result is used.
    """
    plain = Encoder(replace(encoder.sizes, recurrence=0)).double()
    plain.load_state_dict(encoder.state_dict())
    starts, results, kept = range(0, embedded.shape[1], PART), [], None
    parameters = dict(plain.named_parameters())
    for start in starts:
        hidden, states = embedded[:, start : start + PART], []
        first = max(0, start - PART)
        mask = padding[:, None, None, first : start + PART].double() * BLOCKED
        for number, layer in enumerate(plain.layers):
            states.append(hidden.detach())
            both = hidden if kept is None else torch.cat([kept[number], hidden], 1)
            angles = rotary_angles(embedded.shape[1], 8, embedded.device)[first : start + PART]
            hidden = layer(both, mask, angles)[:, both.shape[1] - hidden.shape[1] :]
        kept = states
        results.append(hidden)
    return torch.cat(results, 1), parameters


@pytest.mark.parametrize("sizes", [SIZES, replace(SIZES, no_linear_bias=True)], ids=["biases", "none"])
@pytest.mark.parametrize("length", [5, 10, 13, 20])
def test_states_and_gradients_are_those_of_one_part_after_the_other(length, sizes):
    encoder, embedded = made(sizes), torch.randn(2, length, 16, dtype=torch.float64)
    padding = torch.arange(length) >= torch.tensor([[length], [max(1, length - 4)]])
    real = ~padding
    weight = torch.randn(2, length, 16, dtype=torch.float64) * real[..., None]
    found = encoder(embedded, padding)
    expected, parameters = part_by_part(encoder, embedded, padding)
    assert (found - expected)[real].abs().max() < 1e-12
    with torch.no_grad():  # where keys and values are computed once
        assert (encoder(embedded, padding) - found)[real].abs().max() < 1e-12
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert (parameter.grad - parameters[name].grad).abs().max() < 1e-10, name


def test_a_part_sees_the_one_before_and_no_gradient_goes_there():
    encoder = made(replace(SIZES, num_hidden_layers=1))
    embedded = torch.randn(1, 20, 16, dtype=torch.float64, requires_grad=True)
    found = encoder(embedded, None)
    (gradient,) = torch.autograd.grad(found[0, 12].sum(), embedded)
    assert gradient[0].any(-1).tolist() == [False] * 10 + [True] * 5 + [False] * 5
    changed = embedded.detach().clone()
    changed[0, 7] += 1
    moved = (encoder(changed, None) - found)[0].abs().sum(-1) > 0
    assert moved.tolist() == [False] * 5 + [True] * 10 + [False] * 5


def test_the_count_is_that_of_the_products_of_a_step():
    encoder, tokens = made(), 20
    embedded = torch.randn(1, tokens, 16, dtype=torch.float64, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        encoder(embedded, None).sum().backward()
    count = encoder_flops(SIZES)
    assert count.per_pair == 0
    assert counter.get_total_flops() == pytest.approx(STEP_BY_FORWARD * count.per_token * tokens, rel=1e-12)


@pytest.mark.parametrize(
    ("view", "documents"), [("left", None), ("row", PackedDocuments.of(torch.tensor([[8, 20]]), 20))]
)
def test_an_encoder_refuses_packed_rows_and_one_side(view, documents):
    encoder = Encoder(SIZES, view=view)
    with pytest.raises(InputError, match="--recurrence 5 is for rows of one text each"):
        encoder(torch.randn(1, 20, 16), None, documents=documents)


def test_a_model_is_trained_with_it_and_its_count_is_that_of_the_step(make_task, make_model):
    task = make_task()
    task.load_dataset("train")
    dataset = task.load_dataset("valid")
    sample = dataset.collater(range(4))
    rows, length = sample["net_input"]["src_tokens"].shape
    part = length // 4
    model = make_model(task, recurrence=part).double()
    with FlopCounterMode(display=False) as counter:
        criterion_for(task)(model, sample)[0].backward()
    assert all(each.grad is not None for each in model.parameters())
    count = model.flops(len(task.dictionary))
    tokens = rows * -(-length // part) * part
    assert count.per_pair == 0
    expected = STEP_BY_FORWARD * (count.per_token * tokens + count.per_masked * sample["target"].numel())
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.02)


def test_a_generator_that_is_not_trained_computes_keys_and_values_once():
    encoder = made().requires_grad_(False)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        encoder(torch.randn(1, 20, 16, dtype=torch.float64), None)
    assert counter.get_total_flops() == encoder_flops(SIZES, trained=False).per_token * 20


def test_sizes_refuse_a_window_beside_it():
    with pytest.raises(InputError, match="--recurrence 5 does not go with --local-window 8"):
        replace(SIZES, local_window=8)
    with pytest.raises(InputError, match="--recurrence -1"):
        replace(SIZES, recurrence=-1)


@pytest.mark.parametrize(
    ("options", "model", "message"),
    [
        ({"pack": True}, {}, "--recurrence 16 goes neither with --pack"),
        ({"tokens_per_sample": 16}, {}, "and rows have 16 tokens; give a smaller number"),
        ({}, {"objective": "electric"}, "nor with --objective electric"),
    ],
)
def test_training_refuses_what_it_does_not_go_with(make_task, make_model, options, model, message):
    with pytest.raises(InputError, match=message):
        make_model(make_task(**options), recurrence=16, **model)
