"""Boilerplate: lines that a corpus repeats many times, such as menus, licences and headings.

Only a hash of each line is kept, so a corpus takes 8 bytes of memory per line, and 25 while they are counted.
"""

import hashlib
from array import array
from collections.abc import Iterable

import numpy as np

REPEATS = 10  # default: a line that occurs more often is boilerplate


def line_key(line: str) -> int:
    """Return a number of 64 bits that is the same for lines which differ in case and blanks alone."""
    text = " ".join(line.lower().split()).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little", signed=True)


def repeated_lines(lines: Iterable[str], repeats: int = REPEATS) -> dict[int, int]:
    """Find the lines that occur often.

    Args:
        lines: all lines of a corpus that are not blank.
        repeats: a line that occurs more often than this is boilerplate.

    Returns:
        how often each of these lines occurs, by its :func:`line_key`.
    """
    keys = array("q", map(line_key, lines))
    if not keys:
        return {}
    values = np.frombuffer(keys, dtype=np.int64)
    values.sort()
    starts = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    counts = np.diff(np.append(starts, len(values)))
    often = counts > repeats
    return dict(zip(values[starts[often]].tolist(), counts[often].tolist(), strict=True))
