"""The loss of extractive question answering."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass
from fairseq.logging import metrics
from torch import Tensor

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.questions.heads import AnswerScores


@dataclass
class QuestionAnsweringLossConfig(FairseqDataclass):
    """Options of ``--criterion question_answering``."""

    answerability_weight: float = field(
        default=0.5, metadata={"help": "weight of the loss of whether there is an answer"}
    )


@register_criterion("question_answering", dataclass=QuestionAnsweringLossConfig)
class QuestionAnsweringLoss(FairseqCriterion):
    """Losses of the answer's span and of answerability, in nats, summed over rows.

    The span's loss is half the cross-entropy of the answer's first and last token; that of answerability is a
    weighted binary cross-entropy. In a window without the answer, first and last token are ``<s>``.

    Source: google-research/electra finetune/qa/qa_tasks.py::QATask.get_prediction_module. There such windows
    count as answerable.
    """

    def __init__(self, cfg: QuestionAnsweringLossConfig, task):
        super().__init__(task)
        if cfg.answerability_weight < 0:
            raise InputError(f"--answerability-weight must not be negative, got {cfg.answerability_weight}")
        self.answerability_weight, self.head = cfg.answerability_weight, task.cfg.classification_head_name

    def forward(self, model, sample: dict, reduce: bool = True) -> tuple[Tensor, int, dict]:
        """Compute the loss of a batch; returns it, the number of rows, and sums for the log."""
        inputs = {"allowed": sample["allowed"], "first": sample["first"]}
        scores, _ = model(**sample["net_input"], classification_head_name=self.head, head_inputs=inputs)
        return self.loss_of(scores, sample)

    def loss_of(self, scores: AnswerScores, sample: dict) -> tuple[Tensor, int, dict]:
        """Compute the loss of scores; result as :meth:`forward`."""
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

    @classmethod
    def reduce_metrics(cls, logging_outputs: list[dict]) -> None:
        """Log the mean of each loss over rows."""
        rows = sum(log["sample_size"] for log in logging_outputs)
        for name in ("loss", "span_loss", "answerability_loss"):
            values = [log[name] for log in logging_outputs if name in log]
            if values:
                metrics.log_scalar(name, float(torch.as_tensor(sum(values))) / max(1, rows), rows, round=4)

    def logging_outputs_can_be_summed(self) -> bool:
        """Answers, which validation returns as well, cannot."""
        return self.training
