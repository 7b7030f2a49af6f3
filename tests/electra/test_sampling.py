import numpy as np
import pytest
import torch

from fairseq_electra.electra.fast import sampling as fast
from fairseq_electra.electra.fast.cross_entropy import cross_entropy, probabilities
from fairseq_electra.electra.sampling import corrupt, sample_tokens, sampling_probabilities
from tests.reference import paper


@pytest.mark.parametrize("vocabulary", [5, 128, 300, 1000])
@pytest.mark.parametrize("sample_tokens", [sample_tokens, fast.sample_tokens])
def test_samples_follow_the_softmax(sample_tokens, vocabulary):
    torch.manual_seed(vocabulary)
    logits = torch.randn(vocabulary) * 2
    draws = 100_000
    sampled = sample_tokens(probabilities(logits).expand(draws, -1), torch.rand(draws, dtype=torch.float64))
    observed = torch.bincount(sampled, minlength=vocabulary).double()
    expected = logits.double().softmax(-1) * draws
    rare = expected < 5
    if rare.any():  # pooled, as the test wants
        observed = torch.cat([observed[~rare], observed[rare].sum()[None]])
        expected = torch.cat([expected[~rare], expected[rare].sum()[None]])
    chi_square = ((observed - expected) ** 2 / expected).sum().item()
    freedom = len(expected) - 1
    assert chi_square < freedom + 4 * (2 * freedom) ** 0.5


@pytest.mark.parametrize("vocabulary", [5, 127, 128, 129, 1000])
def test_sample_tokens_inverts_the_distribution_function_plainly_and_by_blocks(vocabulary):
    torch.manual_seed(0)
    logits = torch.randn(500, vocabulary, dtype=torch.float64) * 3
    uniforms = torch.rand(500, dtype=torch.float64)
    uniforms[:3] = torch.tensor([0.0, 1 - 2**-53, 0.5])
    expected = torch.tensor(
        [paper.draw(row.numpy(), u.item()) for row, u in zip(logits, uniforms, strict=True)]
    )
    for draw in (sample_tokens, fast.sample_tokens):
        drawn = draw(probabilities(logits), uniforms)
        assert (drawn == expected).sum() >= 498  # a draw may lie on a boundary that rounding moves
        assert drawn.max() < vocabulary


def test_no_token_of_probability_zero_is_drawn():
    probs = torch.zeros(4, 300)
    probs[:, [3, 200]] = 0.5
    for draw in (sample_tokens, fast.sample_tokens):
        sampled = draw(probs, torch.tensor([0.0, 0.499, 0.501, 0.99999999999], dtype=torch.float64))
        assert sampled.tolist() == [3, 3, 200, 200]


def test_temperature_and_disallow_correct():
    logits = torch.randn(3, 50)
    target = torch.tensor([4, 0, 49])
    bent = sampling_probabilities(logits, 0.5, target)
    expected = (logits / 0.5).softmax(-1)
    expected[torch.arange(3), target] = 0
    assert torch.allclose(bent, expected / expected.sum(-1, keepdim=True), atol=1e-6)


def test_a_sample_equal_to_the_original_is_not_replaced_and_spare_slots_write_nothing():
    src = torch.tensor([[0, 99, 11, 99, 2]])
    positions, target = torch.tensor([[1, 3, 0, 0]]), torch.tensor([[10, 12, 1, 1]])
    corrupted, replaced = corrupt(src, positions, target, torch.tensor([[10, 77, 55, 66]]), pad=1)
    assert corrupted.tolist() == [[0, 10, 11, 77, 2]]
    assert replaced.tolist() == [[False, False, False, True, False]]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_cross_entropy_and_its_gradient_are_pytorchs(dtype):
    torch.manual_seed(0)
    logits = (torch.randn(2, 7, 301, dtype=torch.float64) * 4).to(dtype).requires_grad_()
    target = torch.randint(301, (2, 7))
    weight = torch.rand(2, 7, dtype=torch.float64)
    scores = cross_entropy(logits, target)
    plain_logits = logits.detach().to(scores.nll.dtype).requires_grad_()
    plain = torch.nn.functional.cross_entropy(
        plain_logits.flatten(0, 1), target.flatten(), reduction="none"
    ).view(2, 7)
    tolerance = 1e-12 if dtype == torch.float64 else 2e-6
    assert torch.allclose(scores.nll, plain, rtol=tolerance, atol=tolerance)
    assert torch.equal(scores.best, plain_logits.argmax(-1))
    (scores.nll * weight).sum().backward()
    (plain * weight).sum().backward()
    assert torch.allclose(
        logits.grad,
        plain_logits.grad.to(dtype),
        rtol=1e-2 if dtype == torch.bfloat16 else 1e-5,
        atol=tolerance,
    )


def test_reference_gelu_is_exact():
    assert paper.gelu(np.array([1.0]))[0] == pytest.approx(
        torch.nn.functional.gelu(torch.tensor(1.0)).item(), rel=1e-6
    )
