"""Changes to fairseq's update: it must not wait for a GPU, nor do anew each time what has not changed; and it says more when it fails."""

import functools
import json
import logging
import sys
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fairseq_electra.compat.mistakes import input_error
from fairseq_electra.errors import DeviceFaultError, DivergedError
from fairseq_electra.files.text import atomic_write
from fairseq_electra.optim.gradients import Gradients
from fairseq_electra.optim.loss_scale import SMALLEST

logger = logging.getLogger(__name__)
# how fairseq's errors begin that every process raises in the same update; the second is that of several GPUs
OF_ALL = ("gradients are Nan/Inf", "Fatal error: gradients are inconsistent between workers")
LATEST = 8  # updates that a gradient which is not finite is noticed after, at the latest


def name_rows_of_infinite_losses() -> None:
    """trainer.py::Trainer.train_step, ``raise FloatingPointError("gradients are Nan/Inf")``: says nothing of the data.

    The rows of the update, those of all processes, are written to nonfinite_rows.json in the folder of the checkpoints.
    """
    from fairseq.trainer import Trainer

    plain = Trainer.train_step
    if getattr(plain, "names_rows", False):
        return

    def train_step(self, samples, raise_oom=False):
        try:
            return plain(self, samples, raise_oom)
        except FloatingPointError as error:
            rows = [int(row) for sample in samples if sample and "id" in sample for row in sample["id"]]
            # what is found in the sum of all gradients brings every process here; what one finds by itself it writes alone
            common = self.data_parallel_world_size > 1 and str(error).startswith(OF_ALL)
            rows = rows_of_all(self, rows) if common else rows
            if not common or self.is_data_parallel_master:
                _write_rows(self, rows)
            raise

    train_step.names_rows = True  # type: ignore[attr-defined]
    Trainer.train_step = train_step


def rows_of_all(trainer, rows: list[int]) -> list[int]:
    """Gather the rows of all processes, in order of their numbers; all of them must call this."""
    from fairseq.distributed import utils

    return [row for rows in utils.all_gather_list(rows, trainer.data_parallel_process_group) for row in rows]


def _write_rows(trainer, rows: list[int]) -> None:
    report = {"update": trainer.get_num_updates(), "epoch": _epoch_of(trainer), "rows": rows}
    path = Path(trainer.cfg.checkpoint.save_dir) / "nonfinite_rows.json"
    with atomic_write(path) as stream:
        stream.write(json.dumps(report) + "\n")
    logger.error(f"loss or gradient is not finite at update {report['update']}; the {len(rows)} rows are written to {path}")


def save_no_crash_of_wrong_input() -> None:
    """trainer.py::Trainer.train_step, ``self.save_checkpoint(..."crash.pt"``: for every error in the forward pass.

    Where that is a sentence on wrong options or data, there is nothing to look into.
    """
    from fairseq.trainer import Trainer

    plain = Trainer.save_checkpoint
    if getattr(plain, "knows_wrong_input", False):
        return

    @functools.wraps(plain)
    def save_checkpoint(self, filename, *args, **kwargs):
        if Path(filename).name == "crash.pt" and input_error(sys.exc_info()[1]) is not None:
            return None
        return plain(self, filename, *args, **kwargs)

    save_checkpoint.knows_wrong_input = True  # type: ignore[attr-defined]
    Trainer.save_checkpoint = save_checkpoint


def _epoch_of(trainer) -> int | None:
    dataset = trainer.task.datasets.get(trainer.cfg.dataset.train_subset)
    epoch = getattr(dataset, "_epoch", None)
    return None if epoch is None else int(epoch)


class _Done(NamedTuple):
    """An update that has been sent to the device, and what is on its way back."""

    number: int
    samples: list
    gradients: Gradients
    alone: bool  # else all processes must look in the same update
    hopeless: Tensor  # (), in the host's memory once it has arrived
    arrived: Any  # a CUDA event, or None where nothing is to wait for


def look_at_gradients_later() -> None:
    """trainer.py::Trainer.train_step, ``torch.isfinite(grad_norm).all()``: the host waits for the device in every update.

    On one GPU with ``electra_adam`` the device itself leaves out a step whose gradients are not finite, and all after it. The host
    learns of it a few updates later: then it does that update once more, with the same weights, for fairseq to see and say what
    happened. Before it validates or saves it waits for news of all updates. On a CPU, and on several GPUs, all stays as it was.

    Where losses are scaled (``--autocast fp16``), gradients that overflow are nothing to end a run for: the device leaves out that
    step alone. The host learns in the same way of a scale that has become too small; on several processes in the same update.
    """
    from fairseq.trainer import Trainer

    step, clip, lr_step = Trainer.train_step, Trainer.clip_grad_norm, Trainer.lr_step
    begin_valid_epoch, save_checkpoint = Trainer.begin_valid_epoch, Trainer.save_checkpoint
    if getattr(step, "looks_later", False):
        return

    @functools.wraps(step)
    def train_step(self, samples, raise_oom=False):
        gradients, number = gradients_of(self), self.get_num_updates()
        if gradients is not None:
            gradients.drop_nonfinite = would_wait(self)
        output = step(self, samples, raise_oom)
        if gradients is None or not gradients.may_be_dropped:
            return output
        _done(self).append(_Done(number, samples, gradients, gradients.drop_nonfinite, *_sent_back(gradients.hopeless)))
        last = self.get_num_updates() >= (self.cfg.optimization.max_update or float("inf"))
        look(self, 0 if last else LATEST)
        return output

    def look(self, unseen: int = 0) -> None:
        """Look at the updates that the device has reported on, and wait until at most so many are left."""
        done = _done(self)
        while done and (len(done) > unseen or done[0].arrived is None or (done[0].alone and done[0].arrived.query())):
            update = done.popleft()
            if update.arrived is not None:
                update.arrived.synchronize()
            if update.hopeless.tolist():  # not bool(), which would count as a wait
                done.clear()
                if update.gradients.loss_scale is not None:
                    raise DivergedError(
                        f"--autocast fp16: losses overflow even where they are scaled by less than {SMALLEST:g}; use --autocast bf16 if "
                        "the GPU has it, a lower --lr or a longer --warmup-updates"
                    )
                again(self, update)

    def again(self, update: _Done) -> None:
        """Do a bad update once more, fairseq's way, which ends the run."""
        update.gradients.drop_nonfinite = False
        update.gradients.dropped.zero_()
        self.set_num_updates(update.number)
        step(self, update.samples)
        raise DeviceFaultError(f"gradients were Nan/Inf at update {update.number}, but not when it was done once more")

    def clip_grad_norm(self, clip_norm):
        norm, gradients = clip(self, clip_norm), gradients_of(self)
        # fairseq asks this number whether it is finite; the true one goes into the log by another way
        return torch.zeros(()) if gradients is not None and gradients.drop_nonfinite else norm

    def first(plain):
        def look_first(self, *args, **kwargs):
            look(self)
            return plain(self, *args, **kwargs)

        return look_first

    train_step.looks_later = True  # type: ignore[attr-defined]
    Trainer.train_step, Trainer.clip_grad_norm = train_step, clip_grad_norm
    # fairseq calls the first before it validates, the second before it saves, and the third at the end of an epoch
    Trainer.begin_valid_epoch, Trainer.save_checkpoint, Trainer.lr_step = first(begin_valid_epoch), first(save_checkpoint), first(lr_step)


