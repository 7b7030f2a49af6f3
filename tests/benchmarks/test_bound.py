"""The matrix products of the bound have the FLOPs that are counted for a step."""

import pytest
import torch

from benchmark.bound import products_alone, step_products
from fairseq_electra.electra.flops import electra_flops
from fairseq_electra.electra.size_table import MODEL_SIZES


@pytest.mark.parametrize("size", MODEL_SIZES)
def test_the_products_of_a_step_have_its_operations(size):
    sizes, generator = MODEL_SIZES[size].encoder, MODEL_SIZES[size].generator
    products = step_products(sizes, generator, 30522, rows=3, width=128, slots=19)
    count = electra_flops(sizes, generator, 30522)
    pairs = 3 * 128**2
    assert sum(each.flops for each in products) == pytest.approx(count.of_step(3 * 128, pairs, 3 * 19, pairs))


def test_the_products_run():
    sizes, generator = MODEL_SIZES["tiny"].encoder, MODEL_SIZES["tiny"].generator
    products_alone(step_products(sizes, generator, 100, rows=2, width=16, slots=2), torch.float32)()
