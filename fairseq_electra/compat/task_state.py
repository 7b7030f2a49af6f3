"""A change to fairseq's checkpoints: what a task remembers comes back with them."""

import functools


def restore_task_state() -> None:
    """trainer.py::Trainer.load_checkpoint: takes all from a checkpoint but ``task_state``, which Trainer.state_dict puts there.

    It is laid into ``extra_state`` as well, which load_checkpoint hands back, on every process.
    """
    from fairseq.trainer import Trainer

    plain_state, plain_load = Trainer.state_dict, Trainer.load_checkpoint
    if getattr(plain_state, "restores_task_state", False):
        return

    @functools.wraps(plain_state)  # with the marks of other changes
    def state_dict(self):
        state = plain_state(self)
        state["extra_state"]["task_state"] = state["task_state"]
        return state

    @functools.wraps(plain_load)
    def load_checkpoint(self, *args, reset_meters=False, **kwargs):
        extra_state = plain_load(self, *args, reset_meters=reset_meters, **kwargs)
        if extra_state is not None and not reset_meters:
            self.task.load_state_dict(extra_state.get("task_state") or {})
        return extra_state

    state_dict.restores_task_state = True  # type: ignore[attr-defined]
    Trainer.state_dict, Trainer.load_checkpoint = state_dict, load_checkpoint
