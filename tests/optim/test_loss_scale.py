"""Scaled losses: the rule, and what an optimizer makes of scaled gradients."""

import copy

import pytest
import torch

from fairseq_electra.errors import InputError
from fairseq_electra.optim import loss_scale
from fairseq_electra.optim.loss_scale import LossScale
from tests.helpers.components import optimizer_for, parameters


def test_the_scale_is_that_of_pytorchs_own_scaler(monkeypatch):
    monkeypatch.setattr(loss_scale, "INTERVAL", 3)
    ours = LossScale(torch.device("cpu"))
    theirs, counted = torch.tensor(loss_scale.INITIAL), torch.zeros((), dtype=torch.int32)
    overflows = (torch.rand(200, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    scales = []
    for number, overflow in enumerate(overflows):
        if number == 100:
            ours = LossScale(torch.device("cpu"), copy.deepcopy(ours.state_dict()))
        ours.update(overflow)
        torch._amp_update_scale_(theirs, counted, overflow, 2.0, 0.5, 3)
        scales.append(ours.scale.item())
        assert (ours.scale, ours.since) == (theirs, counted), number
    assert len(set(scales)) > 5


@pytest.mark.parametrize("max_norm", [0.0, 0.5])
def test_scaled_losses_give_the_steps_of_plain_ones(max_norm):
    plain, scaled = parameters(), parameters()
    one, other = optimizer_for(plain), optimizer_for(scaled)
    other.scale_losses()
    for _ in range(3):
        for optimizer, params in ((one, plain), (other, scaled)):
            optimizer.zero_grad()
            for _ in range(2):  # two parts of a batch
                optimizer.backward(sum((p**2).sum() for p in params))
            optimizer.multiply_grads(0.25)
            norm = optimizer.clip_grad_norm(max_norm)
            optimizer.step()
            assert norm == pytest.approx(one.gradients.norms["gnorm"].item(), rel=1e-6)
    for p, q in zip(plain, scaled, strict=True):
        assert torch.allclose(p, q, rtol=1e-6)


@pytest.mark.parametrize("correct", [False, True])
def test_an_update_that_overflows_is_left_out_and_the_next_one_is_done_with_half_the_scale(correct):
    params = parameters()
    optimizer = optimizer_for(params, bias_correction=correct)
    optimizer.scale_losses()
    optimizer.backward(sum((p**2).sum() for p in params))
    first = optimizer.clip_grad_norm(1.0)
    optimizer.step()
    before, state = [p.detach().clone() for p in params], copy.deepcopy(optimizer.state_dict())
    optimizer.zero_grad()
    optimizer.backward(sum((p**2).sum() for p in params) * float("inf"))
    # that of the update before: fairseq ends a run where it is not finite
    assert optimizer.clip_grad_norm(1.0) == first
    optimizer.step()
    after = optimizer.state_dict()
    assert after["scaled_losses"] == {"scale": loss_scale.INITIAL / 2, "since": 0.0}
    for p, old in zip(params, before, strict=True):
        assert torch.equal(p, old)
    for index, own in after["state"].items():
        assert all(torch.equal(value, state["state"][index][name]) for name, value in own.items())
    optimizer.zero_grad()
    optimizer.backward(sum((p**2).sum() for p in params))
    assert params[0].grad[0, 0].item() == pytest.approx(2 * loss_scale.INITIAL / 2 * params[0][0, 0].item())
    optimizer.clip_grad_norm(1.0)
    optimizer.step()
    assert not torch.equal(params[0], before[0])


def test_weights_in_half_precision_are_refused():
    with pytest.raises(InputError, match="--autocast fp16 needs weights in float32"):
        optimizer_for([torch.nn.Parameter(torch.ones(2, 2, dtype=torch.bfloat16))]).scale_losses()
