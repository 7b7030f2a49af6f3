"""The kind of tasks with several labels for a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.kind import TaskKind, refuse_answer_options
from fairseq_electra.finetuning.multilabel import MULTI_LABEL
from fairseq_electra.finetuning.sentences.counterparts import SentenceCounterpart
from fairseq_electra.finetuning.sentences.kind import sentence_head

if TYPE_CHECKING:
    from torch import Tensor

    from fairseq_electra.finetuning.multilabel.metrics import LabelEvaluation
    from fairseq_electra.finetuning.multilabel.predict import LabelPredictor
    from fairseq_electra.finetuning.multilabel.training import LabelTraining
    from fairseq_electra.finetuning.sentences.head import SentenceHead
    from fairseq_electra.finetuning.tuned_model import TunedModel


class LabelCounterpart(SentenceCounterpart):
    """The head for sentences, with scores of which each is a decision of its own."""

    note = (
        'Each label has a probability of its own, the sigmoid of its score: `pipeline("text-classification",'
        ' "FOLDER", top_k=None)`.'
    )

    def problem_type(self, classes: int) -> str:
        """See :meth:`SentenceCounterpart.problem_type`."""
        return "multi_label_classification"

    def accepts(self, config: dict, classes: int) -> bool:
        """See :meth:`Counterpart.accepts`; a config.json that does not say is of another kind."""
        return config.get("problem_type") == self.problem_type(classes)

    def read_info(self, info: TaskInfo, config: dict, settings: Mapping[str, Any], source: Path) -> TaskInfo:
        """See :meth:`Counterpart.read_info`; one score is that of a label as well."""
        return replace(super().read_info(info, config, settings, source), labels=info.labels)


class MultiLabelClassification(TaskKind):
    """Several labels for a sentence or a pair, each of which it has or has not."""

    name = MULTI_LABEL
    counterpart = LabelCounterpart()
    reads_rows = True

    def training(self, folder: Path, info: TaskInfo, vocabulary_size: int) -> LabelTraining:
        """See :meth:`TaskKind.training`."""
        from fairseq_electra.finetuning.multilabel.training import LabelTraining

        return LabelTraining(folder, info, vocabulary_size)

    def head_for(
        self, tensors: dict[str, Tensor], hidden_size: int, dropout: float, pooling: str = "first"
    ) -> SentenceHead:
        """See :meth:`TaskKind.head_for`."""
        return sentence_head(tensors, hidden_size, dropout, pooling)

    def log_probabilities(self, scores: Tensor) -> Tensor:
        """See :meth:`TaskKind.log_probabilities`."""
        from torch.nn.functional import logsigmoid

        return logsigmoid(scores)

    def evaluation(self, folder: Path, info: TaskInfo) -> LabelEvaluation:
        """See :meth:`TaskKind.evaluation`."""
        from fairseq_electra.finetuning.multilabel.metrics import LabelEvaluation

        return LabelEvaluation(folder, info)

    def predictor(
        self, model: TunedModel, head: str, source: str, threshold: float, n_best: int
    ) -> LabelPredictor:
        """See :meth:`TaskKind.predictor`."""
        from fairseq_electra.finetuning.multilabel.predict import LabelPredictor

        refuse_answer_options(self, threshold, n_best)
        return LabelPredictor(model, head, source)


KINDS = (MultiLabelClassification(),)
