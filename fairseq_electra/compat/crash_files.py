"""Wrong input leaves no crash.pt.

trainer.py::Trainer.train_step, ``self.save_checkpoint(..."crash.pt"``, saves one for every error in the
forward pass. Where the error is a sentence about options or data there is nothing to debug, so nothing is
saved.
"""

import functools
import sys
from pathlib import Path

from fairseq_electra.compat.mistakes import input_error


def skip_crash_files_of_input_errors() -> None:
    """Change trainer.py::Trainer.save_checkpoint."""
    from fairseq.trainer import Trainer

    plain = Trainer.save_checkpoint

    @functools.wraps(plain)
    def save_checkpoint(self, filename, *args, **kwargs):
        error = sys.exc_info()[1]
        # gradients that are not finite may well be looked at
        is_input = input_error(error) is not None and not isinstance(error, FloatingPointError)
        if Path(filename).name == "crash.pt" and is_input:
            return None
        return plain(self, filename, *args, **kwargs)

    Trainer.save_checkpoint = save_checkpoint
