"""Gradients of the sum of a batch's losses, for ``--loss-reduction sum``.

trainer.py::Trainer.train_step, ``self.optimizer.multiply_grads(numer / (sample_size or 1.0))``, divides the
gradient by what the criterion returns as the size of the batch, before it is clipped, and has no option to
leave that out. Here the task returns 0 with each batch, which fairseq does not divide by. Batches of
--update-freq and of all processes are added up; the log keeps its means, which have counts of their own.
"""

import functools
from collections.abc import Callable
from typing import Any


def sum_losses_if_asked() -> None:
    """Change trainer.py::Trainer.__init__."""
    from fairseq.trainer import Trainer

    plain = Trainer.__init__

    @functools.wraps(plain)
    def initialize(self, cfg, task, *args, **kwargs):
        plain(self, cfg, task, *args, **kwargs)
        if str(getattr(self.cfg.optimizer, "loss_reduction", "mean")) == "sum":
            task.train_step = without_size(task.train_step)

    Trainer.__init__ = initialize


def without_size(train_step: Callable[..., tuple[Any, Any, dict]]) -> Callable[..., tuple[Any, int, dict]]:
    """Return a task's ``train_step`` that says 0 of the size of its batch."""

    @functools.wraps(train_step)
    def summed(*args, **kwargs):
        loss, _, log = train_step(*args, **kwargs)
        return loss, 0, log

    return summed
