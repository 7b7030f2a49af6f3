"""Changes for batches that only fill up a process's share: they weigh nothing, and take nothing from the others."""

import functools
from collections.abc import Iterator


def leave_out_fillers() -> None:
    """trainer.py::Trainer.train_step, ``if is_dummy_batch: sample_size *= 0.0``: looks at the last batch of an update alone.

    Where an epoch's batches do not share out evenly over the processes, fairseq fills up with empty ones. With --update-freq above 1 one
    may stand behind real ones: their gradients stay in the sum over all processes, but their tokens leave the number that it is divided
    by, and their numbers leave the log. So an update is done without its empty batches. Where it has no others one is kept: fairseq does
    a batch with weight 0 then, as the process must take part in the sum.
    """
    from fairseq.trainer import Trainer

    plain = Trainer.train_step
    if getattr(plain, "leaves_out_fillers", False):
        return

    @functools.wraps(plain)  # with the marks of other changes
    def train_step(self, samples, *args, **kwargs):
        return plain(self, [sample for sample in samples if sample] or samples[:1], *args, **kwargs)

    train_step.leaves_out_fillers = True  # type: ignore[attr-defined]
    Trainer.train_step = train_step


def pass_over_fillers_in_fairseq_validate() -> None:
    """fairseq_cli/validate.py::main, ``task.valid_step(sample, model, criterion)``: for the empty batches of several processes, too.

    No task takes one. They are left out: in a pass over a set no process waits for another before its end.
    """
    from fairseq_cli import validate

    if not isinstance(validate.progress_bar, _BarsWithoutFillers):
        validate.progress_bar = _BarsWithoutFillers(validate.progress_bar)


class _BarsWithoutFillers:
    """fairseq's module ``progress_bar``, whose bars leave out empty batches."""

    def __init__(self, plain):
        self._plain = plain

    def __getattr__(self, name: str):
        return getattr(self._plain, name)

    def progress_bar(self, *args, **kwargs) -> "_BarWithoutFillers":
        return _BarWithoutFillers(self._plain.progress_bar(*args, **kwargs))


class _BarWithoutFillers:
    def __init__(self, bar):
        self._bar = bar

    def __getattr__(self, name: str):
        return getattr(self._bar, name)

    def __iter__(self) -> Iterator[dict]:
        return (sample for sample in self._bar if sample)
