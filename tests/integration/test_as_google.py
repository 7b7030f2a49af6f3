"""Training as the original's code does: it resumes exactly, and its log has the original's rates."""

import pytest

from tests.helpers.small_model import TINY_NET
from tests.helpers.training import assert_same_weights, train_here, weights

AS_GOOGLE = [
    *(*TINY_NET, "--disable-validation"),
    *(
        "--as",
        "google",
        "--lr-scheduler",
        "warmup_times_decay",
        "--warmup-updates",
        "4",
        "--total-num-update",
        "8",
    ),
]


def test_a_run_as_google_resumes_exactly_and_decays_under_its_warm_up(data_bin, tmp_path):
    whole = train_here(data_bin, tmp_path / "whole", *AS_GOOGLE, "--max-update", 6)
    train_here(data_bin, tmp_path / "parts", *AS_GOOGLE, "--max-update", 3)
    train_here(data_bin, tmp_path / "parts", *AS_GOOGLE, "--max-update", 6)
    assert_same_weights(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    rates = [record["lr"] for record in whole.records if record["subset"] == "train_inner"]
    # the rate in the log is that of the next update
    expected = [1e-3 * (1 - n / 8) * min(1, n / 4) for n in range(1, 7)]
    assert rates == pytest.approx(expected, rel=1e-4)
    once = [*AS_GOOGLE, "--duplicate-samples", "first", "--max-update", 1, "--no-save"]
    assert train_here(data_bin, tmp_path / "first", *once).losses != whole.losses[:1]  # of the same masks
