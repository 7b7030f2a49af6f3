"""The gradient of a sum of losses is that of their mean times their number, over all batches of an update."""

import inspect

import fairseq.trainer
import pytest

from fairseq_electra.tasks.electra_pretraining import ElectraPretrainingTask
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import train_here


def test_fairseq_still_divides_by_the_size_of_the_batch_unless_it_is_0():
    assert "self.optimizer.multiply_grads(numer / (sample_size or 1.0))" in inspect.getsource(fairseq.trainer)


def test_a_sum_is_the_mean_times_the_number_of_losses_and_is_clipped(data_bin, tmp_path, monkeypatch):
    sizes, plain = [], ElectraPretrainingTask.train_step

    def recorded(self, *args, **kwargs):
        found = plain(self, *args, **kwargs)
        sizes.append(found[1])
        return found

    monkeypatch.setattr(ElectraPretrainingTask, "train_step", recorded)
    line = [*TINY_NET, "--update-freq", 2, "--max-update", 1, "--no-save", "--disable-validation"]
    logs = {
        name: train_here(data_bin, tmp_path / name, *line, "--clip-norm", norm, "--loss-reduction", name)
        for name, norm in (("mean", 1000), ("sum", 1000))
    }
    found = {
        name: next(each for each in log.records if each["subset"] == "train_inner")
        for name, log in logs.items()
    }
    assert len(sizes) == 4 and sizes[:2] == sizes[2:]
    assert found["sum"]["loss"] == found["mean"]["loss"]
    assert found["sum"]["gnorm"] / found["mean"]["gnorm"] == pytest.approx(sum(sizes[:2]), rel=2e-3)
    assert found["mean"]["clip"] == 0 and found["sum"]["clip"] == 100
