"""A change to fairseq's update: a batch that only fills up a process's share weighs nothing, and takes nothing from the others."""

import functools


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
