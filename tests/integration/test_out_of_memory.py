"""A device with too little memory ends the run: no update, and no batch's gradients, are left out."""

import pytest
import torch
from fairseq import tasks, trainer
from fairseq.logging import metrics
from fairseq.trainer import Trainer

from fairseq_electra.errors import InputError
from tests.helpers.fairseq_source import stock_source
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import command, configuration

GPU = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore of it")
CPU = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:125] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to"
    " allocate 9 bytes."
)


@pytest.mark.parametrize(
    ("several", "error"), [(False, GPU), (True, GPU), (False, CPU)], ids=["one process", "several", "CPU"]
)
def test_an_update_whose_second_batch_finds_no_memory_ends_the_run_with_a_sentence(
    tmp_path, data_bin, monkeypatch, several, error
):
    metrics.reset()  # of other tasks
    given = [
        *TINY_NET,
        *["--num-workers", "0", "--batch-size", "8", "--update-freq", "2", "--tokens-per-sample", 32],
    ]
    cfg = configuration(command(data_bin, tmp_path, *given)[3:])
    task = tasks.setup_task(cfg.task)
    run = Trainer(cfg, task, task.build_model(cfg.model), task.build_criterion(cfg.criterion))
    samples = list(run.get_train_iterator(1).next_epoch_itr(shuffle=False))[:2]
    plain, calls = task.train_step, []

    def train_step(*args, **kwargs):
        calls.append(args)
        if len(calls) == 2:
            raise error
        return plain(*args, **kwargs)

    monkeypatch.setattr(task, "train_step", train_step)
    if several:
        monkeypatch.setattr(Trainer, "data_parallel_world_size", 2)
        monkeypatch.setattr(cfg.distributed_training, "distributed_world_size", 2)
    with pytest.raises(
        InputError, match="out of memory at update 1, in batches of 8 x 32: give a smaller --batch-size"
    ) as found:
        run.train_step(samples)
    assert "\n" not in str(found.value) and len(calls) == 2 and run.get_num_updates() == 0


def test_fairseq_still_goes_on_without_the_gradients_of_an_update():
    source = stock_source(trainer)
    assert (
        "has_oom = True\n                    if raise_oom:" in source
        and "ooms += 1\n                self.zero_grad()" in source
    )
    assert "out_of_memory" in Trainer.train_step.__code__.co_filename
