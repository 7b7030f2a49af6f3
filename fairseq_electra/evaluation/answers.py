"""From the answers of windows to those of questions, and their scores by SQuAD's rules."""

import itertools
import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fairseq_electra.data.question_folder import QuestionFolder, Questions

# columns of an answer: first and end character in the context, log-probability, and how likely the question has none
BEGIN, END, SCORE, UNANSWERABLE = range(4)
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """Lower-case, without punctuation and articles, single blanks. Source: SQuAD's evaluate-v2.0.py::normalize_answer."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(found: str, gold: str) -> float:
    """1 or 0. Source: SQuAD's evaluate-v2.0.py::compute_exact."""
    return float(normalize_answer(found) == normalize_answer(gold))


def token_f1(found: str, gold: str) -> float:
    """F1 of the words in common, 0 to 1; of no words at all, whether both have none. Source: SQuAD's evaluate-v2.0.py::compute_f1."""
    ours, theirs = normalize_answer(found).split(), normalize_answer(gold).split()
    if not ours or not theirs:
        return float(ours == theirs)
    common = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * common / (len(ours) + len(theirs))


def best_over(metric: Callable[[str, str], float], found: str, golds: Sequence[str]) -> float:
    """Score against the gold answer that fits best; no gold answer is the empty one. Gold answers of which nothing is left do not count.

    Source: SQuAD's evaluate-v2.0.py::get_raw_scores.
    """
    kept = [gold for gold in golds if normalize_answer(gold)]
    return max(metric(found, gold) for gold in kept or [""])


def best_threshold(answered: np.ndarray, empty: np.ndarray, unanswerable: np.ndarray) -> float:
    """Find the threshold with the best sum of scores: above it a question is given no answer.

    Args:
        answered: score of each question's answer. Shape: (N,).
        empty: score of giving none. Shape: (N,).
        unanswerable: how likely there is none; any scale. Shape: (N,).

    Returns:
        the smallest of those values, or one below them all, that is best.

    Source: SQuAD's evaluate-v2.0.py::find_best_thresh.
    """
    order = np.argsort(unanswerable, kind="stable")
    values = unanswerable[order]
    totals = empty.sum() + np.concatenate([[0.0], np.cumsum((answered - empty)[order])])
    last = np.append(values[1:] != values[:-1], True)  # of equal values all are answered, or none
    totals, values = totals[np.append(True, last)], values[last]
    best = int(totals.argmax())
    return float(values[best - 1]) if best else float(values[0] - 1.0)


def score_answers(texts: Sequence[str], golds: Sequence[Sequence[str]], unanswerable: np.ndarray | None = None) -> dict[str, float]:
    """Score answers as SQuAD does.

    Args:
        texts: of each question the best answer. N.
        golds: of each question the right ones; none: it has no answer.
        unanswerable: how likely there is none, where questions may have none: the threshold with the best F1 is chosen. Shape: (N,).

    Returns:
        ``f1`` and ``exact_match`` in per cent; with ``unanswerable`` also ``answerable_f1``, F1 of the questions that have an answer,
        ``unanswerable_accuracy`` and ``threshold``.
    """
    f1 = np.array([best_over(token_f1, text, gold) for text, gold in zip(texts, golds, strict=True)])
    exact = np.array([best_over(exact_match, text, gold) for text, gold in zip(texts, golds, strict=True)])
    if unanswerable is None:
        return {"f1": 100 * float(f1.mean()), "exact_match": 100 * float(exact.mean())}
    without = np.array([not any(normalize_answer(gold) for gold in each) for each in golds])
    empty = without.astype(np.float64)
    threshold = best_threshold(f1, empty, unanswerable)
    silent = unanswerable > threshold
    f1, exact = np.where(silent, empty, f1), np.where(silent, empty, exact)
    parts = {"answerable_f1": f1[~without], "unanswerable_accuracy": f1[without]}
    return {
        "f1": 100 * float(f1.mean()),
        "exact_match": 100 * float(exact.mean()),
        **{name: 100 * float(part.mean()) if len(part) else 0.0 for name, part in parts.items()},
        "threshold": threshold,
    }


def window_answers(hidden: Tensor, head: Any, batch: dict, beam: int, count: int, longest: int) -> Tensor:
    """Find the best answers of each window of a batch.

    Args:
        hidden: the encoder's states of its rows. Shape: (B, T, C).
        head: one of :mod:`fairseq_electra.modules.answer_heads`.
        batch: of :class:`fairseq_electra.data.question_rows.QuestionRows`.
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
    return torch.cat([batch["id"].unsqueeze(1).float(), found.unanswerable.unsqueeze(1), answers.flatten(1)], 1)


def answers_of_questions(questions: Questions, windows: np.ndarray, count: int) -> np.ndarray:
    """Put the answers of windows together.

    Args:
        questions: N.
        windows: of each window of theirs, in any order: its number, how likely the question has no answer there, and first and last piece
            of the context and log-probability of n answers. Shape: (windows, 2 + 3n).
        count: answers to return, m.

    Returns:
        the best answers of each question, best first; of fewer than m the rest has score -inf. A question has no answer as far as
        the window says so that is least sure of it. Shape: (N, m, 4).
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
        found[number, : len(best), BEGIN], found[number, : len(best), END] = offsets[first, 0], offsets[last, 1]
        found[number, : len(best), SCORE] = best[:, 2]
        found[number, :, UNANSWERABLE] = rows[:, 1].min()
    return found


def whole_words(answers: np.ndarray, contexts: Sequence[str]) -> np.ndarray:
    """Widen answers that begin or end within a word to all of it, as google-research/electra finetune/qa/qa_metrics.py does by words.

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
            while 0 < begin < end and _within_word(context, begin):
                begin -= 1
            while begin < end < len(context) and _within_word(context, end):
                end += 1
            if (begin, end) not in seen:
                seen.add((begin, end))
                rows.append((begin, end, row[SCORE], row[UNANSWERABLE]))
        found[number, :, [BEGIN, END]], found[number, :, SCORE] = 0, -np.inf
        if rows:
            found[number, : len(rows)] = rows
    return found


def _within_word(text: str, place: int) -> bool:
    """Tell whether a word goes on between two characters. A CJK ideograph is a word of its own, as BERT's tokenizer has it."""
    before, behind = text[place - 1], text[place]
    return before.isalnum() and behind.isalnum() and not (_is_ideograph(before) or _is_ideograph(behind))


def _is_ideograph(character: str) -> bool:
    return "\u3400" <= character <= "\u9fff"


def texts_of(answers: np.ndarray, contexts: Sequence[str]) -> list[str]:
    """The best answer of each question, as it stands in its context; empty where there is none. Shapes: (N, m, 4), N."""
    return [
        context[int(best[BEGIN]) : int(best[END])] if np.isfinite(best[SCORE]) else ""
        for best, context in zip(answers[:, 0], contexts, strict=True)
    ]


def score_split(folder: QuestionFolder, answers: np.ndarray, unanswerable: bool) -> dict[str, float]:
    """Score the answers of a split: (questions, m, 4)."""
    texts = texts_of(answers, folder.context_of_each())
    golds = [[text for _, text in question["answers"]] for question in folder.texts()[0]]
    return score_answers(texts, golds, answers[:, 0, UNANSWERABLE] if unanswerable else None)
