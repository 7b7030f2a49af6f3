"""The loss of tagging."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass
from fairseq.logging import metrics
from torch import Tensor

from fairseq_electra.electra.fast.cross_entropy import loss_dtype
from fairseq_electra.finetuning.class_weights import HELP, class_weights


@dataclass
class TokenClassificationConfig(FairseqDataclass):
    """Options of ``--criterion token_classification``."""

    class_weights: str = field(default="", metadata={"help": HELP})


@register_criterion("token_classification", dataclass=TokenClassificationConfig)
class TokenClassificationLoss(FairseqCriterion):
    """Cross-entropy at the first token of each word, in nats, summed over words, weighted by tag."""

    def __init__(self, cfg: TokenClassificationConfig, task):
        super().__init__(task)
        self.head = task.cfg.classification_head_name
        weights = None
        if cfg.class_weights:
            weights = torch.from_numpy(
                class_weights(cfg.class_weights, task.info.labels, task.targets_of_train())
            )
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, model, sample: dict, reduce: bool = True) -> tuple[Tensor, float, dict]:
        """Compute the loss of a batch.

        Returns:
            the loss, what the gradient is divided by (the words' weights added up, or without weights their
            number), and sums for the log.
        """
        scores, _ = model(**sample["net_input"], classification_head_name=self.head)
        return self.loss_of(scores, sample)

    def loss_of(self, scores: Tensor, sample: dict) -> tuple[Tensor, float, dict]:
        """Compute the loss of scores, (B, T, K); result as :meth:`forward`."""
        target = sample["target"]
        scores = scores.to(loss_dtype(scores.dtype))
        weights = None if self.weights is None else self.weights.to(scores.dtype)
        loss = F.cross_entropy(
            scores.flatten(0, 1), target.flatten(), weights, ignore_index=-1, reduction="sum"
        )
        scored = target >= 0
        size = int(scored.sum()) if weights is None else float((weights[target.clamp(min=0)] * scored).sum())
        log = {
            "loss": loss.detach(),
            "sample_size": size,
            "ntokens": sample["ntokens"],
            "nsentences": len(target),
        }
        return loss, size, log

    @classmethod
    def reduce_metrics(cls, logging_outputs: list[dict]) -> None:
        """Log the mean loss over words, by their weights."""
        size = sum(log["sample_size"] for log in logging_outputs)
        metrics.log_scalar(
            "loss",
            float(torch.as_tensor(sum(log["loss"] for log in logging_outputs))) / (size or 1),
            size,
            round=4,
        )

    def logging_outputs_can_be_summed(self) -> bool:
        """Scores of words, which validation returns as well, cannot."""
        return self.training
