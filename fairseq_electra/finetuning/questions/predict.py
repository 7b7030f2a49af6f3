"""Answers that a fine-tuned model gives to questions, and their scores on a labelled file."""

import json
import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch

from fairseq_electra.errors import InputError
from fairseq_electra.files.inputs import Input, texts_in
from fairseq_electra.files.table import numbered_lines, records
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.predictor import Predictor, Scored, check_texts
from fairseq_electra.finetuning.questions import ANSWERING, MAX_QUESTION, STRIDE
from fairseq_electra.finetuning.questions.answering import answers_to
from fairseq_electra.finetuning.questions.answers import BEGIN, END, SCORE, UNANSWERABLE, whole_words
from fairseq_electra.finetuning.questions.folder import (
    NUM_SPECIAL,
    SHORTEST_WINDOW,
    Questions,
    context_pieces,
    find_windows,
    in_memory,
    question_pieces,
)
from fairseq_electra.finetuning.questions.forms import is_one_object, is_squad
from fairseq_electra.finetuning.questions.metrics import score_answers
from fairseq_electra.finetuning.questions.read import QUESTION_COLUMNS, Question, Squad, read_squad
from fairseq_electra.finetuning.request import Request
from fairseq_electra.finetuning.sameness import span_in_words
from fairseq_electra.finetuning.tuned_model import TunedModel


class AnswerPredictor(Predictor):
    """Answers to questions and their contexts, in a line with a tab between.

    Yields ``answer``, as it stands in the context, ``begin`` and ``end`` there, in characters, and
    ``probability``; of models that know questions without an answer ``unanswerable``, how likely this is one,
    on the scale of the study's threshold. ``n_best`` has the best answers.

    Args:
        tuned, head, source: as for :class:`Predictor`.
        threshold: above it, the answer is empty.
        n_best: how many answers to list; 0: none.
    """

    inputs = 2
    usual_columns = QUESTION_COLUMNS

    def __init__(
        self, tuned: TunedModel, head: str, source: str = "text", threshold: float = math.inf, n_best: int = 0
    ):
        super().__init__(tuned, head, source)
        self.threshold, self.n_best = threshold, n_best
        longest_question = self.max_positions - NUM_SPECIAL - SHORTEST_WINDOW
        if longest_question < 1:
            raise InputError(
                f"the network has {self.max_positions} positions, too few for a question and its context"
            )
        info = tuned.task or TaskInfo(
            "", ANSWERING, 2, (), (), 0, stride=STRIDE, max_question=MAX_QUESTION, unanswerable=True
        )
        self._info = replace(
            info, max_positions=self.max_positions, max_question=min(info.max_question, longest_question)
        )

    def answer(self, numbers: list[int], inputs: list[Input]) -> Iterator[dict]:
        """Answer some inputs."""
        texts = [texts_in(given) for given in inputs]
        for number, parts in zip(numbers, texts, strict=True):
            check_texts(parts, 2, f"{self.source}, line {number}")
        texts = [[question.strip(), context] for question, context in texts]  # as files are read
        uncut = question_pieces(
            self.tuned.tokenizer, (question for question, _ in texts), sys.maxsize, self.unknown
        )
        pieces = [question[: self._info.max_question] for question in uncut]
        self.number_cut += sum(len(question) > self._info.max_question for question in uncut)
        number_of = {context: i for i, context in enumerate(dict.fromkeys(context for _, context in texts))}
        contexts, offsets = context_pieces(self.tuned.tokenizer, list(number_of), unknown=self.unknown)
        questions_of_lines = [
            Question(str(number), parts[0], number_of[parts[1]], ())
            for number, parts in zip(numbers, texts, strict=True)
        ]
        windows = find_windows(questions_of_lines, pieces, offsets, self._info, self.source)
        questions = Questions(in_memory(pieces), in_memory(contexts), np.concatenate(offsets), windows)
        answers = whole_words(answers_to(self.tuned, self.head, questions), [context for _, context in texts])
        self.prediction_range.add(torch.from_numpy(answers[:, 0, [BEGIN, END]]))
        for (_, context), answers_to_question in zip(texts, answers, strict=True):
            yield self._answer(
                context,
                answers_to_question[np.isfinite(answers_to_question[:, SCORE])],
                float(answers_to_question[0, UNANSWERABLE]),
            )

    def answers_to_file(self, request: Request) -> Iterator[dict]:
        """See :meth:`Predictor.answers_to_file`.

        Answers to a file of SQuAD's form have the questions' ids.
        """
        if request.text or not is_squad(request.path):
            yield from super().answers_to_file(request)
            return
        squad = _read_squad(request.path)
        answers = self((question.text, squad.contexts[question.context]) for question in squad.questions)
        for question, answer in zip(squad.questions, answers, strict=True):
            yield {"id": question.id, **answer}

    def as_lines(self, answers: Iterable[dict], request: Request) -> Iterator[str]:
        """See :meth:`Predictor.as_lines`; of :func:`is_one_object` all answers are in one line."""
        if is_one_object(request):
            yield predictions_json(answers)
        else:
            yield from super().as_lines(answers, request)

    def score_file(self, request: Request) -> Scored:
        """See :meth:`Predictor.score_file`."""
        self.n_best = max(self.n_best, 1)  # above the threshold the best answer is needed too
        return score_questions(self, read_squad(request.path))

    @property
    def unanswerable(self) -> bool:
        """Whether the model knows questions without an answer."""
        return self._info.unanswerable

    @property
    def what_was_cut(self) -> str:
        """Ends the sentence; contexts are read whole, in several windows."""
        return f"have a question that was cut to {self._info.max_question} pieces"

    def in_words(self, prediction: list[float]) -> str:
        """See :meth:`Predictor.in_words`."""
        return span_in_words(prediction)

    def _answer(self, context: str, answers: np.ndarray, unanswerable: float) -> dict:
        listed = [
            {"answer": context[begin:end], "begin": begin, "end": end, "probability": math.exp(score)}
            for begin, end, score in zip(
                *answers[:, [BEGIN, END]].astype(int).T.tolist(), answers[:, SCORE].tolist(), strict=True
            )
        ]
        nothing = {"answer": "", "begin": 0, "end": 0, "probability": 0.0}
        best = nothing if unanswerable > self.threshold or not listed else listed[0]
        more = {"unanswerable": unanswerable} if self._info.unanswerable else {}
        return best | more | ({"n_best": listed[: self.n_best]} if self.n_best else {})


