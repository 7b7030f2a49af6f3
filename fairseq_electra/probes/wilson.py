"""The interval of a share."""

import math
from statistics import NormalDist

LEVEL = 0.95


def wilson_interval(share: float, number: int, level: float = LEVEL) -> tuple[float, float]:
    """Compute Wilson's score interval of a share of independent cases.

    These are the shares p from which the observed one is at most z standard errors away, the standard error
    being that of p: (share - p)^2 <= z^2 p (1 - p) / number. Unlike a bootstrap, it has a width where all
    cases agree, and where there is one case alone.

    Args:
        share: the mean of what the cases count, each from 0 to 1. Where some count 1/2 the interval is wider
            than it need be, since such cases vary less than those that count 0 or 1.
        number: the number of cases, at least 1.
        level: the confidence level.

    Returns:
        the lower and the upper end, from 0 to 1.

    Source: Wilson 1927, Probable inference, the law of succession, and statistical inference.
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    scale = 1 + z * z / number
    middle = (share + z * z / (2 * number)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / number + (z / (2 * number)) ** 2)
    return max(0.0, middle - half), min(1.0, middle + half)
