"""Every objective's loss and gradient, against the plain transcription of the paper."""

import copy

import numpy as np
import pytest
import torch

from fairseq_electra.electra.objectives import OBJECTIVES
from fairseq_electra.pretraining.unread_options import unread_options
from tests.helpers.components import criterion_for
from tests.reference import paper

SHARE, GEN_WEIGHT, WEIGHT = 0.13, 1.5, 20.0
PAD, HEADS, GEN_HEADS, LAYERS = 1, 2, 1, 2
STEP = 1e-5  # of a parameter, for the numerical derivative
# tests/integration/test_frozen_generator.py tests the one that needs another run's generator
TRAINED_ALONE = [name for name in OBJECTIVES if name != "frozen_generator"]
MAIN_LM = ("replace_mlm", "all_tokens_mlm", "all_tokens_mlm_without_copy")


def parameters_of(model):
    return {name: tensor.double().numpy().copy() for name, tensor in model.state_dict().items()}


def drawn_in(row, p):
    """The tokens that are drawn for the slots of a row."""
    tokens, segments, at, _, uniforms = row
    if "token_probs" in p:
        return [paper.draw_from(p["token_probs"], uniform) for uniform in uniforms]
    scores = paper.generator_logits(tokens, segments, np.ones(len(tokens), bool), p, GEN_HEADS, LAYERS, True)
    return [paper.draw(score, uniform) for score, uniform in zip(scores[at], uniforms, strict=True)]


def adversarial_loss_of_row(row, corrupted, p, before):
    """The loss of an adversarial generator; no gradient flows through ``corrupted`` and ``before``."""
    tokens, segments, at, originals, _ = row
    read, written = (segments, np.ones(len(tokens), bool)), corrupted[at]
    scores = paper.generator_logits(tokens, *read, p, GEN_HEADS, LAYERS, True)[at]
    states = paper.generator_states(tokens, *read, before, GEN_HEADS, LAYERS, True)[at]
    judged = paper.discriminator_logits(corrupted, *read, before, HEADS, LAYERS, True)[at]
    rewards = paper.rewards(judged, written != originals)
    policy = paper.policy_loss(scores, written, rewards - paper.baseline(states, before))
    right, fitted = np.exp(-rewards), np.exp(-paper.baseline(states, p))
    return policy - (right * np.log(fitted) + (1 - right) * np.log(1 - fitted)).sum()


def loss_of_row(objective, row, drawn, p, before):
    """The loss of one row, with the parameters ``p``; no gradient flows through ``drawn`` and ``before``."""
    tokens, segments, at, originals, _ = row
    real, generated = np.ones(len(tokens), bool), 0.0
    text, corrupted = tokens.copy(), tokens.copy()
    text[at] = originals
    corrupted[at[::-1]] = drawn[::-1]  # of a position with two slots, the first is written last
    read = corrupted, segments, real, p, HEADS, LAYERS, True
    if objective == "adversarial":
        generated = GEN_WEIGHT * adversarial_loss_of_row(row, corrupted, p, before)
    elif "token_probs" not in p:
        scores = paper.generator_logits(tokens, segments, real, p, GEN_HEADS, LAYERS, True)
        generated = GEN_WEIGHT * paper.masked_lm_loss(scores[at], originals)
    if objective == "mlm":
        return generated
    if objective == "replace_mlm":
        return generated + WEIGHT * paper.masked_lm_loss(paper.main_logits(*read)[at], originals)
    if objective == "all_tokens_mlm_without_copy":
        return generated + WEIGHT * SHARE * paper.all_tokens_loss(paper.main_logits(*read), corrupted, text)
    judged = paper.discriminator_logits(*read)
    if objective == "all_tokens_mlm":
        copied = 1 - 1 / (1 + np.exp(-judged))
        loss = paper.all_tokens_loss(paper.main_logits(*read), corrupted, text, copied)
        return generated + WEIGHT * SHARE * loss
    if objective == "electra_at_masked":
        return generated + WEIGHT * paper.discriminator_loss(judged[at], corrupted[at] != originals)
    return generated + WEIGHT * SHARE * paper.discriminator_loss(judged, corrupted != text)


def electric_loss_of_row(row, p, p_of_noise):
    """The loss of one row of Electric; noise and its q, without gradient, are of ``p_of_noise``."""
    tokens, segments, at, originals, uniforms = row
    text = tokens.copy()
    text[at] = originals
    scores = paper.noise_logits(text, segments, p_of_noise, GEN_HEADS, LAYERS, True)
    corrupted, q = text.copy(), paper.softmax(scores)
    drawn = [paper.draw(score, uniform) for score, uniform in zip(scores[at], uniforms, strict=True)]
    corrupted[at[::-1]] = drawn[::-1]  # of a position with two slots, the first is written last
    can_be_noise = np.flatnonzero((text > 2) & (text < len(p["embeddings.tokens.weight"]) - 1))
    predicted = paper.noise_logits(text, segments, p, GEN_HEADS, LAYERS, True)[can_be_noise]
    generated = GEN_WEIGHT * SHARE * paper.masked_lm_loss(predicted, text[can_be_noise])
    read = corrupted, segments, np.ones(len(tokens), bool), p, HEADS, LAYERS, True
    loss = paper.noise_contrastive_loss(
        paper.discriminator_logits(*read)[can_be_noise],
        q[can_be_noise, corrupted[can_be_noise]],
        np.isin(can_be_noise, at),
    )
    return generated + WEIGHT * SHARE * loss


