"""Few-shot fine-tuning: what is drawn, an update against a plain one, and that it learns."""

import copy

import numpy as np
import pytest
import torch

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.sentences import PREDICTION
from fairseq_electra.hub.interface import ElectraHubInterface
from fairseq_electra.probes.few_shot import FewShot, Labelled, draw, few_shot, fine_tune
from fairseq_electra.probes.prompt_scores import PROMPT_SCORES, score_prompts, scores_of
from fairseq_electra.probes.prompting import without_mirrored
from fairseq_electra.probes.prompts import make_prompts
from fairseq_electra.probes.templates import Template
from fairseq_electra.progress import Progress
from tests.helpers.small_model import randomize_parameters

INFO = TaskInfo("single", PREDICTION, 1, ("0", "1"), ("accuracy",), 64)
TEMPLATE = Template("{text} It is a {label}.", {"0": "class", "1": "name"})
ONE_RATE = FewShot(2, (1,), (3e-3,), 12)


@pytest.fixture
def net(pretrained) -> ElectraHubInterface:
    found = pretrained()
    randomize_parameters(found.model, seed=1, std=0.1)
    return ElectraHubInterface(found)


@pytest.fixture
def train(net) -> Labelled:
    """Texts whose first word tells the label."""
    texts = [f"{'returns' if i % 2 else 'the'} object {i}" for i in range(12)]
    examples = [[net.tokenizer.encode(text, add_special_tokens=False).ids] for text in texts]
    return Labelled(make_prompts(net, TEMPLATE, INFO, examples), np.arange(12) % 2)


def test_draw_takes_as_many_of_each_label_and_further_ones_for_several_rates():
    target = np.array([0, 1, 1, 2, 0, 2, 1, 0, 2, 1, 0, 2])
    settings = FewShot(2, (1,), (1e-4,), 1)
    drawn, further = draw(target, 3, settings, 1)
    assert sorted(target[drawn]) == [0, 0, 1, 1, 2, 2] and len(set(drawn)) == 6 and not further
    several = FewShot(2, (1,), (1e-4, 1e-3), 1)
    both = draw(target, 3, several, 1)
    assert both[0] == drawn and sorted(target[both[1]]) == [0, 0, 1, 1, 2, 2]
    assert set(both[0]) | set(both[1]) == set(range(12))
    assert both == draw(target, 3, several, 1) != draw(target, 3, several, 2)


def test_draw_refuses_more_examples_than_train_has():
    target = np.array([0, 0, 1, 0, 0])
    with pytest.raises(InputError, match="2 examples of each label were asked for, and train has 1 of label"):
        draw(target, 2, FewShot(2, (1,), (1e-4,), 1), 1)
    with pytest.raises(InputError, match="as many further ones to choose the learning rate, were asked for"):
        draw(target, 2, FewShot(1, (1,), (1e-4, 1e-3), 1), 1)


@pytest.mark.parametrize("score", PROMPT_SCORES)
def test_fine_tune_does_adams_updates_at_a_rate_that_falls_linearly(net, train, score):
    """Two updates on all examples, one batch each, against AdamW written out."""
    model, chosen = net.model.double(), list(range(6))
    start = copy.deepcopy(model.state_dict())
    tuned = fine_tune(model, train, chosen, score, 1e-3, 2, 1, Progress())
    assert all(torch.equal(value, start[name]) for name, value in model.state_dict().items())
    assert not tuned.training
    plain = copy.deepcopy(model)
    parameters = dict(plain.named_parameters())
    first, second = (dict.fromkeys(parameters, 0.0) for _ in range(2))
    for number, lr in enumerate((1e-3, 5e-4), 1):
        plain.zero_grad()
        scores = scores_of(plain, train.prompts, chosen, score)
        PROMPT_SCORES[score].loss(scores, torch.from_numpy(train.target[chosen])).backward()
        grads = {name: each.grad.clone() for name, each in parameters.items() if each.grad is not None}
        norm = sum(grad.square().sum() for grad in grads.values()).sqrt()
        for name, grad in grads.items():
            clipped = grad / max(1.0, float(norm) + 1e-6)
            first[name] = 0.9 * first[name] + 0.1 * clipped
            second[name] = 0.999 * second[name] + 0.001 * clipped.square()
            step = first[name] / (1 - 0.9**number)
            parameters[name].data -= lr * step / ((second[name] / (1 - 0.999**number)).sqrt() + 1e-8)
    for name, parameter in tuned.named_parameters():
        torch.testing.assert_close(parameter, parameters[name], rtol=0, atol=1e-8)


@pytest.mark.parametrize("score", PROMPT_SCORES)
def test_few_shot_learns_and_repeats(net, train, score):
    before = copy.deepcopy(net.model.state_dict())
    settings = FewShot(4, (1, 2), (3e-3,), 30)
    runs = few_shot(net.model, train, train.prompts, settings, score, "accuracy")
    assert all(torch.equal(value, before[name]) for name, value in net.model.state_dict().items())
    untrained = score_prompts(net.model, train.prompts, score).numpy()
    assert (untrained.argmax(1) == train.target).mean() < 1
    for run, seed in zip(runs, (1, 2), strict=True):
        assert (run.seed, run.lr) == (seed, 3e-3)
        assert (run.scores.argmax(1) == train.target).all()
    again = few_shot(net.model, train, train.prompts, FewShot(4, (2,), (3e-3,), 30), score, "accuracy")
    assert (again[0].scores == runs[1].scores).all() and (runs[0].scores != runs[1].scores).any()


def test_few_shot_takes_the_rate_that_scores_best_on_further_examples(net, train):
    """Labels to score are turned round: what chooses must not be the split that is scored."""
    settings = FewShot(3, (1,), (1e-9, 3e-3, 1e-8), 30)
    (run,) = few_shot(net.model, train, train.prompts, settings, "discriminator", "accuracy")
    assert run.lr == 3e-3 and (run.scores.argmax(1) == train.target).all()
    equal = FewShot(3, (1,), (1e-9, 1e-8), 1)
    assert few_shot(net.model, train, train.prompts, equal, "discriminator", "accuracy")[0].lr == 1e-9


def test_dropout_is_drawn_from_the_seed_and_leaves_the_generator_alone(pretrained, train):
    model = pretrained(dropout=0.3).model
    state = torch.get_rng_state()
    tuned = [
        fine_tune(model, train, list(range(8)), "discriminator", 1e-3, 1, seed, Progress())
        for seed in (1, 1, 2)
    ]
    assert torch.equal(torch.get_rng_state(), state)
    weights = [each.discriminator_head.prediction.weight for each in tuned]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_pairs_that_were_added_the_other_way_round_are_not_drawn():
    a, b, c = (1,), (2, 3), (4,)
    pairs = [(a, b), (c, c), (b, c), (a, b), (b, a), (c, c), (c, b), (b, a)]
    assert without_mirrored(pairs) == [0, 1, 2, 3, 5]
    assert without_mirrored([(a,), (b,), (a,)]) == [0, 1, 2]
