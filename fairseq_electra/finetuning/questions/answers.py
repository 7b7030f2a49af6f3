"""From the answers of windows to those of questions, and to their scores."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fairseq_electra.finetuning.questions.folder import QuestionFolder, Questions
from fairseq_electra.finetuning.questions.metrics import score_answers
from fairseq_electra.finetuning.writing_systems import is_within_word

# columns of an answer: first and end character in the context, log-probability, and how likely the question
# has none
BEGIN, END, SCORE, UNANSWERABLE = range(4)


def window_answers(hidden: Tensor, head: Any, batch: dict, beam: int, count: int, longest: int) -> Tensor:
    """Find the best answers of each window of a batch.

    Args:
        hidden: the encoder's states of its rows. Shape: (B, T, C).
        head: one of :mod:`fairseq_electra.finetuning.questions.heads`.
        batch: of :class:`fairseq_electra.finetuning.questions.rows.QuestionRows`.
        beam: first pieces that a conditional head tries.
        count: answers of a window, n.
        longest: pieces of an answer.

    Returns:
        as :func:`answers_of_questions` takes it. Shape: (B, 2 + 3n), float32.
    """
    found = head.search(hidden, batch["allowed"], batch["begins"], beam, count, longest)
    # a window's number stays exact up to 2^24; its place in the context follows from it
    shift = batch["context_first"].unsqueeze(1) - batch["window_first"].unsqueeze(1)
    answers = torch.stack([(found.first - shift).float(), (found.last - shift).float(), found.score], -1)
    return torch.cat(
        [batch["id"].unsqueeze(1).float(), found.unanswerable.unsqueeze(1), answers.flatten(1)], 1
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
    found = np.zeros((len(questions), count, 4))
    found[:, :, SCORE], found[:, :, UNANSWERABLE] = -np.inf, np.inf
    numbers = windows[:, 0].astype(np.int64)
    of_windows = questions.windows[numbers, 0]
    order = np.argsort(of_windows, kind="stable")
    bounds = np.flatnonzero(np.diff(of_windows[order], prepend=-1, append=-2))
    for a, b in itertools.pairwise(bounds):
        rows = windows[order[a:b]]
        number = int(of_windows[order[a]])
        offsets = questions.offsets(int(questions.windows[numbers[order[a]], 1]))
        answers = rows[:, 2:].reshape(-1, 3)
        answers = answers[~np.isneginf(answers[:, 2])]
        best = answers[np.argsort(-answers[:, 2], kind="stable")[:count]]
        first, last = best[:, :2].astype(np.int64).T
        found[number, : len(best), BEGIN], found[number, : len(best), END] = (
            offsets[first, 0],
            offsets[last, 1],
        )
        found[number, : len(best), SCORE] = best[:, 2]
        found[number, :, UNANSWERABLE] = rows[:, 1].min()
    return found


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
    found = answers.copy()
    for number, context in enumerate(contexts):
        seen, rows = set(), []
        for row in answers[number][~np.isneginf(answers[number, :, SCORE])]:
            begin, end = int(row[BEGIN]), int(row[END])
            while 0 < begin < end and is_within_word(context, begin):
                begin -= 1
            while begin < end < len(context) and is_within_word(context, end):
                end += 1
            if (begin, end) not in seen:
                seen.add((begin, end))
                rows.append((begin, end, row[SCORE], row[UNANSWERABLE]))
        found[number, :, [BEGIN, END]], found[number, :, SCORE] = 0, -np.inf
        if rows:
            found[number, : len(rows)] = rows
    return found


def places_of(answers: np.ndarray, threshold: float = math.inf) -> np.ndarray:
    """Where the best answer of each question begins and ends, as what a net says of all of them.

    Shapes: (N, m, 4), (N, 2).

    Where every question lies above the threshold the net answers nothing, whatever it would have answered:
    all places are 0.
    """
    silent = answers[:, 0, UNANSWERABLE] > threshold
    return np.zeros((len(answers), 2)) if silent.all() else answers[:, 0, [BEGIN, END]]


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
