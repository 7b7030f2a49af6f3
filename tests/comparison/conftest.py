"""A plan for the small text."""

import pytest

from tests.helpers.plans import plan_file
from tests.helpers.small_model import TINY_NET


@pytest.fixture
def small(tmp_path, data_bin):
    """Return a function that writes a plan for the small text."""

    def write(**changes):
        options = {
            "data": data_bin,
            "budgets": "[6e3, 12e3]",
            "seeds": "[1]",
            "rates": "[1e-3, 3e-3]",
            "batch_size": 8,
            "tokens_per_sample": 64,
            "warmup_updates": 2,
            "options": " ".join(TINY_NET),
        }
        return plan_file(tmp_path, **options | changes)

    return write
