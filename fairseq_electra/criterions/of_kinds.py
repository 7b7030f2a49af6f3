"""Criterions without options of their own: the package of each kind of task computes the loss."""

from dataclasses import dataclass
from typing import Any

from fairseq.criterions import register_criterion
from fairseq.dataclass import FairseqDataclass
from torch import Tensor

from fairseq_electra.criterions._head_loss import HeadLoss
from fairseq_electra.finetuning.kinds import KINDS


@dataclass
class KindLossConfig(FairseqDataclass):
    """These criterions have no options."""


class KindLoss(HeadLoss):
    """The loss of a kind's :class:`fairseq_electra.finetuning.training.Training`, in nats.

    It is summed over what it is a mean of in the log.
    """

    def __init__(self, cfg: KindLossConfig, task: Any):
        super().__init__(cfg, task)
        self.training_of_kind = task.training

    def loss_of(self, scores: Tensor, sample: dict) -> tuple[Tensor, float, dict]:
        """Compute the loss of the head's scores; result as :meth:`forward`."""
        loss, size = self.training_of_kind.loss(scores, sample)
        log = {"loss": loss.detach(), "sample_size": size}
        return loss, size, log | {name: sample[name] for name in ("ntokens", "nsentences")}


for _kind in KINDS.values():
    if not (_kind.of_fairseq or _kind.has_own_options):
        _name = f"{type(_kind).__name__}Loss"  # fairseq wants a class for each
        register_criterion(_kind.name, dataclass=KindLossConfig)(
            type(_name, (KindLoss,), {"__module__": __name__})
        )
