"""Extractive question answering, with or without unanswerable questions: SQuAD 1.1 and 2.0."""

import logging
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from fairseq.dataclass import ChoiceEnum
from fairseq.distributed.utils import get_global_rank
from fairseq.tasks import register_task
from torch import nn

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.evaluation import VALID
from fairseq_electra.finetuning.questions import (
    ANSWERABILITY_WEIGHT,
    ANSWERING,
    BEAM,
    MAX_ANSWER_LENGTH,
)
from fairseq_electra.finetuning.questions.answers import (
    answers_of_questions,
    score_split,
    spans_of_answers,
    whole_words,
    window_answers,
)
from fairseq_electra.finetuning.questions.folder import QuestionFolder
from fairseq_electra.finetuning.questions.heads import ConditionalAnswerHead, IndependentAnswerHead
from fairseq_electra.finetuning.questions.metrics import ORACLE
from fairseq_electra.finetuning.questions.rows import QuestionRows
from fairseq_electra.finetuning.rows import TaskRows
from fairseq_electra.finetuning.sameness import span_in_words
from fairseq_electra.tasks._prepared_folder import PreparedFolderConfig, PreparedFolderTask

logger = logging.getLogger(__name__)
CONDITIONAL, INDEPENDENT = "conditional", "independent"


@dataclass
class QuestionAnsweringConfig(PreparedFolderConfig):
    """Options of ``--task question_answering``."""

    answer_head: ChoiceEnum([CONDITIONAL, INDEPENDENT]) = field(  # type: ignore[valid-type]
        default=CONDITIONAL,
        metadata={
            "help": "the paper's, whose end depends on its start, or the plain one that transformers has"
        },
    )
    beam: int = field(default=BEAM, metadata={"help": "starts that the conditional head tries"})
    max_answer_length: int = field(
        default=MAX_ANSWER_LENGTH, metadata={"help": "pieces of the longest answer"}
    )


@register_task(ANSWERING, dataclass=QuestionAnsweringConfig)
class QuestionAnsweringTask(PreparedFolderTask):
    """Extractive question answering (Clark et al. 2020, appendix B)."""

    kind, meter = ANSWERING, "_windows"
    unread_options = ("pooling", "head_dropout")

    def __init__(self, cfg: QuestionAnsweringConfig, *args: Any):
        super().__init__(cfg, *args)
        self._threshold: float | None = None  # chosen on valid in this validation
        for name in ("beam", "max_answer_length"):
            if getattr(cfg, name) < 1:
                raise InputError(
                    f"--{name.replace('_', '-')} must be 1 or more, got {getattr(cfg, name)}; SQuAD's are"
                    f" {BEAM} and {MAX_ANSWER_LENGTH}"
                )

    def build_head(self, model) -> nn.Module:
        """Build the head."""
        return answer_head(str(self.cfg.answer_head), model.sizes.hidden_size, self.info.unanswerable)

    def build_criterion(self, cfg, *args: Any, **kwargs: Any):
        """Build the loss; warn of options that change nothing. Arguments and result as FairseqTask's."""
        criterion = super().build_criterion(cfg, *args, **kwargs)
        is_independent = str(self.cfg.answer_head) == INDEPENDENT
        if is_independent and self.cfg.beam != BEAM:
            self.warn_of_unread("beam", self.cfg.beam, f"it is for --answer-head {CONDITIONAL}")
        if criterion.answerability_weight != ANSWERABILITY_WEIGHT and (
            is_independent or not self.info.unanswerable
        ):
            why = f"it is for --answer-head {CONDITIONAL} and questions of which some have no answer"
            self.warn_of_unread("answerability_weight", criterion.answerability_weight, why)
        return criterion

    def rows(self, split: str) -> QuestionRows:
        """Open a split and return its rows."""
        return QuestionRows(QuestionFolder(self.cfg.data, split, len(self.dictionary)))

    def valid_step(self, sample: dict, model, criterion):
        """Compute the loss, and each window's best answer (``windows``, see :func:`answers_of_questions`)."""
        model.eval()
        with torch.no_grad():
            hidden, _ = model(**sample["net_input"])
            head = model.classification_heads[self.cfg.classification_head_name]
            loss, sample_size, log = criterion.loss_of(
                head(hidden, sample["allowed"], sample["first"]), sample
            )
            answers = window_answers(hidden, head, sample, self.cfg.beam, 1, self.cfg.max_answer_length)
        return loss, sample_size, log | {"windows": answers.cpu(), "split": sample["split"]}

    def train_step(self, *args: Any, **kwargs: Any):
        """Do a training step, which makes the threshold obsolete; arguments and result as FairseqTask's."""
        self._threshold = None
        return super().train_step(*args, **kwargs)

    def state_dict(self) -> dict:
        """Return the state for the checkpoint, with the threshold that validation has chosen."""
        chosen = {} if self._threshold is None else {"threshold": self._threshold}
        return super().state_dict() | chosen

    def load_state_dict(self, state_dict: dict) -> None:
        """Load the state from a checkpoint."""
        self._threshold = state_dict.get("threshold")
        super().load_state_dict({name: value for name, value in state_dict.items() if name != "threshold"})

    def begin_valid_epoch(self, epoch: int, model) -> None:
        """Forget the threshold of the last validation; arguments as FairseqTask's."""
        super().begin_valid_epoch(epoch, model)
        self._threshold = None

    def reduce_metrics(self, logging_outputs: list[dict], criterion) -> None:
        """Log the scores of all questions, whichever process answered them."""
        super().reduce_metrics(logging_outputs, criterion)
        results = [log["windows"] for log in logging_outputs if "windows" in log]
        if results:
            split = logging_outputs[0]["split"]
            rows = self.datasets[split].rows
            chosen_elsewhere = self.info.unanswerable and rows.questions.split != VALID
            self.log_scores(split, torch.cat(results), len(rows), ORACLE if chosen_elsewhere else ())

    def score(self, rows: TaskRows, gathered: np.ndarray) -> dict[str, float]:
        """Score the answers; other splits than valid use the threshold chosen on valid."""
        assert isinstance(rows, QuestionRows) and isinstance(rows.questions, QuestionFolder)
        folder = rows.questions
        answers = whole_words(answers_of_questions(folder, gathered, 1), folder.context_of_each())
        threshold = math.inf
        if not self.info.unanswerable:
            scores = score_split(folder, answers, False)
        elif folder.split == VALID:
            scores = score_split(folder, answers, True)
            self._threshold = threshold = scores["threshold"]
        else:
            threshold = self._threshold_of_valid(folder.split)
            scores = score_split(folder, answers, True, threshold)
        self.warn_if_all_predictions_are_equal(
            spans_of_answers(answers, threshold), span_in_words, "questions"
        )
        return scores

    def _threshold_of_valid(self, split: str) -> float:
        if self._threshold is not None:
            return self._threshold
        if get_global_rank() == 0:
            logger.warning(
                f"{split} is scored as if every question had an answer: its threshold comes from {VALID}, "
                f"which was not scored before it; give --valid-subset {VALID},{split}"
            )
        return math.inf


def answer_head(kind: str, hidden_size: int, unanswerable: bool) -> nn.Module:
    """Build an answer head: conditional or independent."""
    return (
        IndependentAnswerHead(hidden_size)
        if kind == INDEPENDENT
        else ConditionalAnswerHead(hidden_size, unanswerable)
    )
