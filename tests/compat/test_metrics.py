"""The changes to fairseq's metrics and to the state of a task work, and fairseq still needs them."""

import inspect
from pathlib import Path

import fairseq_cli.train
import pytest
import torch
from fairseq.distributed import utils as distributed_utils
from fairseq.logging import meters, metrics
from fairseq.tasks.sentence_prediction import SentencePredictionTask
from fairseq.tasks.sentence_ranking import SentenceRankingTask
from fairseq.trainer import Trainer
from torch.utils._python_dispatch import TorchDispatchMode

from fairseq_electra.tasks.electra_pretraining import ElectraPretrainingTask
from fairseq_electra.tasks.question_answering import QuestionAnsweringTask
from tests.helpers.fairseq_source import source_of


def test_fairseq_still_reads_the_figures_of_every_update():
    assert "logging_output = agg.get_smoothed_values()" in source_of(Trainer._reduce_and_log_stats)


class Task:
    """Logs a figure that counts how often it is looked at."""

    looked_at = 0

    def figure(self, aggregator):
        self.looked_at += 1
        return 0.5

    def reduce_metrics(self, logging_outputs, criterion):
        metrics.log_scalar("loss", 2.0, round=1)
        metrics.log_scalar("ppl", 4.0)
        metrics.log_derived("figure", self.figure)


def test_an_updates_figures_are_computed_when_they_are_looked_at():
    metrics.reset()
    trainer = Trainer.__new__(Trainer)
    trainer.task, trainer._criterion, trainer.tpu, trainer._warn_once = Task(), None, False, set()
    stats = trainer._reduce_and_log_stats([], 7)
    assert [*stats] == ["loss", "figure", "sample_size"] and trainer.task.looked_at == 0
    assert dict(stats) == {"loss": 2.0, "figure": 0.5, "sample_size": 7} and trainer.task.looked_at == 1
    with metrics.aggregate() as aggregate:
        trainer.task.reduce_metrics([], None)
    assert type(aggregate.get_smoothed_values()) is not type(stats)


def test_fairseq_still_resumes_its_own_meters_alone():
    assert "meter = globals()[meter_cls]()" in inspect.getsource(meters.MetersDict.load_state_dict)
    assert meters.SumsOnDevice.__module__ == "fairseq_electra.pretraining.meters"


class Copies(TorchDispatchMode):
    """Notes of each copy to another device whether the host may go on meanwhile."""

    def __init__(self):
        super().__init__()
        self.may_go_on = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if "_to_copy" in str(function) and kwargs.get("device") is not None:
            self.may_go_on.append(bool(kwargs.get("non_blocking")))
        return function(*args, **kwargs)


def plain_all_reduce_dict():
    (plain,) = (
        cell.cell_contents
        for cell in distributed_utils.all_reduce_dict.__closure__
        if callable(cell.cell_contents)
    )
    return plain


def test_fairseq_still_waits_for_the_device_where_processes_add_up_their_figures(monkeypatch):
    """On a device without numbers, where a read would be an error."""
    reductions = []
    monkeypatch.setattr(
        distributed_utils, "all_reduce", lambda buffer, group: reductions.append(buffer.numel())
    )
    data = {
        "tokens": 5,
        "loss": torch.ones((), device="meta"),
        "counts": torch.ones(2, 3, device="meta"),
        "rows": 2.0,
    }
    found = {}
    for name, function in (("plain", plain_all_reduce_dict()), ("ours", distributed_utils.all_reduce_dict)):
        with Copies() as copies:
            summed = function(data, torch.device("meta"), None)
        found[name] = copies.may_go_on
        assert [*summed] == [*data] and [value.shape for value in summed.values()] == [(), (), (2, 3), ()]
        assert {(value.device.type, value.dtype) for value in summed.values()} == {("meta", torch.float64)}
    assert found == {"plain": [False], "ours": [True]} and reductions == [2, 7, 9]


