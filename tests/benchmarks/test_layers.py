"""The comparison of the layers of BERT and ModernBERT."""

import pytest
import torch

from benchmark import layers
from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.electra.sizes import EncoderSizes


@pytest.mark.parametrize("size", ["tiny", "small", "base"])
def test_the_last_variant_has_the_traits_of_the_modern_sizes(size):
    *_, last = layers.variants(size).values()
    modern = MODEL_SIZES[f"modern_{size}"].encoder
    for name in ("positions", "norm", "norm_kind", "feed_forward", "no_linear_bias", "local_window"):
        value = last.get(name, EncoderSizes.__dataclass_fields__[name].default)
        assert value == getattr(modern, name)


def test_all_variants_have_as_many_parameters_and_the_report_becomes_a_table():
    rows = layers.compare("tiny", 16, 32, torch.bfloat16, rounds=1)
    numbers = [row["parameters"] for row in rows]
    assert max(numbers) < 1.01 * min(numbers) and len(set(numbers)) > 2
    found = [{"size": "tiny", "length": 16, "dtype": "bfloat16", "rows": rows}]
    table = layers.markdown({"machine": {"processor": "a processor", "torch": "2"}, "found": found})
    assert "bfloat16, rows of 16" in table and f"| {layers.BERT} | {numbers[0]:,} | " in table
    assert table.count("\n| + ") == len(rows) - 1
