"""Windows of a context, found in the plainest way."""

import math


def windows_by_hand(length, room, stride):
    """As many equal steps as it takes for the last window to reach the end."""
    step = min(room, stride)
    return [
        (step * i, min(step * i + room, length)) for i in range(1 + max(0, math.ceil((length - room) / step)))
    ]


def best_by_hand(length, spans):
    """Transcribed from google-research/bert: _check_is_max_context."""
    found = []
    for place in range(length):
        best_score = best = None
        for number, (first, end) in enumerate(spans):
            if not first <= place < end:
                continue
            score = min(place - first, end - 1 - place) + 0.01 * (end - first)
            if best_score is None or score > best_score:
                best_score, best = score, number
        found.append(best)
    return found


def pieces_touched(offsets, start, end):
    return [i for i, (a, b) in enumerate(offsets) if a < end and b > start]
