"""The kind of tasks with questions and their answers in a text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.counterpart import Counterpart, linear_names
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.kind import TaskKind
from fairseq_electra.finetuning.questions import ANSWERING, MAX_ANSWER_LENGTH, MAX_QUESTION, STRIDE
from fairseq_electra.finetuning.questions.forms import is_one_object
from fairseq_electra.finetuning.questions.metrics import ORACLE
from fairseq_electra.finetuning.request import Request

if TYPE_CHECKING:
    from torch import Tensor

    from fairseq_electra.finetuning.head import TaskHead
    from fairseq_electra.finetuning.questions.answering import AnswerEvaluation
    from fairseq_electra.finetuning.questions.predict import AnswerPredictor
    from fairseq_electra.finetuning.tuned_model import TunedModel

# our entry in a config.json of transformers, which says nothing of it
UNANSWERABLE_ENTRY = "has_unanswerable_questions"


class AnswerCounterpart(Counterpart):
    """First and last token of the answer, each by a linear layer."""

    head = "answer"
    classes = {  # noqa: RUF012
        "electra": "ElectraForQuestionAnswering",
        "roformer": "RoFormerForQuestionAnswering",
        "bert": "BertForQuestionAnswering",
        "modernbert": "ModernBertForQuestionAnswering",
    }
    names = linear_names("prediction", "qa_outputs")

    def entries(self, labels: list[str], dropout: float, info: TaskInfo | None) -> dict[str, Any]:
        """See :meth:`Counterpart.entries`."""
        return {} if info is None else {UNANSWERABLE_ENTRY: info.unanswerable}

    def settings(self, info: TaskInfo | None, options: Mapping[str, Any]) -> dict[str, Any]:
        """See :meth:`Counterpart.settings`."""
        max_answer_length = int(options.get("max_answer_length", MAX_ANSWER_LENGTH))
        return super().settings(info, options) | {"max_answer_length": max_answer_length}

    def read_labels(self, config: dict, classes: int, source: Path) -> list[str]:
        """See :meth:`Counterpart.read_labels`; there are none."""
        return []

    def read_info(self, info: TaskInfo, config: dict, settings: Mapping[str, Any], source: Path) -> TaskInfo:
        """See :meth:`Counterpart.read_info`.

        Raises:
            InputError: the entry on unanswerable questions is neither true nor false.
        """
        stride, max_question = settings.get("stride", STRIDE), settings.get("max_question", MAX_QUESTION)
        unanswerable = config.get(UNANSWERABLE_ENTRY, True)
        if not isinstance(unanswerable, bool):
            raise InputError(f"{source} has {UNANSWERABLE_ENTRY} {unanswerable!r}; write true or false")
        return replace(info, stride=stride, max_question=max_question, unanswerable=unanswerable)


class QuestionAnswering(TaskKind):
    """Questions whose answer stands in a text, or does not."""

    name = ANSWERING
    has_own_options = True
    counterpart = AnswerCounterpart()
    epochs = 2
    further_metrics = ORACLE
    gold_options = ()
    gold_form = "SQuAD's form"

    def head_for(
        self, tensors: dict[str, Tensor], hidden_size: int, dropout: float, pooling: str = "first"
    ) -> TaskHead:
        """See :meth:`TaskKind.head_for`."""
        from fairseq_electra.finetuning.questions.heads import ConditionalAnswerHead, IndependentAnswerHead

        if "last.weight" in tensors:
            return ConditionalAnswerHead(hidden_size, "answerability.0.weight" in tensors)
        return IndependentAnswerHead(hidden_size)

    def number_of_labels(self, tensors: dict[str, Tensor]) -> int:
        """See :meth:`TaskKind.number_of_labels`."""
        return 0

    def evaluation(self, folder: Path, info: TaskInfo) -> AnswerEvaluation:
        """See :meth:`TaskKind.evaluation`."""
        from fairseq_electra.finetuning.questions.answering import AnswerEvaluation

        return AnswerEvaluation(folder, info)

    def predictor(
        self, model: TunedModel, head: str, source: str, threshold: float, n_best: int
    ) -> AnswerPredictor:
        """See :meth:`TaskKind.predictor`."""
        from fairseq_electra.finetuning.questions.predict import AnswerPredictor

        if threshold < math.inf and model.task and not model.task.unanswerable:
            raise InputError("--threshold is for nets trained with questions without an answer; leave it out")
        return AnswerPredictor(model, head, source, threshold, n_best)

    def threshold(self, model: TunedModel, request: Request, checkpoint: str) -> float:
        """See :meth:`TaskKind.threshold`; answers are scored with the checkpoint's unless another is given.

        Raises:
            InputError: the checkpoint has none.
        """
        may_lack_answers = model.task is None or model.task.unanswerable
        is_scored = request.is_gold or is_one_object(request)
        if request.threshold is not None or not may_lack_answers or not is_scored:
            return super().threshold(model, request, checkpoint)
        if model.threshold is None:
            raise InputError(
                f"{checkpoint} keeps no threshold above which a question has no answer, as no validation"
                " chose one for its weights; give --threshold X, that of valid, or --threshold inf for an"
                " answer to every question"
            )
        return model.threshold


KINDS = (QuestionAnswering(),)
