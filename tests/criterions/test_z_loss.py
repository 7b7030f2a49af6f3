"""The loss on the normaliser of the generator's softmax, against the plain transcription."""

import numpy as np
import pytest
import torch
from fairseq.logging import metrics

from fairseq_electra.electra.fast.cross_entropy import cross_entropy
from fairseq_electra.electra.losses import LossWeights, MaskedBatch, SpecialIds, masked_lm
from fairseq_electra.electra.model import GeneratorOutput
from fairseq_electra.electra.objectives import OBJECTIVES
from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.metrics import log_metrics
from tests.helpers.components import criterion_for
from tests.helpers.logged_sums import sums_of
from tests.reference import paper

WEIGHT, PAD, STEP = 0.03, 1, 1e-5
TRAINED = [name for name, objective in OBJECTIVES.items() if objective.trains_generator]
OTHERS = ["unigram", "uniform", "electric"]


def test_objectives_either_train_a_generator_or_have_no_z_loss():
    assert {*TRAINED, *OTHERS, "frozen_generator"} == set(OBJECTIVES)


def transcribed(sample, p):
    """Add up the rows' losses, with the parameters ``p`` of a small model of two layers."""
    net, total = {name: tensor.numpy() for name, tensor in sample["net_input"].items()}, 0.0
    for row, target in enumerate(net["target"]):
        length, at = int((~net["padding_mask"][row]).sum()), net["masked_positions"][row][target != PAD]
        read = net["src_tokens"][row][:length], net["segment_ids"][row][:length], np.ones(length, bool)
        total += paper.z_loss(paper.generator_logits(*read, p, 1, 2, True)[at])
    return total


@pytest.mark.parametrize("objective", TRAINED)
def test_the_loss_of_each_objective_has_the_transcribed_part(make_task, make_model, objective):
    task = make_task()
    dataset = task.load_dataset("valid")
    sample = dataset.collater(dataset.sizes.argsort()[[0, 4]])
    assert (sample["target"] == PAD).any()
    size = {"generator_hidden_size": 0.5} if objective == "mlm" else {}
    model = make_model(task, objective=objective, positions="rotary", **size).double()
    found = []
    for weight in (0.0, WEIGHT):
        model.zero_grad()
        loss, _, log = criterion_for(task, z_loss=weight)(model, sample)
        loss.backward()
        gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
        found.append((loss.item(), gradients, log))
    (plain, before, plain_log), (loss, after, log) = found
    assert "z_sum" not in plain_log and log.keys() - plain_log.keys() == {"z_sum"}
    p = {name: tensor.double().numpy().copy() for name, tensor in model.state_dict().items()}
    expected = transcribed(sample, p)
    assert log["z_sum"].item() == pytest.approx(expected, rel=1e-9)
    assert loss - plain == pytest.approx(WEIGHT * expected, rel=1e-9)
    for name in ("generator_head.bias", "generator.layers.0.output.weight"):
        part = after[name] - before[name]
        entry = np.unravel_index(int(part.abs().argmax()), part.shape)
        moved = [{**p, name: p[name].copy()} for _ in range(2)]
        moved[0][name][entry] += STEP
        moved[1][name][entry] -= STEP
        numerical = (transcribed(sample, moved[0]) - transcribed(sample, moved[1])) / (2 * STEP)
        assert part[entry].item() == pytest.approx(WEIGHT * numerical, rel=1e-5), name
    for name, gradient in before.items():
        if name.startswith(("discriminator", "language_head", "generator_baseline")):
            assert torch.equal(gradient, after[name]), name


@pytest.mark.parametrize("objective", OTHERS)
def test_an_objective_without_a_generator_that_learns_refuses_the_weight(make_task, make_model, objective):
    task = make_task()
    make_model(task, objective=objective)
    with pytest.raises(InputError, match=r"does not use --z-loss 0\.5; leave it out"):
        criterion_for(task, z_loss=0.5)


def test_a_frozen_generator_and_a_negative_weight_are_refused(make_task):
    task = make_task()
    with pytest.raises(InputError, match="--z-loss must be a number of 0 or more, got -1"):
        criterion_for(task, z_loss=-1.0)
    task.objective = OBJECTIVES["frozen_generator"]
    with pytest.raises(InputError, match=r"does not use --z-loss 0\.5; leave it out"):
        criterion_for(task, z_loss=0.5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_log_normalizer_and_its_gradient_are_the_transcriptions(dtype):
    generator = torch.Generator().manual_seed(0)
    logits = (torch.randn(3, 5, 71, generator=generator, dtype=torch.float64) * 4).to(dtype).requires_grad_()
    target = torch.randint(71, (3, 5), generator=generator)
    found = cross_entropy(logits, target).log_normalizer
    plain = logits.detach().double().numpy()
    expected = np.array([[np.log(np.exp(slot).sum()) for slot in row] for row in plain])
    assert np.allclose(
        found.detach().double().numpy(), expected, rtol=1e-12 if dtype == torch.float64 else 1e-5
    )
    found.square().sum().backward()
    gradient = 2 * expected[..., None] * paper.softmax(plain)
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 1e-2}[dtype]
    assert np.allclose(logits.grad.double().numpy(), gradient, rtol=tolerance, atol=1e-7)


def test_rows_weigh_as_their_masked_tokens_do():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 11, generator=generator, dtype=torch.float64)
    batch = MaskedBatch(
        src_tokens=torch.full((2, 6), 10),
        padding_mask=torch.zeros(2, 6, dtype=torch.bool),
        masked_positions=torch.tensor([[1, 2, 3], [4, 0, 0]]),
        target=torch.tensor([[5, 6, 7], [8, PAD, PAD]]),
        row_weights=torch.tensor([0.5, 3.0]),
    )
    sums = masked_lm(
        GeneratorOutput(logits, logits.softmax(-1)),
        batch,
        SpecialIds(PAD, 3, 10),
        LossWeights(0.0, 0.0, 0.0, 0.0, z=WEIGHT),
    )
    rows = logits.numpy()
    expected = 0.5 * paper.z_loss(rows[0]) + 3.0 * paper.z_loss(rows[1, :1])
    assert sums["z_sum"].item() == pytest.approx(expected, rel=1e-12)
    assert sums["loss"].item() == pytest.approx(WEIGHT * expected, rel=1e-12)


def test_the_log_has_the_mean_where_there_is_a_weight():
    logs = [sums_of(update) for update in (1, 2)]
    with metrics.aggregate(new_root=True) as plain:
        log_metrics(logs)
    with metrics.aggregate(new_root=True) as found:
        log_metrics([log | {"z_sum": torch.tensor(100.0)} for log in logs])
    assert "z_loss" not in plain.get_smoothed_values()
    masked = sum(log["sample_size"] for log in logs)
    assert found.get_smoothed_values()["z_loss"] == pytest.approx(200 / masked, abs=1e-4)
