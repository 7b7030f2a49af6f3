"""A checkpoint of a fine-tuning holds its labels and what its task is.

trainer.py::Trainer.state_dict writes the weights of the scores and not their names, which stay in the data
folder. A checkpoint that is moved beside another task's files, or whose data folder was made again, would
give its scores the names of others.
"""

from pathlib import Path

from fairseq_electra.compat.task_state import extend_checkpoints
from fairseq_electra.finetuning.info import TUNED_FOR, tuned_for


def keep_labels_in_checkpoints() -> None:
    """Change trainer.py::Trainer.state_dict."""

    def write(trainer, state: dict) -> None:
        if not hasattr(trainer, "_tuned_for"):  # as it was at the first call
            trainer._tuned_for = tuned_for(Path(str(getattr(trainer.cfg.task, "data", ""))))
        if any(trainer._tuned_for.values()):
            state["extra_state"][TUNED_FOR] = trainer._tuned_for

    extend_checkpoints(write)
