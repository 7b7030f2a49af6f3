"""Update clipping against a transcription, and the step on all tensors at once against the plain one."""

import copy

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fairseq_electra.optim import loss_scale
from fairseq_electra.optim.depths import mark_depths
from fairseq_electra.optim.electra_adam import LONG_AGO
from fairseq_electra.optim.gradients import mark_networks
from fairseq_electra.optim.update_clipping import clipped_rates, update_rms, update_rms_at_once
from tests.helpers.components import optimizer_for, parameters

GROWING = (1.0, 1.0, 1.0, 50.0, 0.5, 0.5, 0.02)  # how large the gradients of each update are


def stable_adamw(values, gradients, correct, lr=0.1, b1=0.9, b2=0.999, eps=1e-6, decay=0.01):
    """Wortsman et al. 2023, StableAdamW, of one tensor; returns its values and the RMS of each step."""
    m, v, found = np.zeros_like(values), np.zeros_like(values), []
    for t, g in enumerate(gradients, start=1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        mh, vh = (m / (1 - b1**t), v / (1 - b2**t)) if correct else (m, v)
        rms = np.sqrt(np.mean(g * g / np.maximum(vh, eps**2)))
        rate = lr / max(1.0, rms)
        values = values - rate * (decay if values.ndim > 1 else 0.0) * values
        values = values - rate * mh / (np.sqrt(vh) + eps)
        found.append(rms)
    return values, found


def drawn_gradients(params, sizes=GROWING, seed=2):
    """Draw the gradients of each parameter in some updates; entries of the first row are 0 in all."""
    rng = np.random.default_rng(seed)
    found = [[size * rng.standard_normal(tuple(p.shape)) for size in sizes] for p in params]
    for gradient in found[0]:
        gradient[0] = 0.0
    return found


def do_steps(optimizer, params, gradients):
    for update in range(len(gradients[0])):
        optimizer.zero_grad()
        for p, own in zip(params, gradients, strict=True):
            p.grad = torch.tensor(own[update], dtype=p.dtype)
        optimizer.step()


@pytest.mark.parametrize("correct", [True, False])
def test_steps_are_those_of_the_transcription(correct):
    params = parameters()
    gradients = drawn_gradients(params)
    expected = [
        stable_adamw(p.detach().double().numpy(), own, correct)
        for p, own in zip(params, gradients, strict=True)
    ]
    for _, rms in expected:  # some steps are clipped; without correction, the moments are too small in all
        assert max(rms) > 1.5 and (min(rms) < 0.5 or not correct)
    do_steps(optimizer_for(params, clip_updates=True, bias_correction=correct), params, gradients)
    for p, (wanted, _) in zip(params, expected, strict=True):
        assert np.allclose(p.detach().numpy(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("beta2", [0.0, 0.98, 0.999])
@pytest.mark.parametrize("eps", [0.0, 1e-6, 1e-2])
def test_update_rms_at_once_is_the_plain_one(beta2, eps):
    generator = torch.Generator().manual_seed(1)
    grads = [torch.randn(shape, generator=generator) * 1e-3 for shape in [(5, 7), (3,), (2, 3, 4), (1,)]]
    second = [torch.rand(grad.shape, generator=generator) * 1e-6 for grad in grads]
    grads[0][:3] = second[0][:3] = 0.0  # rows of tokens that no text has had
    steps = [torch.tensor(step) for step in (1.0, 7.0, LONG_AGO, 3000.0)]
    found = update_rms_at_once(grads, second, steps, beta2, eps)
    plain = torch.stack([update_rms(*each, beta2, eps) for each in zip(grads, second, steps, strict=True)])
    assert found.shape == (4,) and found.dtype == torch.float32 and torch.isfinite(found).all()
    assert torch.allclose(found, plain.float(), rtol=1e-5)
    if eps == 1e-6 and beta2 == 0.98:
        assert (plain > 1).any() and (plain < 1).any()


def test_a_rate_is_divided_by_an_rms_above_1_alone():
    assert clipped_rates(0.5, torch.tensor([0.1, 1.0, 2.0])).tolist() == [0.5, 0.5, 0.25]


def test_steps_of_gradients_that_do_not_grow_are_adams():
    gradients = drawn_gradients(parameters(), (1.0, 0.5, 0.25, 0.125))
    stable, plain = parameters(), parameters()
    do_steps(optimizer_for(stable, clip_updates=True), stable, gradients)
    do_steps(optimizer_for(plain), plain, gradients)
    for p, q in zip(stable, plain, strict=True):
        assert torch.allclose(p, q, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("max_norm", [0.0, 0.5])
@pytest.mark.parametrize("scaled", [False, True])
def test_factor_norm_and_loss_scale_are_those_of_a_step_on_ready_gradients(max_norm, scaled):
    ours, ready = parameters(), parameters()
    one, other = (optimizer_for(params, clip_updates=True) for params in (ours, ready))
    if scaled:
        one.scale_losses()
    for size in GROWING:
        one.zero_grad()
        one.backward(size * sum((p**2).sum() for p in ours))
        one.multiply_grads(torch.tensor(0.25))
        one.clip_grad_norm(max_norm)
        one.step()
        grads = [0.25 * size * 2 * p.detach() for p in ready]
        norm = torch.cat([grad.flatten() for grad in grads]).norm()
        factor = (max_norm / (norm + 1e-6)).clamp(max=1) if max_norm else 1.0
        for p, grad in zip(ready, grads, strict=True):
            p.grad = grad * factor
        other.step()
    for p, q in zip(ours, ready, strict=True):
        assert torch.allclose(p, q, rtol=1e-5)


@pytest.mark.parametrize("correct", [True, False])
def test_an_update_that_overflows_changes_nothing(correct):
    params = parameters()
    optimizer = optimizer_for(params, clip_updates=True, bias_correction=correct)
    optimizer.scale_losses()
    for size in (float("inf"), 1.0, float("inf")):
        before, state = [p.detach().clone() for p in params], copy.deepcopy(optimizer.state_dict()["state"])
        optimizer.zero_grad()
        optimizer.backward(size * sum((p**2).sum() for p in params))
        optimizer.clip_grad_norm(1.0)
        optimizer.step()
        stays = size == float("inf")
        assert all(torch.equal(p, old) == stays for p, old in zip(params, before, strict=True))
        for index, own in optimizer.state_dict()["state"].items():
            assert all(torch.equal(own[name], state[index][name]) for name in own) == stays
    assert optimizer.state_dict()["scaled_losses"]["scale"] == loss_scale.INITIAL / 4


@pytest.mark.parametrize(
    ("parts", "mark", "options", "distinct"),
    [
        (
            ("layers", "head"),
            lambda net: mark_depths(net, "head.", "layers.", "norm.", 2),
            {"layer_decay": 0.5},
            {0.1, 0.05, 0.025},
        ),
        (("discriminator", "generator_head"), mark_networks, {"generator_lr": 0.25}, {0.1, 0.025}),
    ],
    ids=["layers", "generator"],
)
def test_each_layer_and_the_generator_have_their_rates(parts, mark, options, distinct):
    torch.manual_seed(0)
    net = torch.nn.Module()
    setattr(net, parts[0], torch.nn.ModuleList(torch.nn.Linear(3, 3) for _ in range(2)))
    setattr(net, parts[1], torch.nn.Linear(3, 2))
    mark(net)
    optimizer = optimizer_for(net.parameters(), clip_updates=True, **options)
    params = [p for group in optimizer.param_groups for p in group["params"]]
    rates = [group["lr"] for group in optimizer.param_groups for _ in group["params"]]
    assert {round(rate, 6) for rate in rates} == distinct
    gradients = drawn_gradients(params)
    expected = [
        stable_adamw(p.detach().double().numpy(), own, True, lr=rate)[0]
        for p, own, rate in zip(params, gradients, rates, strict=True)
    ]
    do_steps(optimizer, params, gradients)
    for p, wanted in zip(params, expected, strict=True):
        assert np.allclose(p.detach().numpy(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kinds", [(torch.bfloat16, torch.bfloat16), (torch.float32, torch.float64)])
def test_weights_in_other_types_take_the_same_steps(kinds):
    params = [torch.nn.Parameter(p.detach().to(kind)) for p, kind in zip(parameters(), kinds, strict=True)]
    optimizer = optimizer_for(params, clip_updates=True)
    assert optimizer.gradients is None
    gradients = [
        [torch.tensor(g).to(p.dtype).double().numpy() for g in own]
        for p, own in zip(params, drawn_gradients(params), strict=True)
    ]
    expected = [
        stable_adamw(p.detach().double().numpy(), own, True)[0]
        for p, own in zip(params, gradients, strict=True)
    ]
    do_steps(optimizer, params, gradients)
    for p, wanted in zip(params, expected, strict=True):
        tolerance = 0.03 if p.dtype == torch.bfloat16 else 1e-5
        assert np.allclose(p.detach().double().numpy(), wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("before", [True, False])
def test_a_restored_run_goes_on_alike_and_may_have_begun_without(before):
    first, second = parameters(), parameters()
    one, two = optimizer_for(first, clip_updates=before), optimizer_for(second, clip_updates=True)
    gradients = drawn_gradients(first)
    do_steps(one, first, [own[:3] for own in gradients])
    two.load_state_dict(copy.deepcopy(one.state_dict()))
    with torch.no_grad():
        for p, q in zip(first, second, strict=True):
            q.copy_(p)
    do_steps(one, first, [own[3:] for own in gradients])
    do_steps(two, second, [own[3:] for own in gradients])
    assert all(torch.equal(p, q) == before for p, q in zip(first, second, strict=True))


class Reads(TorchDispatchMode):
    """Count how often a tensor's value is asked for; on a GPU the host would wait there."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
        return function(*args, **(kwargs or {}))


def test_the_host_reads_nothing():
    params = parameters()
    optimizer = optimizer_for(params, clip_updates=True)
    optimizer.scale_losses()
    optimizer.backward(sum((p**2).sum() for p in params))
    with Reads() as reads:
        optimizer.multiply_grads(torch.tensor(0.5))
        optimizer.clip_grad_norm(1.0)
        optimizer.step()
        assert reads.count == 0
        params[0].sum().item()
    assert reads.count == 1
