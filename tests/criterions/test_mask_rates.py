"""Losses at a masking rate that changes: batches add up; drawn rates give the bound of masked diffusion."""

import itertools
import math
import types

import numpy as np
import pytest
import torch

from fairseq_electra.electra.objectives import OBJECTIVES
from fairseq_electra.pretraining.thinned_batches import thinned
from fairseq_electra.pretraining.unread_options import unread_options
from tests.helpers.components import criterion_for

PAD = 1
FALLING = {"mask_prob": 0.3, "mask_prob_schedule": "linear:.1@20"}
DRAWN = {"mask_prob_schedule": "uniform", "leave_unmasked_prob": 0.0}


def gradient(model, criterion, samples):
    """The gradient of an update over these batches, and the summed sizes that it is divided by."""
    model.zero_grad()
    total = 0
    for sample in samples:
        loss, size, _ = criterion(model, sample)
        loss.backward()
        total += size
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]) / total


@pytest.mark.parametrize("changes", [{}, {"pack": True, "rows": "blocks"}], ids=str)
def test_thinned_batch_has_the_masks_of_a_task_at_the_lower_rate(make_task, changes):
    high, low = make_task(**FALLING, **changes), make_task(mask_prob=0.15, **changes)
    dataset, expected = high.load_dataset("train"), low.load_dataset("train")
    dataset.min_batch_size = 12  # the last rows only fill up
    for each in (dataset, expected):
        each.set_epoch(3)
    whole, plain = dataset.collater(range(10)), expected.collater(range(10))
    before = {name: tensor.clone() for name, tensor in whole["net_input"].items()}
    found = thinned(whole, 0.15, PAD)
    used = found["target"] != PAD
    assert found["nmasked"] == plain["nmasked"] == used.sum() < whole["nmasked"]
    assert not used[10:].any()
    for row in range(10):
        slots = plain["target"][row] != PAD
        at, tokens = found["net_input"]["masked_positions"][row][used[row]], found["target"][row][used[row]]
        assert torch.equal(at, plain["net_input"]["masked_positions"][row][slots])
        assert torch.equal(tokens, plain["target"][row][slots])
    assert found["net_input"]["target"] is found["target"]
    for name, tensor in whole["net_input"].items():
        assert torch.equal(tensor, before[name]), name
    again = thinned(whole, 0.3, PAD)  # nothing to take back
    assert all(torch.equal(again["net_input"][name], before[name]) for name in before)
    assert "slot_ranks" not in plain and "slot_ranks" not in high.load_dataset("valid").collater([0])


@pytest.mark.parametrize("objective", ["electra", "all_tokens_mlm", "unigram", "mlm"])
def test_gradient_of_a_thinned_batch_is_that_of_its_halves(make_task, make_model, objective):
    task = make_task(**FALLING)
    dataset = task.load_dataset("train")
    model = make_model(
        task, objective=objective, temperature_schedule="linear:2@20" if objective == "electra" else None
    )
    model = model.double()
    criterion = criterion_for(task)
    task.masked_share.set_update(5, torch.device("cpu"))

    def parts(*batches):
        return [thinned(dataset.collater(batch), task.mask_rate.schedule.at(5), PAD) for batch in batches]

    whole = gradient(model, criterion, parts(range(16)))
    halves = gradient(model, criterion, parts(range(8), range(8, 16)))
    assert (whole - halves).norm() < 1e-12 * whole.norm()


def test_share_of_the_loss_follows_the_rate(make_task, make_model):
    task = make_task(**FALLING)
    dataset, model = task.load_dataset("train"), make_model(task)
    criterion, whole = criterion_for(task, gen_weight=0.0), dataset.collater(range(64))
    for updates, rate in ((0, 0.3), (10, 0.2), (20, 0.1), (30, 0.1)):
        task.masked_share.set_update(updates, torch.device("cpu"))
        loss, size, log = criterion(model, thinned(whole, rate, PAD))
        expected = 50.0 * log["disc_sum"].item() / whole["ntokens"]
        # of 64 tokens .1 are masked, which are 6: a share of .094
        assert loss.item() / size == pytest.approx(expected, rel=0.06)
    valid = task.load_dataset("valid").collater(range(16))
    model.eval()
    loss, size, log = criterion.eval()(model, valid)
    assert loss.item() == pytest.approx(50.0 * task.masked_share.value / 3 * log["disc_sum"].item(), rel=1e-6)
    assert size / valid["ntokens"] == pytest.approx(0.1, rel=0.1), "validated at the last rate"


@pytest.mark.parametrize("objective", [name for name in OBJECTIVES if name != "frozen_generator"])
def test_gradient_at_drawn_rates_is_that_of_its_halves(make_task, make_model, objective):
    unread = unread_options(OBJECTIVES[objective])
    task = make_task(**{name: value for name, value in DRAWN.items() if name not in unread})
    dataset, model = task.load_dataset("train"), make_model(task, objective=objective).double()
    criterion = criterion_for(task)
    whole = gradient(model, criterion, [dataset.collater(range(12))])
    halves = gradient(model, criterion, [dataset.collater(range(5)), dataset.collater(range(5, 12))])
    assert (whole - halves).norm() < 1e-12 * whole.norm()


