"""The loss of tagging."""

import torch
import torch.nn.functional as F
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass
from fairseq.logging import metrics
from torch import Tensor

from fairseq_electra.modules.losses import precise


@register_criterion("token_classification", dataclass=FairseqDataclass)
class TokenClassificationLoss(FairseqCriterion):
    """Cross-entropy of the tag of each word, read at its first piece. In nats, summed over words."""

    def __init__(self, cfg: FairseqDataclass, task):
        super().__init__(task)
        self.head = task.cfg.classification_head_name

    def forward(self, model, sample: dict, reduce: bool = True) -> tuple[Tensor, int, dict]:
        """Compute the loss of a batch; returns it, the number of words, and sums for the log."""
        scores, _ = model(**sample["net_input"], classification_head_name=self.head)
        return self.loss_of(scores, sample)

    def loss_of(self, scores: Tensor, sample: dict) -> tuple[Tensor, int, dict]:
        """Compute the loss of scores, (B, T, K); result as :meth:`forward`."""
        target = sample["target"]
        scores = scores.to(precise(scores.dtype))
        loss = F.cross_entropy(scores.flatten(0, 1), target.flatten(), ignore_index=-1, reduction="sum")
        words = int((target >= 0).sum())
        log = {"loss": loss.detach(), "sample_size": words, "ntokens": sample["ntokens"], "nsentences": len(target)}
        return loss, words, log

    @classmethod
    def reduce_metrics(cls, logging_outputs: list[dict]) -> None:
        """Log the mean loss over words."""
        words = sum(log["sample_size"] for log in logging_outputs)
        metrics.log_scalar("loss", float(torch.as_tensor(sum(log["loss"] for log in logging_outputs))) / max(1, words), words, round=4)

    def logging_outputs_can_be_summed(self) -> bool:
        """Scores of words, which validation returns as well, cannot."""
        return self.training
