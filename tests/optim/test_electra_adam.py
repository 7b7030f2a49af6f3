import copy

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from fairseq_electra.errors import InputError
from fairseq_electra.optim.electra_adam import LONG_AGO, ElectraAdam, ElectraAdamConfig


def optimizer_for(params, **changes):
    config = OmegaConf.merge(OmegaConf.structured(ElectraAdamConfig), {"lr": [0.1], **changes})
    return ElectraAdam(config, params)


def parameters():
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(3, 4)), torch.nn.Parameter(torch.randn(4))]


def plain_steps(values, gradients, steps, correct, lr=0.1, b1=0.9, b2=0.999, eps=1e-6, decay=0.01):
    """google-research/electra model/optimization.py, written out: no bias correction unless told, decay times the learning rate."""
    m = v = np.zeros_like(values)
    for t in range(1, steps + 1):
        g = gradients(values)
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        mh, vh = (m / (1 - b1**t), v / (1 - b2**t)) if correct else (m, v)
        values = values - lr * (mh / (np.sqrt(vh) + eps) + (decay if values.ndim > 1 else 0.0) * values)
    return values


@pytest.mark.parametrize("correct", [False, True])
def test_steps_are_the_originals(correct):
    params = parameters()
    expected = [plain_steps(p.detach().double().numpy(), lambda x: 2 * x, 7, correct) for p in params]
    optimizer = optimizer_for(params, bias_correction=correct)
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
    other = optimizer_for(params)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert all(state["step"] == LONG_AGO for state in other.optimizer.state.values())


def test_betas_may_be_written_as_text():
    assert optimizer_for(parameters(), adam_betas="(0.8, 0.98)").param_groups[0]["betas"] == (0.8, 0.98)


def test_one_flat_tensor_is_refused():
    with pytest.raises(InputError, match="--fp16-no-flatten-grads"):
        optimizer_for([torch.nn.Parameter(torch.zeros(10))])
