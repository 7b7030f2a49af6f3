"""Dummy batches, which fill up a process's share of the batches, change neither updates nor validations.

Where the batches of an epoch do not divide evenly among the processes, fairseq fills up with empty ones.

- trainer.py::Trainer.train_step, ``if is_dummy_batch: sample_size *= 0.0``, looks at the last batch of an
  update alone. With --update-freq above 1 a dummy batch may come after real ones: their gradients stay in the
  sum over all processes, but their tokens are missing in the number that it is divided by, and their figures
  in the log. Here an update is done without its dummy batches. If it has no others, one is kept, because the
  process must take part in the sum: fairseq gives it the weight 0 then.
- fairseq_cli/validate.py::main, ``task.valid_step(sample, model, criterion)``, is called with dummy batches,
  which no task can take. Here they are skipped: within a pass over a validation set no process waits for
  another. A process that has no other batches ends with an input error, as ``main`` would with a traceback:
  it prints with the number of its last batch.
"""

import functools
from collections.abc import Iterator

from fairseq_electra.compat.replacing import Overlay
from fairseq_electra.errors import InputError


def drop_from_updates() -> None:
    """Change trainer.py::Trainer.train_step."""
    from fairseq.trainer import Trainer

    plain = Trainer.train_step

    @functools.wraps(plain)
    def train_step(self, samples, *args, **kwargs):
        return plain(self, [sample for sample in samples if sample] or samples[:1], *args, **kwargs)

    Trainer.train_step = train_step


def skip_in_fairseq_validate() -> None:
    """Change the module ``progress_bar`` of fairseq_cli/validate.py, whose bars iterate over the batches."""
    from fairseq_cli import validate

    plain = validate.progress_bar

    def progress_bar(*args, **kwargs) -> _BarWithoutDummies:
        return _BarWithoutDummies(plain.progress_bar(*args, **kwargs))

    validate.progress_bar = Overlay(plain, progress_bar=progress_bar)


class _BarWithoutDummies(Overlay):
    def __iter__(self) -> Iterator[dict]:
        sample = None
        for sample in filter(None, self._plain):
            yield sample
        if sample is None:
            raise InputError(
                "fairseq-validate: a process has no batch of the split; give a smaller --batch-size, or fewer"
                " processes"
            )
