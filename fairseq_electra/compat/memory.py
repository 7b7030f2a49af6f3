"""A change to fairseq's update: a run whose device has too little memory ends with a sentence."""

import functools

from fairseq_electra.errors import InputError

OF_MEMORY = ("out of memory", "can't allocate memory")  # of a GPU, of a CPU


def end_where_memory_runs_out() -> None:
    """trainer.py::Trainer.train_step, ``has_oom``: sets the gradients to zero and goes on.

    One process leaves the update out, so that a run whose every batch is too large trains on nothing, for ever. Of several processes
    the one that ran out has lost its gradients, and still counts their tokens in the denominator.
    """
    from fairseq.trainer import Trainer

    plain = Trainer.train_step
    if getattr(plain, "ends_without_memory", False):
        return

    @functools.wraps(plain)  # with the marks of other changes
    def train_step(self, samples, raise_oom=False):
        try:
            return plain(self, samples, raise_oom=True)
        except RuntimeError as error:
            if raise_oom or not any(words in str(error) for words in OF_MEMORY):
                raise
            raise InputError(
                f"out of memory at update {self.get_num_updates() + 1}, in batches of {_shapes(samples)}: give a smaller --batch-size or "
                "--max-tokens (a larger --update-freq keeps the size of an update); what was saved before is whole "
                f"({str(error).splitlines()[0]})"
            ) from error

    train_step.ends_without_memory = True  # type: ignore[attr-defined]
    Trainer.train_step = train_step


def _shapes(samples: list) -> str:
    found = [sample["net_input"]["src_tokens"].shape for sample in samples if sample and "src_tokens" in sample.get("net_input", {})]
    return " and ".join(dict.fromkeys(" x ".join(str(size) for size in shape) for shape in found)) or "an unknown shape"