def would_wait(trainer) -> bool:
    """Tell whether the host would wait for the device to read a number, and no other process needs it."""
    return trainer.cuda and trainer.data_parallel_world_size == 1


def gradients_of(trainer) -> Gradients | None:
    """Return the gradients as ``electra_adam`` keeps them; None with other optimizers, and for weights in half precision."""
    return getattr(trainer.optimizer, "gradients", None)


def _done(trainer) -> deque[_Done]:
    return vars(trainer).setdefault("_updates_not_looked_at", deque())


def _sent_back(flag: Tensor) -> tuple[Tensor, Any]:
    if flag.device.type == "cpu":
        return flag, None
    host = torch.empty((), pin_memory=True)
    host.copy_(flag, non_blocking=True)
    event = torch.cuda.Event()
    event.record()
    return host, event


def log_norms_of_networks() -> None:
    """trainer.py::Trainer._reduce_and_log_stats: reads the norm to see whether it is finite, and every metric to return its value.

    Nobody uses these values. With ``electra_adam`` the norms of the two networks are logged as well, all of them as tensors that are
    read when a line of the log is written.
    """
    from fairseq.logging import metrics
    from fairseq.trainer import Trainer

    plain = Trainer._reduce_and_log_stats
    if getattr(plain, "logs_networks", False):
        return

    @functools.wraps(plain)  # with the marks of other changes
    def _reduce_and_log_stats(self, logging_outputs, sample_size, grad_norm=None):
        gradients = None if grad_norm is None else gradients_of(self)
        if gradients is None or not gradients.norms:
            return plain(self, logging_outputs, sample_size, grad_norm)
        metrics.log_speed("ups", 1.0, priority=100, round=2)
        for place, (name, norm) in enumerate(gradients.norms.items()):
            metrics.log_scalar(name, norm, priority=400 + place, round=3)
        clip_norm = self.cfg.optimization.clip_norm
        if clip_norm > 0:
            metrics.log_scalar("clip", (gradients.norms["gnorm"] > clip_norm) * 100.0, priority=500, round=1)
        if gradients.loss_scale is not None:
            metrics.log_scalar("loss_scale", gradients.loss_scale.scale, priority=700, round=4, weight=0)
        self.task.reduce_metrics(logging_outputs, self.get_criterion())
        return {"sample_size": sample_size}

    _reduce_and_log_stats.logs_networks = True  # type: ignore[attr-defined]
    Trainer._reduce_and_log_stats = _reduce_and_log_stats


def save_metrics_as_numbers() -> None:
    """trainer.py::Trainer.state_dict, ``"metrics": metrics.state_dict()``: puts tensors into a checkpoint where a metric was one."""
    from fairseq.trainer import Trainer

    plain = Trainer.state_dict
    if getattr(plain, "saves_numbers", False):
        return

    @functools.wraps(plain)
    def state_dict(self):
        state = plain(self)
        for meters in state["extra_state"]["metrics"].values():
            for _, _, _, meter in meters:
                meter.update({name: value.item() for name, value in meter.items() if isinstance(value, Tensor) and value.dim() == 0})
        return state

    state_dict.saves_numbers = True  # type: ignore[attr-defined]
    Trainer.state_dict = state_dict


def seed_own_device() -> None:
    """trainer.py::Trainer._set_seed, ``utils.set_torch_seed(seed)``: saves the state of all generators, and seeds every device there is.

    Where there is no GPU, PyTorch writes down a stack for each that it cannot seed, in every update. The numbers drawn stay the same.
    """
    from fairseq.trainer import Trainer

    plain = Trainer._set_seed
    if getattr(plain, "seeds_own_device", False):
        return

    def _set_seed(self):
        if self.tpu:
            plain(self)
            return
        seed = self.cfg.common.seed + self.get_num_updates()
        torch.default_generator.manual_seed(seed)
        if self.cuda:
            torch.cuda.manual_seed(seed)

    _set_seed.seeds_own_device = True  # type: ignore[attr-defined]
    Trainer._set_seed = _set_seed
