"""Windows of long rows: where they begin, and in which of them a piece has most context."""

import numpy as np


def windows_of(length: int, room: int, stride: int) -> list[tuple[int, int]]:
    """Cover ``length`` pieces with windows of at most ``room``, each ``stride`` behind the last; returns (first, end) of each.

    Source: google-research/electra finetune/qa/qa_tasks.py::QATask.featurize.
    """
    found, first = [], 0
    while True:
        end = min(first + room, length)
        found.append((first, end))
        if end == length:
            return found
        first += min(end - first, stride)


def best_window(length: int, windows: list[tuple[int, int]]) -> np.ndarray:
    """Tell for each piece in which window it has most context: the smaller of both sides, and a hundredth of the window's length.

    Returns:
        numbers of windows; of equal ones the first. Shape: (length,).

    Source: google-research/electra finetune/qa/qa_utils.py, ``_check_is_max_context``.
    """
    place = np.arange(length)[None]
    first, end = (np.array(side)[:, None] for side in zip(*windows, strict=True))
    score = np.minimum(place - first, end - 1 - place) + 0.01 * (end - first)
    return np.where((place >= first) & (place < end), score, -np.inf).argmax(0)
