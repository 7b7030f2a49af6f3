"""The paper's way of counting operations gives the paper's figures."""

import pytest

from fairseq_electra.electra.paper_flops import pretraining_flops
from fairseq_electra.electra.size_table import MODEL_SIZES

BERT_VOCABULARY = 30522
# rows of a batch, length of a row, updates; printed by google-research/electra flops_computation.py; the
# paper's figure (tables 1 and 2)
PUBLISHED = {
    "small": (128, 128, 1_000_000, 1.293743798272e18, 1.4e18),
    "base": (256, 512, 766_000, 6.424541834277683e19, 6.4e19),
    "large": (2048, 512, 400_000, 7.117606040895488e20, 7.1e20),
}


@pytest.mark.parametrize("size", PUBLISHED)
def test_the_counts_of_the_script_and_of_the_paper(size):
    rows, width, updates, of_script, of_paper = PUBLISHED[size]
    sizes = MODEL_SIZES[size].encoder
    generator = MODEL_SIZES[size].generator
    count = pretraining_flops(sizes, generator, BERT_VOCABULARY, width, rows * updates)
    assert count == pytest.approx(of_script, rel=1e-9)
    # table 1 gives the small model BERT-Small's figure, 1.4e18, where the script has 1.29e18
    assert count == pytest.approx(of_paper, rel=0.08 if size == "small" else 0.01)


def test_it_grows_with_the_rows_and_with_what_is_predicted():
    sizes = MODEL_SIZES["tiny"].encoder
    both = sizes, sizes.generator(0.5, 1.0), 8192, 128
    assert pretraining_flops(*both, 20) == 2 * pretraining_flops(*both, 10)
    # one more predicted token: dense layer with bias, GELU, LayerNorm, and its scores with their softmax
    one_more = pretraining_flops(*both, 1, masked_share=21 / 128) - pretraining_flops(*both, 1)
    assert one_more == pytest.approx(2 * (128 * (2 * 64 + 1 + 8 + 5) + 8192 * (2 * 128 + 5 + 2)))
