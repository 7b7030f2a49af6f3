import pytest
import torch
from scipy.stats import chisquare

from benchmark.baselines import gumbel_sample


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_samples_follow_the_softmax_of_scores_in_any_type(dtype):
    torch.manual_seed(1)
    logits, draws = torch.randn(100).to(dtype), 200_000
    observed = torch.bincount(gumbel_sample(logits.expand(draws, -1)), minlength=100)
    expected = logits.double().softmax(-1) * draws
    assert expected.min() > 5 and chisquare(observed.numpy(), expected.numpy()).pvalue > 1e-3
