"""Every objective trains by fairseq-train, resumes exactly, and is fine-tuned."""

import pytest

from fairseq_electra.electra.objectives import OBJECTIVES
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import assert_same_weights, train_here, weights

RUN = [*TINY_NET, "--num-workers", "0", "--no-epoch-checkpoints", "--disable-validation", "--dropout", "0.1"]
VARIANTS = {name: ["--objective", name] for name in OBJECTIVES if name not in ("electra", "mlm")}
VARIANTS["gdes"] = ["--tie-embeddings", "gdes"]
IN_DEFAULT_RUN = ("all_tokens_mlm", "gdes")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in IN_DEFAULT_RUN else pytest.mark.long) for name in VARIANTS],
)
def test_a_run_resumes_exactly(tmp_path, data_bin, name):
    options = [*RUN, *VARIANTS[name]]
    train_here(data_bin, tmp_path / "whole", *options, "--max-update", "6")
    train_here(data_bin, tmp_path / "parts", *options, "--max-update", "3")
    parts = train_here(data_bin, tmp_path / "parts", *options, "--max-update", "6")
    assert parts.updates == 6 and len(parts.losses) == 3
    assert_same_weights(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
