"""Windows of long rows: where they start, and in which of them a token has the most context."""

import numpy as np


def windows_of(length: int, max_length: int, stride: int) -> list[tuple[int, int]]:
    """Cover ``length`` tokens with windows of at most ``max_length``, each ``stride`` after the one before.

    Returns:
        the half-open range (first, end) of each.

    Source: google-research/electra finetune/qa/qa_tasks.py::QATask.featurize.
    """
    windows, first = [], 0
    while True:
        end = min(first + max_length, length)
        windows.append((first, end))
        if end == length:
            return windows
        first += min(end - first, stride)


def number_of_windows(length: int, max_length: int, stride: int) -> int:
    """Count the windows of :func:`windows_of` without making them."""
    step = min(max_length, stride)
    return 1 + max(0, -((max_length - length) // step))


def best_window(length: int, windows: list[tuple[int, int]]) -> np.ndarray:
    """Return for each token the window in which it has most context.

    Context is the smaller of both sides, plus a hundredth of the window's length.

    Returns:
        numbers of the windows; of equal ones the first. Shape: (length,).

    Source: google-research/electra finetune/qa/qa_utils.py, ``_check_is_max_context``.
    """
    best, window_numbers = np.full(length, -np.inf), np.zeros(length, dtype=np.int64)
    # a table of all windows and pieces would be large: a line may be a book
    for i, (first, end) in enumerate(windows):
        index = np.arange(end - first)
        score = np.minimum(index, index[::-1]) + 0.01 * (end - first)
        better = score > best[first:end]
        best[first:end][better], window_numbers[first:end][better] = score[better], i
    return window_numbers
