"""``--compile`` changes the speed alone."""

import pytest
import torch
from torch._dynamo.utils import counters

from tests.helpers.small_model import TINY_NET
from tests.helpers.training import assert_same_weights, train_here, weights

# 81 rows of train: ten batches of eight and one of a single row
RUN = [
    *TINY_NET,
    *["--num-workers", "0", "--no-epoch-checkpoints", "--max-epoch", "2"],
    *["--required-batch-size-multiple", "1"],
]
SHORT = ["--num-hidden-layers", "1", "--validate-interval", "2"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("options", "same"),
    [
        # up to the short batch, for whose rows of padding the compiled run draws as well
        (["--dropout", "0.1", "--attention-dropout", "0.1"], 8),
        (["--pack", "--positions", "learned"], 22),
        pytest.param(["--checkpoint-activations", "--store-ema"], 22, marks=pytest.mark.by_hand),
    ],
    ids=["dropout", "packed, learned", "checkpoints of activations, average"],
)
def test_a_compiled_run_is_the_plain_one_without_a_graph_break_or_a_second_graph(
    tmp_path, data_bin, options, same
):
    plain = train_here(data_bin, tmp_path / "plain", *RUN, *SHORT, *options)
    torch._dynamo.reset()
    counters.clear()
    compiled = train_here(data_bin, tmp_path / "compiled", *RUN, *SHORT, *options, "--compile")
    assert compiled.losses[:same] == pytest.approx(plain.losses[:same], rel=1e-4)
    assert compiled.losses == pytest.approx(plain.losses, rel=0.1)
    # networks and losses, to train and to validate
    assert not counters["graph_break"] and counters["stats"]["unique_graphs"] == 4
    assert plain.updates == compiled.updates > 19
    own, others = weights(tmp_path / "compiled"), weights(tmp_path / "plain")
    assert own.keys() == others.keys()
    resumed = train_here(
        data_bin,
        tmp_path / "compiled",
        *RUN,
        *SHORT,
        *options,
        "--max-update",
        compiled.updates + 1,
        "--max-epoch",
        "3",
    )
    assert resumed.updates == compiled.updates + 1  # a compiled run's checkpoint is anyone's


@pytest.mark.long
def test_a_compiled_run_resumes_to_the_last_bit(tmp_path, data_bin):
    options = [*RUN, *SHORT, "--compile", "--dropout", "0.1"]
    train_here(data_bin, tmp_path / "whole", *options, "--max-update", "6")
    train_here(data_bin, tmp_path / "parts", *options, "--max-update", "3")
    train_here(data_bin, tmp_path / "parts", *options, "--max-update", "6")
    assert_same_weights(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
