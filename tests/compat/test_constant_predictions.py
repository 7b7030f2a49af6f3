"""In a validation on several processes, dummy batches are not counted among the predictions of a model."""

import types

import torch
from fairseq import trainer
from torch import nn

from fairseq_electra.compat import constant_predictions
from tests.helpers.fairseq_source import stock_source


def test_fairseq_still_puts_its_first_batch_in_place_of_an_empty_one():
    text = stock_source(trainer)
    assert (
        "if sample is None or len(sample) == 0:" in text
        and "sample, is_dummy_batch = self._prepare_sample(sample)" in text
    )


def test_an_empty_batch_is_not_counted(monkeypatch):
    head = nn.Linear(2, 3).eval()
    head.score_hook = constant_predictions._ScoreHook(1)
    head.register_forward_hook(head.score_hook)
    model = types.SimpleNamespace(classification_heads=nn.ModuleDict({"head": head}))
    task = types.SimpleNamespace(cfg=types.SimpleNamespace(classification_head_name="head"))
    run = types.SimpleNamespace(task=task, get_model=lambda: model)
    monkeypatch.setattr(
        trainer.Trainer, "valid_step", lambda self, sample, raise_oom=False: head(torch.ones(5, 2))
    )
    constant_predictions._mark_dummy_batches()
    for sample in ({"id": torch.arange(5)}, {}, {"id": torch.arange(5)}, None):
        trainer.Trainer.valid_step(run, sample)
    assert head.score_hook.range.number == 10 and head.score_hook.range.same(10) is not None
    # a task without heads
    trainer.Trainer.valid_step(
        types.SimpleNamespace(task=types.SimpleNamespace(), get_model=lambda: model), {}
    )
