"""What a task tells its diagnosis of a run."""

from types import SimpleNamespace

import pytest

from fairseq_electra.electra.objectives import OBJECTIVES
from fairseq_electra.tasks import electra_pretraining


@pytest.mark.parametrize(("objective", "hidden"), [("electra", 100), ("frozen_generator", 0)])
def test_what_a_generator_predicts_counts_where_it_is_trained(make_task, monkeypatch, objective, hidden):
    task, told = make_task(), []
    task.objective = OBJECTIVES[objective]
    monkeypatch.setattr(electra_pretraining, "auc_of", lambda total: 0.97)
    monkeypatch.setattr(task.diagnosis, "follow", lambda interval: told.append(interval) or [])
    sums = {"updates": 10, "mask_token_count": 100, "mask_token_correct": 5}
    sums |= {"flagged_replaced": 90, "replaced": 100, "found": 90, "ntokens": 1000, "disc_sum": 100.0}
    meters = {
        electra_pretraining.SUMS: SimpleNamespace(read=lambda: sums),
        "num_updates": SimpleNamespace(val=10),
    }
    task._diagnose(meters)
    (interval,) = told
    assert interval.hidden == hidden and interval.replaced == 100
