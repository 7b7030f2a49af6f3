"""Update clipping, z-loss and a padded vocabulary together, from training to an exported model."""

import json

import pytest

import fairseq_electra
from tests.helpers.commands import electra
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import assert_same_weights, train_here, weights

OPTIONS = ["--clip-updates", "--clip-norm", "0", "--z-loss", "1e-2", "--pad-vocab-to", "64"]
RUN = [
    *[*TINY_NET, *OPTIONS, "--num-workers", "0"],
    *["--no-epoch-checkpoints", "--validate-interval-updates", "3"],
]


@pytest.mark.long
def test_a_run_resumes_to_the_last_bit_and_its_checkpoint_is_used_as_any_other(
    tmp_path, data_bin, vocabulary
):
    whole = train_here(data_bin, tmp_path / "whole", *RUN, "--max-update", 6)
    begun = train_here(data_bin, tmp_path / "parts", *RUN, "--max-update", 3)
    resumed = train_here(data_bin, tmp_path / "parts", *RUN, "--max-update", 6)
    assert [*begun.losses, *resumed.losses] == whole.losses
    assert_same_weights(weights(tmp_path / "parts"), weights(tmp_path / "whole"))
    for subset in ("train_inner", "valid"):
        figures = [record["z_loss"] for record in whole.records if record["subset"] == subset]
        # log V = 6.9 of a generator that knows nothing
        assert figures and all(30 < figure < 60 for figure in figures)
    model = fairseq_electra.from_pretrained(tmp_path / "whole", "checkpoint_last.pt", vocabulary=vocabulary)
    assert model.fill_mask("a <mask> b")
    # which compares hidden states and scores of both networks
    electra("export", "--to", "transformers", tmp_path / "whole", tmp_path / "out", "--vocab", vocabulary)
    sizes = {json.loads(path.read_text())["vocab_size"] for path in (tmp_path / "out").rglob("config.json")}
    assert len(sizes) == 1 and sizes.pop() % 64 > 0
