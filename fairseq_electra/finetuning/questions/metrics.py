"""SQuAD's own rules: exact match, F1, and the threshold above which a question has no answer."""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
ORACLE = ("oracle_f1", "oracle_threshold")  # of a threshold chosen on the very questions that are scored


def normalize_answer(text: str) -> str:
    """Lower-case, without punctuation and articles, single blanks.

    Source: SQuAD's evaluate-v2.0.py::normalize_answer.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, gold: str) -> float:
    """1 or 0. Source: SQuAD's evaluate-v2.0.py::compute_exact."""
    return float(normalize_answer(answer) == normalize_answer(gold))


def token_f1(answer: str, gold: str) -> float:
    """F1 of the words in common, 0 to 1; of no words at all, whether both have none.

    Words are what blanks separate: where a script has none (Chinese, Japanese, Thai), an answer is one word,
    and F1 is 0 or 1.

    Source: SQuAD's evaluate-v2.0.py::compute_f1.
    """
    ours, theirs = normalize_answer(answer).split(), normalize_answer(gold).split()
    if not ours or not theirs:
        return float(ours == theirs)
    common = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * common / (len(ours) + len(theirs))


def best_over(metric: Callable[[str, str], float], answer: str, golds: Sequence[str]) -> float:
    """Score against the gold answer that fits best; no gold answer is the empty one.

    Gold answers of which nothing is left do not count.

    Source: SQuAD's evaluate-v2.0.py::get_raw_scores.
    """
    kept = [gold for gold in golds if normalize_answer(gold)]
    return max(metric(answer, gold) for gold in kept or [""])


def best_threshold(answered: np.ndarray, empty: np.ndarray, unanswerable: np.ndarray) -> float:
    """Find the threshold with the best sum of scores: above it a question is given no answer.

    Args:
        answered: score of each question's answer. Shape: (N,).
        empty: score of giving none. Shape: (N,).
        unanswerable: how likely there is none; any scale. Shape: (N,).

    Returns:
        the smallest of all that are best, as a value between two neighbours of those given, or beyond all of
        them. So it parts the same questions when printed in a few digits, or with scores that another batch
        has rounded otherwise.

    Source: SQuAD's evaluate-v2.0.py::find_best_thresh. Deviation: there it is the lower neighbour itself.
    """
    order = np.argsort(unanswerable, kind="stable")
    values = unanswerable[order]
    totals = empty.sum() + np.concatenate([[0.0], np.cumsum((answered - empty)[order])])
    last = np.append(values[1:] != values[:-1], True)  # of equal values all are answered, or none
    totals, values = totals[np.append(True, last)], values[last]
    values = values.astype(np.float64)  # there is room between any two of float32
    between = np.concatenate([values[:1] - 1.0, (values[:-1] + values[1:]) / 2, values[-1:] + 1.0])
    return float(between[totals.argmax()])


def score_answers(
    texts: Sequence[str],
    golds: Sequence[Sequence[str]],
    unanswerable: np.ndarray | None = None,
    threshold: float | None = None,
) -> dict[str, float]:
    """Score answers as SQuAD does.

    Args:
        texts: of each question the best answer. N.
        golds: of each question the right ones; none: it has no answer.
        unanswerable: how likely there is none, where questions may have none. Shape: (N,).
        threshold: above it a question is given no answer; None: the one with the best F1 on these questions.

    Returns:
        ``f1`` and ``exact_match`` in per cent; with ``unanswerable`` also ``answerable_f1``, F1 of the
        questions that have an answer, ``unanswerable_accuracy`` and ``threshold``; and ``best_answer_f1``, F1
        of the questions that have an answer, were every question given its best one. With a given threshold
        also the names of :data:`ORACLE`: the best F1 that any threshold gives here, and that threshold.
    """
    f1 = np.array([best_over(token_f1, text, gold) for text, gold in zip(texts, golds, strict=True)])
    exact = np.array([best_over(exact_match, text, gold) for text, gold in zip(texts, golds, strict=True)])
    if unanswerable is None:
        return {"f1": 100 * float(f1.mean()), "exact_match": 100 * float(exact.mean())}
    without = np.array([not any(normalize_answer(gold) for gold in each) for each in golds])
    empty = without.astype(np.float64)
    best = best_threshold(f1, empty, unanswerable)
    oracle = {}
    if threshold is None:
        threshold = best
    else:
        oracle = dict(
            zip(ORACLE, (100 * float(np.where(unanswerable > best, empty, f1).mean()), best), strict=True)
        )
    best_answer_f1 = f1[~without]
    is_unanswerable = unanswerable > threshold
    f1, exact = np.where(is_unanswerable, empty, f1), np.where(is_unanswerable, empty, exact)
    parts = {
        "answerable_f1": f1[~without],
        "unanswerable_accuracy": f1[without],
        "best_answer_f1": best_answer_f1,
    }
    return {
        "f1": 100 * float(f1.mean()),
        "exact_match": 100 * float(exact.mean()),
        **{name: 100 * float(part.mean()) if len(part) else 0.0 for name, part in parts.items()},
        "threshold": threshold,
        **oracle,
    }
