import copy

import numpy as np
import pytest
import torch

from fairseq_electra.errors import InputError
from fairseq_electra.optim.depths import layers_below_head, mark_depths
from fairseq_electra.optim.electra_adam import LONG_AGO
from tests.helpers.components import optimizer_for, parameters


def plain_steps(values, gradients, steps, correct, lr=0.1, b1=0.9, b2=0.999, eps=1e-6, decay=0.01):
    """google-research/electra model/optimization.py: no bias correction, decay times the rate."""
    m = v = np.zeros_like(values)
    for t in range(1, steps + 1):
        g = gradients(values)
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        mh, vh = (m / (1 - b1**t), v / (1 - b2**t)) if correct else (m, v)
        values = values - lr * (mh / (np.sqrt(vh) + eps) + (decay if values.ndim > 1 else 0.0) * values)
    return values


@pytest.mark.parametrize("given", ["on", "off", True, False, None])  # YAML reads on and off as true and false
def test_steps_are_the_originals_or_those_of_adams_paper(given):
    params = parameters()
    expected = [
        plain_steps(p.detach().double().numpy(), lambda x: 2 * x, 7, given not in ("off", False))
        for p in params
    ]
    optimizer = optimizer_for(params, bias_correction=given)
    for _ in range(7):
        optimizer.zero_grad()
        optimizer.backward(sum((p**2).sum() for p in params))
        optimizer.step()
    for p, wanted in zip(params, expected, strict=True):
        assert np.allclose(p.detach().numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_a_restored_optimizer_goes_on_alike_and_keeps_its_groups_decay():
    first, second = parameters(), parameters()
    one, two = optimizer_for(first), optimizer_for(second)
    for p in first:
        p.grad = torch.ones_like(p)
    one.step()
    with torch.no_grad():
        for p, q in zip(first, second, strict=True):
            q.copy_(p)
    two.load_state_dict(copy.deepcopy(one.state_dict()), {"lr": 0.2})
    assert [group["weight_decay"] for group in two.param_groups] == [0.01, 0.0]
    assert two.get_lr() == 0.2
    for optimizer, params in ((one, first), (two, second)):
        optimizer.set_lr(0.05)
        for p in params:
            p.grad = torch.full_like(p, 0.5)
        optimizer.step()
    assert all(torch.equal(p, q) for p, q in zip(first, second, strict=True))


@pytest.mark.parametrize("betas", ["0.9", "(0.9, x)", "(0.9, 1.0)"])
def test_betas_that_cannot_be_are_refused(betas):
    with pytest.raises(InputError, match="--adam-betas must be two numbers"):
        optimizer_for(parameters(), adam_betas=betas)


def test_a_run_that_goes_on_without_bias_correction_has_none():
    params = parameters()
    optimizer = optimizer_for(params, bias_correction=True)
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    other = optimizer_for(params, bias_correction="off")
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert all(state["step"] == LONG_AGO for state in other.optimizer.state.values())


def test_betas_may_be_written_as_text():
    assert optimizer_for(parameters(), adam_betas="(0.8, 0.98)").param_groups[0]["betas"] == (0.8, 0.98)


def test_one_flat_tensor_is_refused():
    with pytest.raises(InputError, match="--fp16-no-flatten-grads"):
        optimizer_for([torch.nn.Parameter(torch.zeros(10))])


def encoder_with_head(layers=3):
    torch.manual_seed(1)
    net = torch.nn.Module()
    net.embeddings = torch.nn.ModuleDict(
        {"tokens": torch.nn.Embedding(5, 4), "layer_norm": torch.nn.LayerNorm(4)}
    )
    net.encoder = torch.nn.ModuleDict({"projection": torch.nn.Linear(4, 4)})
    net.encoder["layers"] = torch.nn.ModuleList(torch.nn.Linear(4, 4) for _ in range(layers))
    net.classification_heads = torch.nn.ModuleDict({"x": torch.nn.Linear(4, 2)})
    mark_depths(net, "classification_heads.", "encoder.layers.", "encoder.layer_norm.", layers)
    return net


def googles_rates(name, layers, lr, decay):
    """Transcription of google-research/electra model/optimization.py::_get_layer_lrs."""
    depth = layers + 2
    if name.startswith("embeddings") or "projection" in name:
        depth = 0
    elif name.startswith("encoder.layers."):
        depth = int(name.split(".")[2]) + 1
    return lr * decay ** (layers + 2 - depth)


@pytest.mark.parametrize("once_more", [False, True])
def test_layers_learn_as_fast_as_the_paper_says_or_as_the_originals_code_does(once_more):
    """The code has one factor more than the paper for all but the head."""
    net, layers = encoder_with_head(), 3
    optimizer = optimizer_for(
        net.parameters(),
        layer_decay=0.8,
        layer_decay_once_more=once_more,
        weight_decay=0.0,
        bias_correction="off",
        lr=[0.01],
    )
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in net.named_parameters():
        of_code = googles_rates(name, layers, 0.01, 0.8)
        paper = of_code if "heads" in name else of_code / 0.8
        assert rates[id(parameter)] == pytest.approx(of_code if once_more else paper), name
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    # all gradients are alike, so steps differ by the rates alone
    for name, parameter in net.named_parameters():
        step = (before[name] - parameter).detach()
        assert torch.allclose(
            step, torch.full_like(step, rates[id(parameter)] * 0.1 / 0.001**0.5), rtol=1e-4
        ), name


def test_a_schedule_and_a_resumed_run_keep_every_layers_share():
    net = encoder_with_head()
    one, two = (optimizer_for(net.parameters(), layer_decay=0.5, weight_decay=0.01) for _ in range(2))
    one.set_lr(0.02)
    assert one.get_lr() == pytest.approx(0.02)
    assert {round(group["lr"] / 0.02, 6) for group in one.param_groups} == {1, 0.5, 0.25, 0.125, 0.0625}
    for group in one.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    one.step()
    two.load_state_dict(copy.deepcopy(one.state_dict()), {"lr": 0.04})
    assert two.get_lr() == pytest.approx(0.04)
    assert [group["lr"] / two.get_lr() for group in two.param_groups] == [
        group["lr"] / one.get_lr() for group in one.param_groups
    ]
    assert {group["weight_decay"] for group in two.param_groups} == {0.0, 0.01}


@pytest.mark.parametrize("decay", [0.0, -0.5, 1.1])
def test_a_layer_decay_that_cannot_be_is_refused(decay):
    with pytest.raises(InputError, match=r"--layer-decay must lie in \(0, 1\]"):
        optimizer_for(encoder_with_head().parameters(), layer_decay=decay)


def test_layer_decay_for_a_net_without_marked_layers_is_refused():
    with pytest.raises(InputError, match="it is for --arch electra_encoder"):
        optimizer_for(parameters(), layer_decay=0.8)
    assert layers_below_head(next(encoder_with_head().classification_heads.parameters())) == 0


@pytest.mark.parametrize(("before", "now"), [(1, 0.5), (0.5, 1), (0.5, 2), (2, 1)])
def test_another_generator_lr_that_makes_other_groups_is_refused_in_a_sentence(
    make_task, make_model, before, now
):
    net = make_model(make_task())
    state = optimizer_for(net.parameters(), generator_lr=before).state_dict()
    with pytest.raises(
        InputError, match=rf"--generator-lr {now}, --layer-decay 1 makes .* or give --reset-optimizer"
    ):
        optimizer_for(net.parameters(), generator_lr=now).load_state_dict(state)


def test_another_generator_lr_of_the_same_groups_is_taken_over(make_task, make_model):
    net = make_model(make_task())
    optimizer = optimizer_for(net.parameters(), generator_lr=0.25)
    optimizer.load_state_dict(optimizer_for(net.parameters(), generator_lr=0.5).state_dict())
    assert {group["lr_scale"] for group in optimizer.param_groups} == {0.25, 1}


@pytest.mark.parametrize(("before", "now"), [(1, 0.8), (0.8, 1)])
def test_layer_decay_that_begins_or_ends_within_a_run_is_refused_in_a_sentence(before, now):
    net = encoder_with_head()
    state = optimizer_for(net.parameters(), layer_decay=before).state_dict()
    with pytest.raises(
        InputError, match=rf"--layer-decay {now} makes .* go on with the values that the run began with"
    ):
        optimizer_for(net.parameters(), layer_decay=now).load_state_dict(state)


def test_float32_copies_of_half_precision_weights_keep_the_generators_rate(make_task, make_model):
    """fairseq's FP16Optimizer gives the optimizer copies, which keep one attribute alone."""
    from fairseq.optim.fp16_optimizer import FP16Optimizer

    net = make_model(make_task(), tie_embeddings="none").bfloat16()
    copies = FP16Optimizer.build_fp32_params(None, list(net.parameters()), flatten=False)
    optimizer = optimizer_for(copies, generator_lr=0.5)
    optimizer.set_lr(0.2)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for (name, _), copied in zip(net.named_parameters(), copies, strict=True):
        assert rates[id(copied)] == pytest.approx(0.1 if name.startswith("generator") else 0.2), name


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"generator_lr": 0.5}, "--generator-lr 0.5 is for models with a generator"),
        ({"generator_lr": float("nan")}, "--generator-lr must be 0 or more, got nan"),
        ({"weight_decay": -1.0}, "--weight-decay must be 0 or more, got -1"),
        ({"weight_decay": float("nan")}, "--weight-decay must be 0 or more, got nan"),
        ({"adam_eps": -1.0}, "--adam-eps must be above 0, got -1"),
    ],
)
def test_values_out_of_range_are_refused(changes, sentence):
    with pytest.raises(InputError, match=sentence):
        optimizer_for(encoder_with_head().parameters(), **changes)


@pytest.mark.parametrize("tie", ["all", "tokens", "none"])
def test_the_generator_has_a_rate_of_its_own_and_embeddings_that_are_shared_do_not(
    make_task, make_model, tie
):
    net = make_model(make_task(), tie_embeddings=tie)
    own = {
        name.split(".")[1] for name, _ in net.named_parameters() if name.startswith("generator_embeddings.")
    }
    assert (
        own
        == {"all": set(), "tokens": {"segments", "layer_norm"}, "none": {"tokens", "segments", "layer_norm"}}[
            tie
        ]
    )
    optimizer = optimizer_for(net.parameters(), generator_lr=0.5)
    optimizer.set_lr(0.2)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in net.named_parameters():
        assert rates[id(parameter)] == pytest.approx(0.1 if name.startswith("generator") else 0.2), name
    assert optimizer.get_lr() == pytest.approx(0.2)
    assert len(optimizer_for(net.parameters()).param_groups) == 2  # as in checkpoints of before
    with pytest.raises(InputError, match="--generator-lr must be 0 or more, got -1"):
        optimizer_for(net.parameters(), generator_lr=-1)
