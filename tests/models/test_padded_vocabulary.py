"""Scores of no token, behind those of the vocabulary, change nothing but the speed."""

import pytest
import torch

from fairseq_electra.electra.configuration import build
from fairseq_electra.electra.heads import MaskedLMHead
from fairseq_electra.electra.objectives import OBJECTIVES
from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.unread_options import unread_options
from tests.helpers.components import criterion_for
from tests.helpers.small_model import NET, randomize_parameters

# tests/integration/test_frozen_generator.py tests the one that needs another run's generator
PADDED = [
    name
    for name, objective in OBJECTIVES.items()
    if name != "frozen_generator" and "pad_vocab_to" not in unread_options(objective)
]


@pytest.fixture
def compared(make_task, make_model):
    """Return a function from an objective to a padded model, the same model without, and a batch."""

    def compare(objective, multiple=64, **changes):
        task = make_task()
        dataset = task.load_dataset("valid")
        padded, plain = (
            make_model(task, objective=objective, pad_vocab_to=pad_to, **changes)
            for pad_to in (multiple, None)
        )
        return task, padded, plain, dataset.collater(range(6))

    return compare


@pytest.mark.parametrize("objective", PADDED)
def test_losses_figures_and_gradients_are_those_of_the_vocabulary_as_it_is(compared, objective):
    task, padded, plain, sample = compared(objective)
    found = []
    for model in (padded.double(), plain.double()):
        loss, _, log = criterion_for(task).eval()(model.eval(), sample)
        loss.backward()
        found.append((log, {name: parameter.grad for name, parameter in model.named_parameters()}))
    (log, gradients), (plain_log, plain_gradients) = found
    assert log.keys() == plain_log.keys() and gradients.keys() == plain_gradients.keys()
    for name, value in plain_log.items():  # float32 of gen_entropy
        assert torch.allclose(torch.as_tensor(log[name]), torch.as_tensor(value), rtol=1e-6), name
    assert torch.allclose(log["loss"], plain_log["loss"], rtol=1e-12)
    for name, gradient in plain_gradients.items():
        assert gradients[name].shape == gradient.shape
        assert torch.allclose(gradients[name], gradient, rtol=1e-9, atol=1e-12), name


@pytest.mark.parametrize(
    "changes", [{}, {"untie_lm_head": True}, {"temperature": 2.0, "disallow_correct": True}]
)
def test_added_scores_are_never_drawn_and_have_no_probability(compared, changes):
    task, padded, plain, sample = compared("electra", **changes)
    size = len(task.dictionary)
    assert size % 64 > 0
    output, expected = padded(**sample["net_input"]), plain(**sample["net_input"])
    assert output.gen_logits.shape[-1] % 64 == 0 and size < output.gen_logits.shape[-1] < size + 64
    assert (output.gen_logits[..., size:] == float("-inf")).all()
    assert (output.gen_probs[..., size:] == 0).all()
    assert torch.allclose(output.gen_logits[..., :size], expected.gen_logits, rtol=1e-5, atol=1e-6)
    # the largest number below 1 draws the last token that can be drawn
    sample["net_input"]["sample_uniforms"].fill_(1 - 2**-24)
    assert padded(**sample["net_input"]).corrupted_tokens.max() < size


@pytest.mark.parametrize("multiple", [1, 8])
def test_pad_vocabulary_adds_what_is_missing(compared, multiple):
    task, padded, _, _ = compared("electra", multiple)
    heads = [module for module in padded.modules() if isinstance(module, MaskedLMHead)]
    assert [head.num_extra for head in heads] == [-len(task.dictionary) % multiple]


@pytest.mark.parametrize("multiple", [0, -64])
def test_a_multiple_that_cannot_be_is_refused(make_task, make_model, multiple):
    with pytest.raises(InputError, match=f"--pad-vocab-to must be 1 or more, got {multiple}"):
        make_model(make_task(), pad_vocab_to=multiple)


@pytest.mark.parametrize("tie", ["all", "gdes"])
def test_checkpoints_hold_the_vocabulary_as_it_is_so_that_a_run_may_pad_from_any_on(compared, tie):
    task, padded, plain, sample = compared("electra", tie_embeddings=tie)
    state, expected = padded.state_dict(), plain.state_dict()
    assert {name: tensor.shape for name, tensor in state.items()} == {
        name: tensor.shape for name, tensor in expected.items()
    }
    randomize_parameters(plain, seed=1)
    padded.load_state_dict(plain.state_dict())  # fairseq's models check names and shapes first
    losses = [criterion_for(task)(model, sample)[0].item() for model in (padded, plain)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_models_outside_of_training_have_the_vocabulary_as_it_is():
    options = {"model_size": "tiny", **NET, "generator_hidden_size": 0.5, "pad_vocab_to": 64}
    assert build(options, 1003).generator_head.num_extra == 0
