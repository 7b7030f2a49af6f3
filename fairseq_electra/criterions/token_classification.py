"""The loss of tagging."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from fairseq.criterions import register_criterion
from fairseq.dataclass import FairseqDataclass
from torch import Tensor

from fairseq_electra.criterions._head_loss import HeadLoss
from fairseq_electra.electra.fast.cross_entropy import loss_dtype
from fairseq_electra.finetuning.class_weights import HELP, class_weights


@dataclass
class TokenClassificationConfig(FairseqDataclass):
    """Options of ``--criterion token_classification``."""

    class_weights: str = field(default="", metadata={"help": HELP})


@register_criterion("token_classification", dataclass=TokenClassificationConfig)
class TokenClassificationLoss(HeadLoss):
    """Cross-entropy at the first token of each word, in nats, summed over words, weighted by tag.

    It is divided by the sum of the words' weights, or without weights by their number.
    """

    def __init__(self, cfg: TokenClassificationConfig, task):
        super().__init__(cfg, task)
        weights = None
        if cfg.class_weights:
            weights = torch.from_numpy(
                class_weights(cfg.class_weights, task.info.labels, task.targets_of_train())
            )
        self.register_buffer("weights", weights, persistent=False)

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
