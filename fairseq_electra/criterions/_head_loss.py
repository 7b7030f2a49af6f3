"""What the losses of fine-tuning share: they score a batch with the task's head, and log their means."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from fairseq.criterions import FairseqCriterion
from fairseq.logging import metrics
from torch import Tensor


class HeadLoss(FairseqCriterion, ABC):
    """A loss of the scores of the task's head, in nats.

    Args:
        cfg: options of the criterion.
        task: a :class:`fairseq_electra.tasks._prepared_folder.PreparedFolderTask`.

    Attributes:
        logged: names of the sums in the log whose means are logged.
    """

    logged: tuple[str, ...] = ("loss",)

    def __init__(self, cfg: Any, task: Any):
        super().__init__(task)
        self.head = task.cfg.classification_head_name

    def forward(self, model: Any, sample: dict, reduce: bool = True) -> tuple[Tensor, float, dict]:
        """Compute the loss of a batch.

        Returns:
            the loss, a sum; what it and its gradient are divided by; and sums for the log.
        """
        scores, _ = model(
            **sample["net_input"],
            classification_head_name=self.head,
            head_inputs=self.head_inputs(sample),
        )
        return self.loss_of(scores, sample)

    def head_inputs(self, sample: dict) -> dict[str, Tensor] | None:
        """Return what the head reads of a batch besides hidden states; None: the padding."""
        return None

    @abstractmethod
    def loss_of(self, scores: Any, sample: dict) -> tuple[Tensor, float, dict]:
        """Compute the loss of the head's scores; result as :meth:`forward`."""

    @classmethod
    def reduce_metrics(cls, logging_outputs: list[dict]) -> None:
        """Log the mean of each sum that the log has."""
        size = sum(log["sample_size"] for log in logging_outputs)
        for name in cls.logged:
            values = [log[name] for log in logging_outputs if name in log]
            if values:
                metrics.log_scalar(name, float(torch.as_tensor(sum(values))) / (size or 1), size, round=4)

    def logging_outputs_can_be_summed(self) -> bool:
        """Results of single examples, which validation returns as well, cannot."""
        return self.training