def predictions_json(answers: Iterable[dict]) -> str:
    """Write answers as SQuAD's evaluation reads them: one object, of each question its answer by its id.

    Source: SQuAD's evaluate-v2.0.py, ``preds``.
    """
    return json.dumps({answer["id"]: answer["answer"] for answer in answers}, ensure_ascii=False)


def _read_squad(path: str) -> Squad:
    """Read a file of SQuAD's form; says how to give one of JSON lines that is named like it."""
    try:
        return read_squad(path, labelled=None)
    except InputError as error:
        try:
            _, first = next(records(numbered_lines(path), path), (0, {"data": []}))
        except InputError:
            raise error from None
        if "data" in first:
            raise
        raise InputError(
            f"{path} holds JSON lines and is named like a file of SQuAD's form; name it .jsonl, or give"
            f" --text {' '.join(QUESTION_COLUMNS)}"
        ) from error


def score_questions(predictor: AnswerPredictor, squad: Squad) -> Scored:
    """Score answers by SQuAD's rules.

    If the model knows questions without an answer, the predictor's threshold is used.
    """
    if predictor.n_best < 1:
        raise ValueError("n_best must be 1 or more: above the threshold the best answer is needed too")
    predictions = list(
        predictor((question.text, squad.contexts[question.context]) for question in squad.questions)
    )
    best = [answer["n_best"][0]["answer"] if answer["n_best"] else "" for answer in predictions]
    golds = [[text for _, text in question.answers] for question in squad.questions]
    unanswerable = (
        np.array([answer["unanswerable"] for answer in predictions]) if predictor.unanswerable else None
    )
    answers = [
        {"id": question.id, **answer, "gold": gold}
        for question, answer, gold in zip(squad.questions, predictions, golds, strict=True)
    ]
    return Scored(answers, score_answers(best, golds, unanswerable, predictor.threshold))
