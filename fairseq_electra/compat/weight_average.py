"""``--store-ema`` can resume from a checkpoint that was saved without an average of the weights.

trainer.py::Trainer.load_checkpoint starts the average from the weights, ``self.ema.restore(state["model"],
...)``, after ``del state["model"]``, so it ends in a KeyError. Here the checkpoint is given an average, its
weights, when it is read.
"""

import functools

from fairseq_electra.compat.replacing import replaced


def start_average_from_weights() -> None:
    """Change trainer.py::Trainer.load_checkpoint."""
    from fairseq import checkpoint_utils
    from fairseq.trainer import Trainer

    plain = Trainer.load_checkpoint

    @functools.wraps(plain)
    def load_checkpoint(self, *args, **kwargs):
        if not self.cfg.ema.store_ema:
            return plain(self, *args, **kwargs)
        read = checkpoint_utils.load_checkpoint_to_cpu

        def read_with_average(*args, **kwargs):
            state = read(*args, **kwargs)
            state["extra_state"].setdefault("ema", dict(state["model"]))
            return state

        with replaced(checkpoint_utils, "load_checkpoint_to_cpu", read_with_average):
            return plain(self, *args, **kwargs)

    Trainer.load_checkpoint = load_checkpoint