def test_figures_of_processes_add_up_as_in_fairseq(monkeypatch):
    monkeypatch.setattr(distributed_utils, "all_reduce", lambda buffer, group: buffer.mul_(2))
    data = {
        "tokens": 2**40 + 1,
        "loss": torch.tensor(0.5),
        "counts": torch.tensor([1, 2**30 + 1]),
        "rows": 2.0,
    }
    expected, found = (
        function(data, torch.device("cpu"), None)
        for function in (plain_all_reduce_dict(), distributed_utils.all_reduce_dict)
    )
    assert found["tokens"] == 2**41 + 2 and [*found] == [*expected]
    for name, value in found.items():
        assert torch.equal(value, expected[name])


def test_fairseq_still_forgets_what_a_task_remembers():
    source = Path(inspect.getfile(Trainer)).read_text(encoding="utf-8")
    assert source.count("task_state") == 1 and '"task_state": self.task.state_dict()' in source


@pytest.mark.parametrize(("reset", "expected"), [(False, {"seen": 3}), (True, None)])
def test_what_a_task_remembers_comes_back_except_in_a_new_run(monkeypatch, reset, expected):
    """Through the changed methods, with fairseq's own replaced by a file in memory."""
    from fairseq_electra.compat import task_state

    class Remembering:
        memory = None

        def load_state_dict(self, state):
            self.memory = state

    state = {"task_state": {"seen": 3}, "extra_state": {"epoch": 1}}
    monkeypatch.setattr(Trainer, "state_dict", lambda self: state)
    monkeypatch.setattr(
        Trainer, "load_checkpoint", lambda self, *args, reset_meters=False: state["extra_state"]
    )
    task_state.restore_task_state()
    trainer = Trainer.__new__(Trainer)
    trainer.task = Remembering()
    assert trainer.state_dict()["extra_state"] == {"epoch": 1, "task_state": {"seen": 3}}
    assert trainer.load_checkpoint("checkpoint_last.pt", reset_meters=reset)["epoch"] == 1
    assert trainer.task.memory == expected


@pytest.mark.parametrize(
    ("task", "metric", "kept"),
    [
        ("sentence_prediction", "loss", False),
        ("sentence_prediction", "accuracy", True),
        ("electra_pretraining", "mask_token_accuracy", False),
        ("electra_pretraining", "loss", True),
    ],
)
def test_a_best_score_in_other_units_is_forgotten(monkeypatch, caplog, task, metric, kept):
    from types import SimpleNamespace

    from fairseq_electra.compat import units

    saved = {"extra_state": {"best": 0.5}}
    monkeypatch.setattr(Trainer, "state_dict", lambda self: {"extra_state": {}})
    monkeypatch.setattr(Trainer, "load_checkpoint", lambda self: dict(saved["extra_state"]))
    units.drop_best_score_in_old_units()
    trainer = Trainer.__new__(Trainer)
    trainer.cfg = SimpleNamespace(
        checkpoint=SimpleNamespace(best_checkpoint_metric=metric), task=SimpleNamespace(_name=task)
    )
    monkeypatch.setattr(Trainer, "is_data_parallel_master", True)
    assert ("best" in trainer.load_checkpoint()) == kept and (
        f"the best {metric} so far, 0.5" in caplog.text
    ) != kept
    saved["extra_state"] |= trainer.state_dict()["extra_state"]
    assert trainer.load_checkpoint()["best"] == 0.5


@pytest.mark.parametrize(
    "task_class", [ElectraPretrainingTask, SentencePredictionTask, SentenceRankingTask, QuestionAnsweringTask]
)
def test_fairseq_still_counts_validation_as_time_of_training_and_no_task_does(task_class, monkeypatch):
    assert ".start" not in inspect.getsource(
        fairseq_cli.train.validate
    ) and "start_time" not in inspect.getsource(fairseq_cli.train.validate)
    task, now = task_class.__new__(task_class), [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    metrics.reset()
    with metrics.aggregate("train"), metrics.aggregate("train_inner"):
        metrics.log_speed("wps", 0.0)  # starts the clock
        now[0] += 2
        task.begin_valid_epoch(1, None)
        for _ in range(2):  # sets
            now[0] += 50
            task.post_validate(None, {}, None)
        now[0] += 3
        metrics.log_speed("wps", 500.0)
    for name in ("default", "train", "train_inner"):
        assert metrics.get_meter(name, "wps").avg == 100.0, name
