"""Speeds (``wps``, ``ups`` and ours) count the time of training alone, without validation and saving."""

import functools
import time

SPEEDS = ("wps", "ups", "tflops", "mfu")


def exclude_validation_time() -> None:
    """Exclude the time of validations.

    fairseq_cli/train.py::validate counts as time of training, so ``wps`` and ``ups`` fall after each
    validation. Here the clocks of all speeds are set forward by the time that a validation took, in every
    task.
    """
    from fairseq.tasks import FairseqTask

    plain = FairseqTask.begin_valid_epoch

    def begin_valid_epoch(self, epoch, model):
        plain(self, epoch, model)
        self.validating_since = time.perf_counter()

    def post_validate(self, model, stats, agg):
        """Set the clocks; fairseq-train calls this method after each validation set if a task has it."""
        self.validating_since = _set_clocks_forward(self.validating_since)

    FairseqTask.begin_valid_epoch, FairseqTask.post_validate = begin_valid_epoch, post_validate


def exclude_saving_time() -> None:
    """Exclude the time of saving.

    checkpoint_utils.py::save_checkpoint counts as time of training; writing a large model takes seconds.
    """
    from fairseq import checkpoint_utils

    plain = checkpoint_utils.save_checkpoint

    @functools.wraps(plain)
    def save_checkpoint(*args, **kwargs):
        start = time.perf_counter()
        saved = plain(*args, **kwargs)
        _set_clocks_forward(start)
        return saved

    checkpoint_utils.save_checkpoint = save_checkpoint


def _set_clocks_forward(start: float) -> float:
    """Set the clocks of all speeds forward by the time since ``start``; returns the current time."""
    from fairseq.logging import metrics

    now = time.perf_counter()
    for meters in map(metrics.get_meters, ("default", "train", "train_inner")):
        for name in SPEEDS:
            if meters is not None and name in meters:
                meters[name].start += now - start
    return now
