"""Comparisons at equal FLOPs are at equal FLOPs."""

import pytest

from tests.helpers.flops import ROWS, WIDTH, flops_of_an_update

UPDATES = {"electra": 19850, "mlm": 25095}  # examples/glue/README.md


def test_the_masked_language_model_of_the_glue_page_has_as_many_flops_as_electra():
    both, alone = flops_of_an_update("electra"), flops_of_an_update("mlm")
    assert both * UPDATES["electra"] == pytest.approx(alone * UPDATES["mlm"], rel=0.005)
    assert [round(flops / ROWS / WIDTH / 3 / 1e6, 2) for flops in (both, alone)] == [2.72, 2.15]
