"""A change to fairseq's checkpoints: what a task remembers comes back with them."""

import functools
from collections.abc import Callable


def restore_task_state() -> None:
    """trainer.py::Trainer.load_checkpoint: takes all from a checkpoint but ``task_state``, which Trainer.state_dict puts there.

    It is laid into ``extra_state`` as well, which load_checkpoint hands back, on every process.
    """

    def put(trainer, state: dict) -> None:
        state["extra_state"]["task_state"] = state["task_state"]

    def take(trainer, extra_state: dict, reset_meters: bool) -> None:
        if not reset_meters:
            trainer.task.load_state_dict(extra_state.get("task_state") or {})

    extend_checkpoints("restores_task_state", put, take)


def extend_checkpoints(mark: str, put: Callable[..., None], take: Callable[..., None]) -> None:
    """Let something more be written into checkpoints, and read from them.

    Args:
        mark: names the change, which is made once.
        put: is given the trainer and the state that is about to be written; changes it.
        take: is given the trainer, a checkpoint's ``extra_state``, which it may change, and whether ``--reset-meters`` was given.
    """
    from fairseq.trainer import Trainer

    plain_state, plain_load = Trainer.state_dict, Trainer.load_checkpoint

    @functools.wraps(plain_state)
    def state_dict(self):
        state = plain_state(self)
        put(self, state)
        return state

    @functools.wraps(plain_load)
    def load_checkpoint(self, *args, **kwargs):
        extra_state = plain_load(self, *args, **kwargs)
        if extra_state is not None:
            take(self, extra_state, kwargs.get("reset_meters", False))
        return extra_state

    setattr(state_dict, mark, True)
    Trainer.state_dict, Trainer.load_checkpoint = state_dict, load_checkpoint