def rows_of(sample):
    net = {name: tensor.numpy() for name, tensor in sample["net_input"].items()}
    for row, target in enumerate(net["target"]):
        length, slots = int((~net["padding_mask"][row]).sum()), np.flatnonzero(target != PAD)
        yield (
            net["src_tokens"][row][:length],
            net["segment_ids"][row][:length],
            net["masked_positions"][row][slots],
            target[slots],
            net["sample_uniforms"][row][slots],
        )


def transcribed(objective, sample, p, moved=None):
    """The loss of a batch, with the tokens drawn by ``p``, and ``moved`` parameters in its place."""
    p_now = p if moved is None else moved
    if objective == "electric":
        return sum(electric_loss_of_row(row, p_now, p) for row in rows_of(sample))
    return sum(loss_of_row(objective, row, drawn_in(row, p), p_now, p) for row in rows_of(sample))


@pytest.fixture
def prepared(make_task, make_model):
    """Return a function from an objective to its model, criterion and a batch with padding and pairs."""

    def prepare(objective, masking=None, **changes):
        task = make_task(**masking or {})
        task.masked_share.value = SHARE
        dataset = task.load_dataset("valid")
        sample = dataset.collater([*dataset.sizes.argsort()[:2], *dataset.sizes.argsort()[-1:]])
        assert sample["net_input"]["padding_mask"].any() and sample["net_input"]["segment_ids"].any()
        model = make_model(task, objective=objective, positions="rotary", **changes).double()
        weights = {"gen_weight": GEN_WEIGHT, "disc_weight": WEIGHT}
        unread = unread_options(OBJECTIVES[objective])
        weights = {name: weight for name, weight in weights.items() if name not in unread}
        return model, criterion_for(task, **weights), sample

    return prepare


@pytest.mark.parametrize("objective", TRAINED_ALONE)
def test_loss_and_gradient_are_those_of_the_transcription(prepared, objective):
    options = {"generator_hidden_size": 0.5} if objective == "mlm" else {}
    model, criterion, sample = prepared(objective, **options)
    loss, _, _ = criterion(model, sample)
    loss.backward()
    p = parameters_of(model)
    assert loss.item() == pytest.approx(transcribed(objective, sample, p), rel=1e-9)
    rng, checked = np.random.default_rng(1), 0
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        # the embeddings of both networks, and one entry of every seventh of the others
        if not name.startswith("embeddings.tokens") and rng.random() > 1 / 7:
            continue
        entry = np.unravel_index(int(parameter.grad.abs().argmax()), parameter.shape)
        found = []
        for sign in (1, -1):
            moved = {**p, name: p[name].copy()}
            moved[name][entry] += sign * STEP
            found.append(transcribed(objective, sample, p, moved))
        numerical = (found[0] - found[1]) / (2 * STEP)
        assert parameter.grad[entry].item() == pytest.approx(numerical, rel=1e-5, abs=1e-6), name
        checked += 1
    assert checked >= 3


@pytest.mark.parametrize("objective", TRAINED_ALONE)
def test_a_position_that_is_drawn_twice_counts_twice(prepared, objective):
    options = {"generator_hidden_size": 0.5} if objective == "mlm" else {}  # of the transcription's heads
    model, criterion, sample = prepared(
        objective, {"masker": "with_replacement", "mask_prob": 0.3}, **options
    )
    at = [row[2].tolist() for row in rows_of(sample)]
    assert any(len(set(positions)) < len(positions) for positions in at)
    loss, size, _ = criterion(model, sample)
    assert size == sum(map(len, at))
    assert loss.item() == pytest.approx(transcribed(objective, sample, parameters_of(model)), rel=1e-9)


@pytest.mark.parametrize("objective", TRAINED_ALONE)
def test_one_batch_and_two_halves_add_up(make_task, make_model, objective):
    task = make_task()
    dataset, model = task.load_dataset("valid"), make_model(task, objective=objective).double()
    criterion = criterion_for(task)

    def gradient(*batches):
        model.zero_grad()
        logs = []
        for batch in batches:
            loss, _, log = criterion(model, dataset.collater(batch))
            loss.backward()
            logs.append(log)
        sums = {name: sum(log[name] for log in logs) for name in logs[0]}
        return torch.cat([parameter.grad.flatten() for parameter in model.parameters()]), sums

    (whole, sums), (halves, added) = gradient(range(16)), gradient(range(8), range(8, 16))
    assert (whole - halves).norm() < 1e-10 * whole.norm()
    for name, value in sums.items():
        assert torch.allclose(torch.as_tensor(value).double(), torch.as_tensor(added[name]).double()), name


