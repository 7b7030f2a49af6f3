"""The gradient norms of generator and discriminator are logged, without waiting for the device.

trainer.py::Trainer._reduce_and_log_stats reads the norm to check whether it is finite, and every metric to
return its value, which nobody uses. Here, with ``electra_adam``, the norms of both networks are logged as
well, all of them as tensors that are read when a line of the log is written.
"""

import functools

from fairseq_electra.compat.gradient_checks import gradients_of


def log_gradient_norms() -> None:
    """Change trainer.py::Trainer._reduce_and_log_stats."""
    from fairseq.logging import metrics
    from fairseq.trainer import Trainer

    plain = Trainer._reduce_and_log_stats

    @functools.wraps(plain)
    def _reduce_and_log_stats(self, logging_outputs, sample_size, grad_norm=None):
        gradients = None if grad_norm is None else gradients_of(self)
        if gradients is None or not gradients.norms:
            return plain(self, logging_outputs, sample_size, grad_norm)
        metrics.log_speed("ups", 1.0, priority=100, round=2)
        for number, (name, norm) in enumerate(gradients.norms.items()):
            metrics.log_scalar(name, norm, priority=400 + number, round=3)
        clip_norm = self.cfg.optimization.clip_norm
        if clip_norm > 0:
            metrics.log_scalar("clip", (gradients.norms["gnorm"] > clip_norm) * 100.0, priority=500, round=1)
        if gradients.loss_scale is not None:
            metrics.log_scalar("loss_scale", gradients.loss_scale.scale, priority=700, round=4, weight=0)
        self.task.reduce_metrics(logging_outputs, self.get_criterion())
        return {"sample_size": sample_size}

    Trainer._reduce_and_log_stats = _reduce_and_log_stats
