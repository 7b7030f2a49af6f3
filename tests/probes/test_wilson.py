"""Wilson's interval against SciPy's, and against the equation that it solves."""

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from fairseq_electra.probes.wilson import wilson_interval


@pytest.mark.parametrize(
    ("successes", "number"), [(0, 1), (1, 1), (3, 7), (50, 100), (100, 100), (786, 1508)]
)
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_wilson_interval_is_that_of_scipy(successes, number, level):
    expected = binomtest(successes, number).proportion_ci(level, method="wilson")
    found = wilson_interval(successes / number, number, level)
    assert found == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= found[0] <= successes / number <= found[1] <= 1 and found[0] < found[1]


def test_wilson_interval_of_a_share_with_ties_solves_its_equation():
    share, number, z = 4.5 / 8, 8, norm.ppf(0.975)
    roots = np.roots([1 + z**2 / number, -2 * share - z**2 / number, share**2])
    assert wilson_interval(share, number) == pytest.approx(sorted(roots), abs=1e-12)
