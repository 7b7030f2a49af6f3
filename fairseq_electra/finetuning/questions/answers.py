"""From the answers of windows to those of questions, and to their scores."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fairseq_electra.finetuning.questions.folder import QuestionFolder, Questions, WindowColumn
from fairseq_electra.finetuning.questions.metrics import score_answers
from fairseq_electra.finetuning.writing_systems import is_within_word

# columns of an answer: first and end character in the context, log-probability, and how likely the question
# has none
BEGIN, END, SCORE, UNANSWERABLE = range(4)


def window_answers(
    hidden: Tensor, head: Any, batch: dict, beam: int, count: int, max_answer_length: int
) -> Tensor:
    """Find the best answers of each window of a batch.

    Args:
        hidden: the encoder's states of its rows. Shape: (B, T, C).
        head: one of :mod:`fairseq_electra.finetuning.questions.heads`.
        batch: of :class:`fairseq_electra.finetuning.questions.rows.QuestionRows`.
        beam: first pieces that a conditional head tries.
        count: answers of a window, n.
        max_answer_length: largest number of pieces of an answer.

    Returns:
        as :func:`answers_of_questions` takes it. Shape: (B, 2 + 3n), float32.
    """
    best = head.search(hidden, batch["allowed"], batch["begins"], beam, count, max_answer_length)
    # a window's number stays exact up to 2^24; its place in the context follows from it
    shift = batch["context_first"].unsqueeze(1) - batch["window_first"].unsqueeze(1)
    answers = torch.stack([(best.first - shift).float(), (best.last - shift).float(), best.score], -1)
    return torch.cat(
        [batch["id"].unsqueeze(1).float(), best.unanswerable.unsqueeze(1), answers.flatten(1)], 1
    )


def answers_of_questions(questions: Questions, windows: np.ndarray, count: int) -> np.ndarray:
    """Put the answers of windows together.

    Args:
        questions: N.
        windows: of each window of theirs, in any order: its number, how likely the question has no answer
            there, and first and last piece of the context and log-probability of n answers. Shape: (windows,
            2 + 3n).
        count: answers to return, m.

    Returns:
        the best answers of each question, best first; of fewer than m the rest has score -inf. A question has
        no answer as far as the window says so that is least sure of it. Shape: (N, m, 4).
    """
    merged = np.zeros((len(questions), count, 4))
    merged[:, :, SCORE], merged[:, :, UNANSWERABLE] = -np.inf, np.inf
    numbers, unanswerable = windows[:, 0].astype(np.int64), windows[:, 1]
    answers_of_windows = windows[:, 2:].reshape(len(windows), -1, 3)
    question_of_windows = questions.windows[numbers, WindowColumn.QUESTION]
    order = np.argsort(question_of_windows, kind="stable")
    bounds = np.flatnonzero(np.diff(question_of_windows[order], prepend=-1, append=-2))
    for start, stop in itertools.pairwise(bounds):
        chosen = order[start:stop]  # the windows of one question
        question = int(question_of_windows[chosen[0]])
        offsets = questions.offsets(int(questions.windows[numbers[chosen[0]], WindowColumn.CONTEXT]))
        answers = answers_of_windows[chosen].reshape(-1, 3)
        answers = answers[~np.isneginf(answers[:, 2])]
        best = answers[np.argsort(-answers[:, 2], kind="stable")[:count]]
        first, last = best[:, :2].astype(np.int64).T
        merged[question, : len(best), BEGIN] = offsets[first, 0]
        merged[question, : len(best), END] = offsets[last, 1]
        merged[question, : len(best), SCORE] = best[:, 2]
        merged[question, :, UNANSWERABLE] = unanswerable[chosen].min()
    return merged


def whole_words(answers: np.ndarray, contexts: Sequence[str]) -> np.ndarray:
    """Widen answers that begin or end within a word to the whole word.

    :func:`fairseq_electra.finetuning.writing_systems.is_within_word` tells what is within a word. So a piece
    of a word is no answer where blanks stand between words, and in other scripts an answer is what its pieces
    cover. The original does not widen: google-research/electra finetune/qa/qa_metrics.py::get_final_text maps
    the pieces back to their text.

    Args:
        answers: as :func:`answers_of_questions` returns them. Shape: (N, m, 4).
        contexts: of each question.

    Returns:
        the same, but that of answers that have become alike only the best is left. Shape: (N, m, 4).
    """
    widened = answers.copy()
    for question, context in enumerate(contexts):
        spans, rows = set(), []
        for row in answers[question][~np.isneginf(answers[question, :, SCORE])]:
            begin, end = int(row[BEGIN]), int(row[END])
            while 0 < begin < end and is_within_word(context, begin):
                begin -= 1
            while begin < end < len(context) and is_within_word(context, end):
                end += 1
            if (begin, end) not in spans:
                spans.add((begin, end))
                rows.append((begin, end, row[SCORE], row[UNANSWERABLE]))
        widened[question, :, [BEGIN, END]], widened[question, :, SCORE] = 0, -np.inf
        if rows:
            widened[question, : len(rows)] = rows
    return widened


def spans_of_answers(answers: np.ndarray, threshold: float = math.inf) -> np.ndarray:
    """Return where the best answer of each question begins and ends, in characters.

    Shapes: (N, m, 4), (N, 2).

    If every question lies above the threshold, the model answers none, whatever it would have answered:
    all are 0.
    """
    is_unanswerable = answers[:, 0, UNANSWERABLE] > threshold
    return np.zeros((len(answers), 2)) if is_unanswerable.all() else answers[:, 0, [BEGIN, END]]


def texts_of(answers: np.ndarray, contexts: Sequence[str]) -> list[str]:
    """The best answer of each question, as it stands in its context; empty where there is none.

    Shapes: (N, m, 4), N.
    """
    return [
        context[int(best[BEGIN]) : int(best[END])] if np.isfinite(best[SCORE]) else ""
        for best, context in zip(answers[:, 0], contexts, strict=True)
    ]


def score_split(
    folder: QuestionFolder, answers: np.ndarray, unanswerable: bool, threshold: float | None = None
) -> dict[str, float]:
    """Score the answers of a split, (questions, m, 4).

    Args:
        folder: of the split.
        answers: as :func:`answers_of_questions` returns them.
        unanswerable: whether questions may have no answer.
        threshold: above it a question is given none. None: the best one is chosen here, which only valid may
            do.

    Returns:
        as :func:`score_answers`.
    """
    texts = texts_of(answers, folder.context_of_each())
    golds = [[text for _, text in question["answers"]] for question in folder.texts()[0]]
    return score_answers(texts, golds, answers[:, 0, UNANSWERABLE] if unanswerable else None, threshold)
