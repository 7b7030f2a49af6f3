"""A run whose device has too little memory ends with a sentence.

trainer.py::Trainer.train_step, ``has_oom``, sets the gradients to zero and goes on. A single process skips
the update, so a run whose every batch is too large trains on nothing, for ever. Of several processes, the one
that ran out of memory has lost its gradients, and its tokens still count in the denominator.
"""

import functools

from fairseq_electra.errors import InputError

OUT_OF_MEMORY = ("out of memory", "can't allocate memory")  # in the errors of a GPU, of a CPU


def stop_when_out_of_memory() -> None:
    """Change trainer.py::Trainer.train_step."""
    from fairseq.trainer import Trainer

    plain = Trainer.train_step

    @functools.wraps(plain)
    def train_step(self, samples, raise_oom=False):
        try:
            return plain(self, samples, raise_oom=True)
        except RuntimeError as error:
            if raise_oom or not any(words in str(error) for words in OUT_OF_MEMORY):
                raise
            raise InputError(
                f"out of memory at update {self.get_num_updates() + 1}, in batches of {_shapes(samples)}: "
                "give a "
                "smaller --batch-size or --max-tokens (a larger --update-freq keeps the size of an update); "
                "earlier "
                f"checkpoints are intact ({str(error).splitlines()[0]})"
            ) from error

    Trainer.train_step = train_step


def _shapes(samples: list) -> str:
    inputs = [sample.get("net_input", {}) for sample in samples if sample]
    shapes = [" x ".join(map(str, each["src_tokens"].shape)) for each in inputs if "src_tokens" in each]
    return " and ".join(dict.fromkeys(shapes)) or "an unknown shape"
