"""One count of operations, against PyTorch's counter and the published ones."""

import pytest
import torch

from fairseq_electra.electra.flops import (
    STEP_BY_FORWARD,
    electra_flops,
    known_peak,
    masked_lm_flops,
    peak_flops,
)
from fairseq_electra.electra.size_table import MODEL_SIZES
from tests.helpers.flops import MASKED, ROWS, VOCABULARY, WIDTH, flops_of_an_update

BERT_VOCABULARY = 30522
# printed by google-research/electra flops_computation.py, which counts a step as two forward passes, and a
# look-up as a product with the table
PUBLISHED = {"small": (128, 128, 1_000_000, 1.29e18), "base": (256, 512, 766_000, 6.42e19)}


@pytest.mark.parametrize("objective", ["electra", "mlm"])
def test_the_count_of_a_step_is_that_of_pytorch(objective):
    sizes = MODEL_SIZES["tiny"].encoder
    count = masked_lm_flops(sizes, VOCABULARY)
    if objective == "electra":
        count = electra_flops(sizes, MODEL_SIZES["tiny"].generator, VOCABULARY)
    counted = flops_of_an_update(objective)
    assert count.of_step(ROWS * WIDTH, ROWS * WIDTH**2, ROWS * MASKED) == pytest.approx(counted, rel=1e-6)


@pytest.mark.parametrize("size", PUBLISHED)
def test_the_count_of_a_whole_pre_training_is_that_of_the_paper(size):
    rows, width, updates, published = PUBLISHED[size]
    sizes = MODEL_SIZES[size].encoder
    count = electra_flops(sizes, MODEL_SIZES[size].generator, BERT_VOCABULARY)
    tokens = rows * width * updates
    forward = count.of_step(tokens, tokens * width, 0.15625 * tokens) / STEP_BY_FORWARD
    look_ups = 2 * 2.0 * BERT_VOCABULARY * sizes.embedding_size * tokens
    assert 2 * (forward + look_ups) == pytest.approx(published, rel=0.03)


def test_a_peak_is_looked_up_by_whole_words():
    names = {
        "NVIDIA A100-SXM4-80GB": 312e12,
        "NVIDIA H100 80GB HBM3": 989e12,
        "NVIDIA H100 PCIe": 756e12,
        "NVIDIA L40S": 362e12,
    }
    names |= {"NVIDIA L4": 121e12, "NVIDIA L40": None, "NVIDIA RTX A1000": None, "NVIDIA A10G": None}
    assert {name: known_peak(name) for name in names} == names


def test_a_peak_that_is_not_known_is_measured():
    found = peak_flops("cpu", torch.float32)
    assert 1e8 < found < 1e14 and peak_flops("cpu", torch.float32) == found