@pytest.mark.parametrize("objective", MAIN_LM)
def test_the_most_likely_token_and_the_detection_score_follow_from_the_probabilities(prepared, objective):
    model, criterion, sample = prepared(objective)
    net = sample["net_input"]
    output = model(**net)
    _, _, log = criterion(model, sample)
    at, read, target = net["masked_positions"], output.corrupted_tokens, sample["target"]
    hidden = model.extract_features(read, net["segment_ids"], net["padding_mask"])
    probs = model.score_vocabulary(hidden).softmax(-1)
    if objective == "all_tokens_mlm":
        rate = output.disc_logits.sigmoid().unsqueeze(-1)
        probs = rate * probs + (1 - rate) * torch.nn.functional.one_hot(read.long(), probs.shape[-1])
    best = probs.argmax(-1).gather(1, at)
    assert log["main_lm_correct"] == ((best == target) & (target != PAD) & (target != 3)).sum()
    scores = model.discriminate(read, net["segment_ids"], net["padding_mask"])
    unlikely = 1 - probs.gather(-1, read.long().unsqueeze(-1)).squeeze(-1)
    assert torch.allclose(scores.sigmoid(), unlikely)
    original = (read + 1) % probs.shape[-1]
    again, chances = model.judge(read, original, net["segment_ids"], net["padding_mask"])
    assert torch.equal(again, scores)
    assert torch.allclose(chances.exp(), probs.gather(-1, original.long().unsqueeze(-1)).squeeze(-1))


def test_random_tokens_have_the_frequencies_of_the_text(make_task, make_model):
    task = make_task()
    ids = task.load_dataset("train").corpus.ids
    counts = np.bincount(ids, minlength=len(task.dictionary)).astype(float)
    counts[[0, 1, 2, len(counts) - 1]] = 0
    by_frequency = make_model(task, objective="unigram", randomize=False).token_probs
    assert np.allclose(by_frequency, counts / counts.sum(), atol=1e-7)
    uniform = make_model(task, objective="uniform", randomize=False).token_probs
    assert np.allclose(uniform, (counts > 0) / (counts > 0).sum(), atol=1e-7)


def test_random_tokens_are_drawn_alike_in_half_precision(make_task, make_model):
    task = make_task()
    task.load_dataset("train")
    model = make_model(task, objective="unigram", randomize=False)
    probs = model.token_probs.clone()
    model.bfloat16()
    assert torch.equal(model.token_probs, probs) and model.token_probs.dtype == torch.float32


def test_operations_are_counted_by_what_runs(make_task, make_model):
    """Count with PyTorch's own counter."""
    from torch.utils.flop_counter import FlopCounterMode

    task = make_task()
    sample = task.load_dataset("valid").collater(range(4))
    for objective in TRAINED_ALONE:
        model = make_model(task, objective=objective)
        with FlopCounterMode(display=False) as counter:
            model(**sample["net_input"])
        rows, length = sample["net_input"]["src_tokens"].shape
        slots = sample["target"].numel()
        count = model.flops(len(task.dictionary))
        expected = count.per_token * rows * length + count.per_pair * rows * length**2
        assert counter.get_total_flops() == expected + count.per_masked * slots, objective


def gradients(model, criterion, sample):
    model.zero_grad()
    criterion(model, sample)[0].backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def test_gradients_of_disentangled_embeddings_are_those_of_tables_apart(prepared):
    model, criterion, sample = prepared("electra", tie_embeddings="gdes")
    apart, _, _ = prepared("electra", tie_embeddings="none")
    state = model.state_dict()
    difference = state.pop("embeddings.tokens.difference.weight")
    assert torch.equal(
        state["embeddings.tokens.weight"], state["generator_embeddings.tokens.weight"] + difference
    )
    apart.load_state_dict(state)
    found, expected = gradients(model, criterion, sample), gradients(apart, criterion, sample)
    expected["embeddings.tokens.difference.weight"] = expected.pop("embeddings.tokens.weight")
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert torch.allclose(found[name], gradient, rtol=1e-12, atol=1e-13), name


def test_the_loss_of_the_discriminator_does_not_reach_the_table_of_the_generator(make_task, make_model):
    task = make_task()
    sample = task.load_dataset("valid").collater(range(4))
    model = make_model(task, tie_embeddings="gdes")
    found = gradients(model, criterion_for(task, gen_weight=0.0), sample)
    assert found["embeddings.tokens.difference.weight"].any()
    assert not found["generator_embeddings.tokens.weight"].any()


def test_disentangled_embeddings_start_equal_and_are_restored_exactly(make_task, make_model):
    task = make_task()
    model = make_model(task, tie_embeddings="gdes", randomize=False)
    assert torch.equal(model.embeddings.tokens.weight, model.generator_tokens.weight)
    model = make_model(task, tie_embeddings="gdes")
    other, twin = make_model(task, tie_embeddings="gdes", randomize=False), copy.deepcopy(model)
    other.load_state_dict(model.state_dict())
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, other.get_parameter(name)), name
    with torch.no_grad():
        twin.generator_tokens.weight.add_(1.0)  # a copy has tables of its own
    assert torch.allclose(twin.embeddings.tokens.weight, model.embeddings.tokens.weight + 1.0)
