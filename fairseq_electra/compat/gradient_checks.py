"""The host checks whether gradients are finite a few updates later, so that it need not wait for the GPU.

trainer.py::Trainer.train_step, ``torch.isfinite(grad_norm).all()``, waits for the device in every update.

Here, on one GPU with ``electra_adam``, the device itself skips a step whose gradients are not finite, and all
steps after it. The host is told a few updates later. It then repeats that update with the same weights, so
that fairseq sees the gradients and reports what happened. Before it validates or saves, the host waits for
news of all updates. On a CPU, and on several GPUs, the check stays as it was.

Where losses are scaled (``--autocast fp16``), gradients that overflow are no reason to end a run: the device
skips that step alone. The host is told in the same way of a scale that has become too small; on several
processes in the same update.
"""

import functools
from collections import deque
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fairseq_electra.errors import DeviceFaultError, DivergedError
from fairseq_electra.optim.gradients import Gradients
from fairseq_electra.optim.loss_scale import SMALLEST

MAX_UNCHECKED = 8  # updates


class _Update(NamedTuple):
    """An update that has been sent to the device, and the flag that is on its way back.

    Attributes:
        number: Number of updates before it.
        samples: Its batches.
        gradients: The gradients of the run.
        independent: Whether no other process must check it in the same update.
        hopeless: Whether the run cannot go on. In the host's memory once it has arrived. Shape: ().
        arrived: A CUDA event, or None where there is nothing to wait for.
    """

    number: int
    samples: list
    gradients: Gradients
    independent: bool
    hopeless: Tensor
    arrived: Any


def check_gradients_later() -> None:
    """Change train_step and clip_grad_norm of Trainer, and three methods before which the host waits."""
    from fairseq.trainer import Trainer

    plain_step, plain_clip = Trainer.train_step, Trainer.clip_grad_norm

    @functools.wraps(plain_step)
    def train_step(self, samples, raise_oom=False):
        gradients, number = gradients_of(self), self.get_num_updates()
        if gradients is not None:
            gradients.drop_nonfinite = would_wait(self)
        output = plain_step(self, samples, raise_oom)
        if gradients is None or not gradients.may_be_dropped:
            return output
        flag = _copy_to_host(gradients.hopeless)
        _unchecked(self).append(_Update(number, samples, gradients, gradients.drop_nonfinite, *flag))
        is_last = self.get_num_updates() >= (self.cfg.optimization.max_update or float("inf"))
        check(self, 0 if is_last else MAX_UNCHECKED)
        return output

    def check(self, max_unchecked: int = 0) -> None:
        """Check the updates that the device has reported on, and wait until at most so many are unchecked."""
        unchecked = _unchecked(self)
        while unchecked and (len(unchecked) > max_unchecked or _is_known(unchecked[0])):
            update = unchecked.popleft()
            if update.arrived is not None:
                update.arrived.synchronize()
            if update.hopeless.tolist():  # not bool(), which would count as a wait
                unchecked.clear()
                if update.gradients.loss_scale is not None:
                    raise DivergedError(
                        f"--autocast fp16: losses overflow even when scaled by less than {SMALLEST:g}; use "
                        "--autocast bf16 if the GPU has it, a lower --lr or a longer --warmup-updates"
                    )
                repeat(self, update)

    def repeat(self, update: _Update) -> None:
        """Repeat a bad update as fairseq does it, which ends the run."""
        update.gradients.drop_nonfinite = False
        update.gradients.dropped.zero_()
        self.set_num_updates(update.number)
        plain_step(self, update.samples)
        raise DeviceFaultError(
            f"gradients were Nan/Inf at update {update.number}, but not when the update was repeated"
        )

    def clip_grad_norm(self, clip_norm):
        norm, gradients = plain_clip(self, clip_norm), gradients_of(self)
        # fairseq checks whether this number is finite; the true norm is logged by compat/gradient_norms.py
        return torch.zeros(()) if gradients is not None and gradients.drop_nonfinite else norm

    def checked_first(plain):
        @functools.wraps(plain)
        def after_check(self, *args, **kwargs):
            check(self)
            return plain(self, *args, **kwargs)

        return after_check

    Trainer.train_step, Trainer.clip_grad_norm = train_step, clip_grad_norm
    # fairseq calls these before it validates, before it saves, and at the end of an epoch
    for name in ("begin_valid_epoch", "save_checkpoint", "lr_step"):
        setattr(Trainer, name, checked_first(getattr(Trainer, name)))


def would_wait(trainer) -> bool:
    """Tell whether the host would wait for the device to read a number, and no other process needs it."""
    return trainer.cuda and trainer.data_parallel_world_size == 1


def gradients_of(trainer) -> Gradients | None:
    """Return the gradients of ``electra_adam``; None for others, and for weights in half precision."""
    return getattr(trainer.optimizer, "gradients", None)


def _unchecked(trainer) -> deque[_Update]:
    return vars(trainer).setdefault("_unchecked_updates", deque())


def _is_known(update: _Update) -> bool:
    return update.arrived is None or (update.independent and update.arrived.query())


def _copy_to_host(flag: Tensor) -> tuple[Tensor, Any]:
    """Start to copy a flag to the host; returns the copy, and the event after which it is there."""
    if flag.device.type == "cpu":
        return flag, None
    host = torch.empty((), pin_memory=True)
    host.copy_(flag, non_blocking=True)
    event = torch.cuda.Event()
    event.record()
    return host, event
