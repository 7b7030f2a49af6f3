"""Norms, clipping and dropping of all gradients at once, against fairseq and PyTorch one by one."""

import copy

import pytest
import torch
from fairseq import utils

from fairseq_electra.electra.objectives import OBJECTIVES
from fairseq_electra.optim.gradients import mark_networks, network_of
from tests.helpers.components import optimizer_for, parameters


def with_gradients(seed=1):
    params = [*parameters(), torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.zeros(3))]
    generator = torch.Generator().manual_seed(seed)
    for p in params[:3]:  # the last one has none
        p.grad = torch.randn(p.shape, generator=generator)
    return params


@pytest.mark.parametrize("factor", [1.0, 0.01, torch.tensor(0.5)])
@pytest.mark.parametrize("max_norm", [0.0, 0.02, 100.0])
@pytest.mark.parametrize("correct", [False, True])
def test_a_step_is_that_of_pytorch_after_fairseqs_clipping(factor, max_norm, correct):
    ours, theirs = with_gradients(), with_gradients()
    optimizer = optimizer_for(ours, bias_correction=correct)
    plain = torch.optim.AdamW(
        [{"params": theirs[::2], "weight_decay": 0.01}, {"params": theirs[1::2], "weight_decay": 0.0}],
        lr=0.1,
        eps=1e-6,
    )
    if not correct:
        for p in theirs:
            zeros = [torch.zeros_like(p) for _ in range(2)]
            plain.state[p] = {"step": torch.tensor(1e9), "exp_avg": zeros[0], "exp_avg_sq": zeros[1]}
    for update in range(3):
        for p, q in zip(ours, theirs, strict=True):
            if p.grad is not None:
                p.grad, q.grad = torch.randn_like(p), None
                q.grad = p.grad * factor
        optimizer.multiply_grads(factor)
        norm = optimizer.clip_grad_norm(max_norm)
        wanted = utils.clip_grad_norm_(theirs, max_norm)
        assert norm == pytest.approx(wanted.item(), rel=1e-6) and optimizer.gradients.norms == {"gnorm": norm}
        optimizer.step()
        plain.step()
        for p, q in zip(ours, theirs, strict=True):
            assert torch.allclose(p, q, rtol=1e-5, atol=1e-7), update
    assert torch.equal(ours[3], torch.zeros(3)) and optimizer.gradients.factor == 1


def test_the_networks_norms_are_told_apart_and_embeddings_belong_to_neither(make_task, make_model):
    model = make_model(make_task(), tie_embeddings="none")
    optimizer = optimizer_for(model.parameters())
    generator = torch.Generator().manual_seed(1)
    for p in model.parameters():
        p.grad = torch.randn(p.shape, generator=generator)

    def norm(*names):
        return (
            torch.cat(
                [p.grad.flatten() for name, p in model.named_parameters() if name.split(".")[0] in names]
            )
            .norm()
            .item()
            / 8
        )

    optimizer.multiply_grads(1 / 8)
    optimizer.clip_grad_norm(0.5)
    found = {name: value.item() for name, value in optimizer.gradients.norms.items()}
    assert found.keys() == {"gnorm", "gen_gnorm", "disc_gnorm"}
    assert found["gen_gnorm"] == pytest.approx(norm("generator", "generator_head"), rel=1e-6)
    assert found["disc_gnorm"] == pytest.approx(norm("discriminator", "discriminator_head"), rel=1e-6)
    everything = {name.split(".")[0] for name, _ in model.named_parameters()}
    assert everything == {
        "embeddings",
        "generator_embeddings",
        "generator",
        "generator_head",
        "discriminator",
        "discriminator_head",
    }
    assert found["gnorm"] == pytest.approx(norm(*everything), rel=1e-6)


@pytest.mark.parametrize("objective", [name for name in OBJECTIVES if name != "frozen_generator"])
def test_heads_of_every_objective_belong_to_their_network(make_task, make_model, objective):
    model = make_model(make_task(), objective=objective)
    networks = {name.split(".")[0]: network_of(p) for name, p in model.named_parameters()}
    assert networks.pop("embeddings") == ""
    networks.pop("generator_embeddings", None)
    for part, network in networks.items():
        of_generator = part.startswith(("generator", "noise_model"))
        assert network == ("gen_gnorm" if of_generator else "disc_gnorm"), part


def test_gradients_that_are_not_finite_change_nothing_and_nor_does_any_update_after_them():
    params = with_gradients()
    optimizer = optimizer_for(params, bias_correction=True)
    optimizer.gradients.drop_nonfinite = True
    optimizer.clip_grad_norm(1.0)
    optimizer.step()
    before, state = [p.detach().clone() for p in params], copy.deepcopy(optimizer.state_dict())
    assert optimizer.gradients.dropped == 0 and not torch.equal(before[0], parameters()[0])
    for value in (float("nan"), 1.0, float("inf"), 2.0):
        optimizer.zero_grad()
        for p in params[:3]:
            p.grad = torch.ones_like(p)
        params[0].grad[0, 0] = value
        optimizer.multiply_grads(0.5)
        norm = optimizer.clip_grad_norm(1.0)
        assert torch.isfinite(norm) == (value in (1.0, 2.0)) and optimizer.gradients.dropped == 1
        optimizer.step()
    for p, old in zip(params, before, strict=True):
        assert torch.equal(p, old)
    for index, own in optimizer.state_dict()["state"].items():
        for name, value in own.items():
            assert torch.equal(value, state["state"][index][name]), name


def test_a_cleared_update_leaves_nothing_to_multiply_with():
    params = with_gradients()
    optimizer = optimizer_for(params)
    optimizer.multiply_grads(0.1)
    optimizer.zero_grad()
    assert optimizer.gradients.factor == 1 and all(p.grad is None for p in params)


def test_no_gradients_have_no_norm():
    optimizer = optimizer_for(parameters())
    assert optimizer.clip_grad_norm(1.0) == 0


def test_parameters_of_several_types_go_fairseqs_way():
    params = [torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2, dtype=torch.bfloat16))]
    optimizer = optimizer_for(params)
    assert optimizer.gradients is None
    for p in params:
        p.grad = torch.full_like(p, 2.0)
    optimizer.multiply_grads(0.5)
    assert optimizer.clip_grad_norm(1.0).item() == pytest.approx(6**0.5)
    assert params[0].grad[0, 0].item() == pytest.approx(6**-0.5)
    optimizer.step()
    assert params[0][0, 0] < 1 and params[1][0] < 1


def test_marks_stay_where_a_model_goes(make_task, make_model):
    model = make_model(make_task())
    mark_networks(model)
    marks = {name: network_of(p) for name, p in model.double().named_parameters()}
    assert (
        marks["generator_head.bias"] == "gen_gnorm" and marks["discriminator_head.dense.bias"] == "disc_gnorm"
    )
    assert marks["embeddings.tokens.weight"] == ""
