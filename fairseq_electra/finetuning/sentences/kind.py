"""The kinds of tasks on sentences: classes or numbers, and multiple choice. fairseq has the tasks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairseq_electra.finetuning.counterpart import Counterpart
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.kind import TaskKind, refuse_answer_options
from fairseq_electra.finetuning.sentences import PREDICTION, RANKING
from fairseq_electra.finetuning.sentences.counterparts import ChoiceCounterpart, SentenceCounterpart

if TYPE_CHECKING:
    from torch import Tensor

    from fairseq_electra.finetuning.sentences.head import SentenceHead
    from fairseq_electra.finetuning.sentences.predict import SentencePredictor
    from fairseq_electra.finetuning.sentences.scores import SentenceEvaluation
    from fairseq_electra.finetuning.tuned_model import TunedModel

REPORTED = {  # by fairseq's sentence_prediction, and the option that asks for it
    "report_mcc": ("mcc",),
    "report_acc_and_f1": ("acc_and_f1", "f1"),
    "report_pearson_and_spearman": ("pearson_and_spearman", "pearson", "spearman"),
}


def sentence_head(tensors: dict[str, Tensor], hidden_size: int, dropout: float, pooling: str) -> SentenceHead:
    """Make the head for sentences that takes some tensors; arguments as of :meth:`TaskKind.head_for`."""
    from fairseq_electra.finetuning.sentences.head import SentenceHead

    labels = len(tensors["prediction.weight"])
    return SentenceHead(hidden_size, labels, dropout, pooling, "dense.weight" in tensors)


class SentencePrediction(TaskKind):
    """Classes or numbers for a sentence or a pair."""

    name = PREDICTION
    of_fairseq = True
    counterpart: Counterpart = SentenceCounterpart()
    reads_rows = True

    def task_options(self, info: TaskInfo) -> list[str]:
        """See :meth:`TaskKind.task_options`."""
        options = ["--num-classes", str(info.choices or max(1, len(info.labels)))]
        options += ["--regression-target", "--report-pearson-and-spearman"] if info.regression else []
        # fairseq takes the labels' names for numbers, and F1 for that of two classes
        if info.labels == ("0", "1"):
            options += ["--report-mcc"] if "mcc" in info.metrics else []
            options += ["--report-acc-and-f1"] if "f1" in info.metrics else []
        return options

    def row_options(self, info: TaskInfo) -> list[str]:
        """See :meth:`TaskKind.row_options`."""
        return ["--init-token", "0", "--max-positions", str(info.max_positions)]

    def logged_metrics(self, criterion: Any) -> tuple[str, ...] | None:
        """See :meth:`TaskKind.logged_metrics`."""
        scores = [] if criterion.regression_target else ["accuracy"]
        for option, names in REPORTED.items():
            scores += names if getattr(criterion, option, False) else ()
        return ("loss", "nll_loss", *scores)

    def head_for(
        self, tensors: dict[str, Tensor], hidden_size: int, dropout: float, pooling: str = "first"
    ) -> SentenceHead:
        """See :meth:`TaskKind.head_for`."""
        return sentence_head(tensors, hidden_size, dropout, pooling)

    def log_probabilities(self, scores: Tensor) -> Tensor:
        """See :meth:`TaskKind.log_probabilities`."""
        return scores if scores.shape[-1] == 1 else scores.log_softmax(-1)

    def evaluation(self, folder: Path, info: TaskInfo) -> SentenceEvaluation:
        """See :meth:`TaskKind.evaluation`."""
        from fairseq_electra.finetuning.sentences.scores import SentenceEvaluation

        return SentenceEvaluation(folder, info)

    def predictor(
        self, model: TunedModel, head: str, source: str, threshold: float, n_best: int
    ) -> SentencePredictor:
        """See :meth:`TaskKind.predictor`."""
        from fairseq_electra.finetuning.sentences.predict import SentencePredictor

        refuse_answer_options(self, threshold, n_best)
        return SentencePredictor(model, head, source)


class SentenceRanking(SentencePrediction):
    """Multiple choice: a context and its choices, of which one is right."""

    name = RANKING
    counterpart = ChoiceCounterpart()
    head_option = "--ranking-head-name"

    def logged_metrics(self, criterion: Any) -> tuple[str, ...] | None:
        """See :meth:`TaskKind.logged_metrics`."""
        return ("loss", "nll_loss", "accuracy")


KINDS = (SentencePrediction(), SentenceRanking())