def test_masked_tokens_at_drawn_rates_weigh_one_over_the_rate(make_task, make_model):
    task = make_task(**DRAWN)
    dataset, model = task.load_dataset("train"), make_model(task, objective="mlm").double()
    dataset.min_batch_size = 10
    sample = dataset.collater(range(8))
    criterion = criterion_for(task)
    loss, size, log = criterion(model, sample)
    net = {name: tensor.numpy() for name, tensor in sample["net_input"].items()}
    logits = model(**sample["net_input"]).gen_logits.detach().numpy()
    expected = candidates_of_all = 0
    for row in range(8):
        masked = [k for k, token in enumerate(net["target"][row]) if token != PAD]
        candidates = len(masked) + sum(
            3 <= token < len(task.dictionary) - 1 for token in net["src_tokens"][row]
        )
        for k in masked:
            scores = logits[row, k]
            nll = np.log(np.exp(scores).sum()) - scores[net["target"][row, k]]
            expected += nll * candidates / len(masked)
        candidates_of_all += candidates
    assert loss.item() == pytest.approx(expected, rel=1e-9) and size == candidates_of_all
    assert log["sample_size"] - log["unmasked_in_size"] == sample["nmasked"] == (net["target"] != PAD).sum()
    weights = sample["row_weights"].unsqueeze(1) * (sample["target"] != PAD)
    assert weights.sum().item() == pytest.approx(size) and not weights[8:].any()


def test_weight_of_an_exact_number_of_masks_gives_the_bound_of_masked_diffusion():
    """The bound of MDLM (arXiv 2406.07524, equation 10) masks each token by chance, at every rate in turn.

    Its integral over the rates is computed numerically for a row of four tokens, whose losses depend on which
    others are masked in an arbitrary way.
    """
    n, rng = 4, np.random.default_rng(0)
    sets = [set(chosen) for m in range(n + 1) for chosen in itertools.combinations(range(n), m)]
    losses = [sum(rng.random() for _ in chosen) for chosen in sets]
    rates = (np.arange(20_000) + 0.5) / 20_000
    by_chance = sum(
        (rates ** len(chosen) * (1 - rates) ** (n - len(chosen)) / rates).mean() * loss
        for chosen, loss in zip(sets, losses, strict=True)
    )
    # ours: m drawn from 1 to n, then a set of m at random, with the weight n / m
    exact = sum(
        loss / n / math.comb(n, len(chosen)) * n / len(chosen)
        for chosen, loss in zip(sets, losses, strict=True)
        if chosen
    )
    assert exact == pytest.approx(by_chance, rel=1e-6)


def test_logged_metrics_at_drawn_rates_are_means_over_their_own_tokens(make_task, make_model):
    from fairseq_electra.pretraining.metrics import share_of

    task = make_task(**DRAWN)
    model = make_model(task, objective="mlm").eval()
    sample = task.load_dataset("valid").collater(range(8))
    loss, size, log = criterion_for(task).eval()(model, sample)
    total = {
        name: float(value) if torch.is_tensor(value) and value.numel() == 1 else value
        for name, value in log.items()
    }
    assert share_of(total, "masked_lm_loss") == pytest.approx(loss.item() / size)
    pieces = sample["nmasked"] - total["masked_unknown"]
    assert share_of(total, "masked_lm_accuracy") == pytest.approx(100 * total["masked_lm_correct"] / pieces)
    entropy = share_of(total, "gen_entropy")
    assert entropy == pytest.approx(total["gen_entropy_sum"] / sample["nmasked"])
    assert entropy <= math.log(len(task.dictionary))


def test_validation_on_training_rows_has_the_last_rate_too(make_task, make_model):
    task = make_task(**FALLING)
    dataset, model = task.load_dataset("train"), make_model(task, objective="mlm")
    sample = dataset.collater(range(8))
    _, size, _ = task.valid_step(sample, model, criterion_for(task).eval())
    assert size == thinned(sample, 0.1, PAD)["nmasked"] < sample["nmasked"] / 2


def test_a_batch_that_only_fills_up_is_not_thinned(make_task, make_model):
    """fairseq's filling is a batch of the validation set, which has nothing to thin."""
    task = make_task(**FALLING)
    model, criterion = make_model(task), criterion_for(task)
    batch = task.load_dataset("valid").collater([0, 1])
    assert "slot_ranks" not in batch
    optimizer = types.SimpleNamespace(backward=lambda loss: loss.backward())
    loss, _, _ = task.train_step(batch, model, criterion, optimizer, 3, ignore_grad=True)
    assert loss == 0 and not any(p.grad.any() for p in model.parameters() if p.grad is not None)
