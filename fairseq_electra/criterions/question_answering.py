"""The loss of extractive question answering."""

import math
from dataclasses import dataclass, field

import torch.nn.functional as F
from fairseq.criterions import register_criterion
from fairseq.dataclass import FairseqDataclass
from torch import Tensor

from fairseq_electra.criterions._head_loss import HeadLoss
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.questions import ANSWERABILITY_WEIGHT
from fairseq_electra.finetuning.questions.heads import AnswerScores


@dataclass
class QuestionAnsweringLossConfig(FairseqDataclass):
    """Options of ``--criterion question_answering``."""

    answerability_weight: float = field(
        default=ANSWERABILITY_WEIGHT,
        metadata={"help": "weight of the loss of whether there is an answer"},
    )


@register_criterion("question_answering", dataclass=QuestionAnsweringLossConfig)
class QuestionAnsweringLoss(HeadLoss):
    """Losses of the answer's span and of answerability, in nats, summed over rows.

    The span's loss is half the cross-entropy of the answer's first and last token; that of answerability is a
    weighted binary cross-entropy. In a window without the answer, first and last token are ``<s>``.

    Source: google-research/electra finetune/qa/qa_tasks.py::QATask.get_prediction_module. There such windows
    count as answerable.
    """

    logged = ("loss", "span_loss", "answerability_loss")

    def __init__(self, cfg: QuestionAnsweringLossConfig, task):
        super().__init__(cfg, task)
        if not 0 <= cfg.answerability_weight < math.inf:
            raise InputError(f"--answerability-weight must not be negative, got {cfg.answerability_weight}")
        self.answerability_weight = cfg.answerability_weight

    def head_inputs(self, sample: dict) -> dict[str, Tensor]:
        """See :meth:`HeadLoss.head_inputs`."""
        return {"allowed": sample["allowed"], "first": sample["first"]}

    def loss_of(self, scores: AnswerScores, sample: dict) -> tuple[Tensor, float, dict]:
        """Compute the loss of scores; result as :meth:`forward`, divided by the number of rows."""
        first, last = sample["first"], sample["last"]
        span = (
            F.cross_entropy(scores.first, first, reduction="sum")
            + F.cross_entropy(scores.last, last, reduction="sum")
        ) / 2
        loss = span
        log = {
            "span_loss": span.detach(),
            "sample_size": len(first),
            "ntokens": sample["ntokens"],
            "nsentences": len(first),
        }
        if scores.unanswerable is not None:
            none = F.binary_cross_entropy_with_logits(
                scores.unanswerable, (first == 0).float(), reduction="sum"
            )
            loss = loss + self.answerability_weight * none
            log["answerability_loss"] = none.detach()
        return loss, len(first), log | {"loss": loss.detach()}
