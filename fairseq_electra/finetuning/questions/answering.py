"""Answers to the questions of a prepared folder."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from fairseq_electra.finetuning.encoder import EncoderWithHeads
from fairseq_electra.finetuning.evaluation import VALID, Evaluation
from fairseq_electra.finetuning.questions import BEAM, MAX_ANSWER_LENGTH, N_BEST
from fairseq_electra.finetuning.questions.answers import (
    BEGIN,
    END,
    SCORE,
    UNANSWERABLE,
    answers_of_questions,
    score_split,
    spans_of_answers,
    whole_words,
    window_answers,
)
from fairseq_electra.finetuning.questions.folder import QuestionFolder, Questions
from fairseq_electra.finetuning.questions.rows import QuestionRows
from fairseq_electra.finetuning.tuned_model import TunedModel
from fairseq_electra.pretraining.binarized import load_dictionary


def answers_to(tuned: TunedModel, head: str, questions: Questions) -> np.ndarray:
    """Answer questions.

    Args:
        tuned: model with the head; it searches for answers as in its training.
        head: name of the head.
        questions: N.

    Returns:
        as :func:`answers_of_questions`. Shape: (N, N_BEST, 4).
    """
    assert isinstance(tuned.model, EncoderWithHeads)  # which alone has a head for answers
    beam, max_answer_length = (
        int(tuned.options.get("beam", BEAM)),
        int(tuned.options.get("max_answer_length", MAX_ANSWER_LENGTH)),
    )
    answers = []
    with torch.no_grad():
        for batch in tuned.batches(QuestionRows(questions)):
            hidden, _ = tuned.model(**batch["net_input"])
            answers.append(
                window_answers(
                    hidden, tuned.model.classification_heads[head], batch, beam, N_BEST, max_answer_length
                ).cpu()
            )
    return answers_of_questions(questions, torch.cat(answers).double().numpy(), N_BEST)


class AnswerEvaluation(Evaluation):
    """Scores are the best answers of each question.

    Shape: (questions, n, 4), the columns of :mod:`fairseq_electra.finetuning.questions.answers`.
    """

    def scores(self, tuned: TunedModel, split: str) -> np.ndarray:
        """Answer the split's questions."""
        folder = self._folder(split)
        return whole_words(answers_to(tuned, next(iter(tuned.labels)), folder), folder.context_of_each())

    def metrics(
        self, split: str, scores: np.ndarray, valid: np.ndarray | None = None
    ) -> dict[str, float] | None:
        """Compare with the answers, where there are any; with valid's threshold for when there is none."""
        folder, threshold = self._folder(split), None
        if split in self.info.unlabelled:
            return None
        if self.info.unanswerable and split != VALID:
            if valid is None:
                raise ValueError(
                    f"{split} is scored with the threshold of {VALID}, whose scores must be given"
                )
            threshold = score_split(self._folder(VALID), valid, True)["threshold"]
        return score_split(folder, scores, self.info.unanswerable, threshold)

    def predictions(self, scores: np.ndarray) -> np.ndarray:
        """Return the spans of the answers, with valid's best threshold."""
        threshold = (
            score_split(self._folder(VALID), scores, True)["threshold"]
            if self.info.unanswerable
            else math.inf
        )
        return spans_of_answers(scores, threshold)

    def merge(self, scores: Sequence[np.ndarray]) -> np.ndarray:
        """Add up the probabilities of each answer; average the scores of having none."""
        return np.stack([_merge(answers, len(answers[0])) for answers in zip(*scores, strict=True)])

    def _folder(self, split: str) -> QuestionFolder:
        return QuestionFolder(self.folder, split, len(load_dictionary(self.folder / "input0")))


def _merge(answers: Sequence[np.ndarray], count: int) -> np.ndarray:
    """Merge the answers to one question, (n, 4) of each model."""
    shares: dict[tuple[float, float], float] = {}
    for answer in np.concatenate(answers):
        span = (answer[BEGIN], answer[END])
        shares[span] = shares.get(span, 0.0) + float(np.exp(answer[SCORE])) / len(answers)
    best = sorted(shares, key=lambda span: -shares[span])[:count]
    merged = np.zeros((count, 4))
    merged[:, SCORE] = -np.inf
    with np.errstate(divide="ignore"):
        merged[: len(best), SCORE] = np.log([shares[span] for span in best])
    merged[: len(best), [BEGIN, END]] = best
    merged[:, UNANSWERABLE] = np.mean([answer[0, UNANSWERABLE] for answer in answers])
    return merged
