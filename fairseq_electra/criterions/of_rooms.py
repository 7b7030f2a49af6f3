"""Criterions without options of their own: the package of each kind of task computes the loss."""

from dataclasses import dataclass
from typing import Any

import torch
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass
from fairseq.logging import metrics
from torch import Tensor

from fairseq_electra.finetuning.kinds import KINDS


@dataclass
class RoomLossConfig(FairseqDataclass):
    """These criterions have no options."""


class RoomLoss(FairseqCriterion):
    """The loss of a kind's :class:`fairseq_electra.finetuning.training.Training`, in nats.

    It is summed over what it is a mean of in the log.
    """

    def __init__(self, cfg: RoomLossConfig, task: Any):
        super().__init__(task)
        self.training_of_room, self.head = task.training, task.cfg.classification_head_name

    def forward(self, model: Any, sample: dict, reduce: bool = True) -> tuple[Tensor, int, dict]:
        """Compute the loss of a batch; returns it, what the gradient is divided by, and sums for the log."""
        scores, _ = model(**sample["net_input"], classification_head_name=self.head)
        return self.loss_of(scores, sample)

    def loss_of(self, scores: Tensor, sample: dict) -> tuple[Tensor, int, dict]:
        """Compute the loss of the head's scores; result as :meth:`forward`."""
        loss, size = self.training_of_room.loss(scores, sample)
        log = {"loss": loss.detach(), "sample_size": size}
        return loss, size, log | {name: sample[name] for name in ("ntokens", "nsentences")}

    @classmethod
    def reduce_metrics(cls, logging_outputs: list[dict]) -> None:
        """Log the mean loss."""
        size = sum(log["sample_size"] for log in logging_outputs)
        total = float(torch.as_tensor(sum(log["loss"] for log in logging_outputs)))
        metrics.log_scalar("loss", total / (size or 1), size, round=4)

    def logging_outputs_can_be_summed(self) -> bool:
        """What validation gathers, and returns as well, cannot."""
        return self.training


for _kind in KINDS.values():
    if not (_kind.of_fairseq or _kind.has_own_options):
        _name = f"{type(_kind).__name__}Loss"  # fairseq wants a class for each
        register_criterion(_kind.name, dataclass=RoomLossConfig)(
            type(_name, (RoomLoss,), {"__module__": __name__})
        )
