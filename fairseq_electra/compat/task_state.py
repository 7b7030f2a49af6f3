"""The state of a task is restored from a checkpoint.

trainer.py::Trainer.load_checkpoint restores all that a checkpoint holds but ``task_state``, which
Trainer.state_dict puts there. Here it is copied into ``extra_state``, which load_checkpoint returns, in every
process.
"""

import functools
from collections.abc import Callable


def restore_task_state() -> None:
    """Change trainer.py::Trainer.state_dict and load_checkpoint."""

    def write(trainer, state: dict) -> None:
        state["extra_state"]["task_state"] = state["task_state"]

    def read(trainer, extra_state: dict, reset_meters: bool) -> None:
        if not reset_meters:
            trainer.task.load_state_dict(extra_state.get("task_state") or {})

    extend_checkpoints(write, read)


def extend_checkpoints(write: Callable[..., None], read: Callable[..., None] | None = None) -> None:
    """Write more into checkpoints, and read it from them.

    Args:
        write: A function of the trainer and the state that is about to be written, which it changes.
        read: A function of the trainer, the ``extra_state`` of a checkpoint, which it may change, and whether
            ``--reset-meters`` was given.
    """
    from fairseq.trainer import Trainer

    plain_state, plain_load = Trainer.state_dict, Trainer.load_checkpoint

    @functools.wraps(plain_state)
    def state_dict(self):
        state = plain_state(self)
        write(self, state)
        return state

    Trainer.state_dict = state_dict
    if read is None:
        return

    @functools.wraps(plain_load)
    def load_checkpoint(self, *args, **kwargs):
        extra_state = plain_load(self, *args, **kwargs)
        if extra_state is not None:
            read(self, extra_state, kwargs.get("reset_meters", False))
        return extra_state

    Trainer.load_checkpoint = load_checkpoint
