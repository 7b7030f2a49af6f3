"""Changes to fairseq's speeds: they are of the time spent on training."""

import functools
import time

SPEEDS = ("wps", "ups", "tflops", "mfu")


def leave_validation_out_of_speeds() -> None:
    """fairseq_cli/train.py::validate: counts as time of training in ``wps`` and ``ups``, which fall after each validation.

    The clocks of all speeds are set forward by the time that a validation took, in every task.
    """
    from fairseq.tasks import FairseqTask

    plain = FairseqTask.begin_valid_epoch

    def begin_valid_epoch(self, epoch, model):
        plain(self, epoch, model)
        self.validating_since = time.perf_counter()

    def post_validate(self, model, stats, agg):
        """Set the clocks; fairseq-train calls this after each validation set, where a task has it."""
        self.validating_since = _leave_out_since(self.validating_since)

    FairseqTask.begin_valid_epoch, FairseqTask.post_validate = begin_valid_epoch, post_validate


def leave_saving_out_of_speeds() -> None:
    """checkpoint_utils.py::save_checkpoint: counts as time of training, as validation did; a large net takes seconds to be written."""
    from fairseq import checkpoint_utils

    plain = checkpoint_utils.save_checkpoint

    @functools.wraps(plain)
    def save_checkpoint(*args, **kwargs):
        since = time.perf_counter()
        saved = plain(*args, **kwargs)
        _leave_out_since(since)
        return saved

    checkpoint_utils.save_checkpoint = save_checkpoint


def _leave_out_since(begin: float) -> float:
    """Set the clocks of all speeds forward by the time since then; returns the time that it is now."""
    from fairseq.logging import metrics

    now = time.perf_counter()
    for meters in map(metrics.get_meters, ("default", "train", "train_inner")):
        for name in SPEEDS:
            if meters is not None and name in meters:
                meters[name].start += now - begin
    return now
