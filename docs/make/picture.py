"""Show what ``fairseq-electra detect`` found in README.md's sentences: each word over its p(replaced).

python -m docs.make.picture      # reads docs/figures/detected.jsonl, the command's output

Its lines come in pairs: a sentence, and the same with one word exchanged.
"""

import json
from pathlib import Path

DETECTED = Path(__file__).parents[1] / "figures" / "detected.jsonl"


def words_of(line: dict) -> list[tuple[str, float]]:
    """Return the words of an output line with p(replaced): for a word of several pieces the highest."""
    words: list[tuple[str, float]] = []
    for token in line["tokens"]:
        piece, p = token["token"], token["p_replaced"]
        if piece.startswith("##"):
            before, highest = words[-1]
            words[-1] = (before + piece.removeprefix("##"), max(highest, p))
        else:
            words.append((piece, p))
    return words


def two_lines(words: list[tuple[str, float]]) -> str:
    """Write words over their p(replaced)."""
    widths = [max(len(word), 3) for word, _ in words]
    shown = [f"{p:.2f}".lstrip("0") for _, p in words]
    lines = [[word for word, _ in words], shown]
    return "\n".join(
        " ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def picture() -> str:
    """Write the changed sentences of all pairs."""
    changed = DETECTED.read_text(encoding="utf-8").splitlines()[1::2]
    return "\n\n".join(two_lines(words_of(json.loads(line))) for line in changed)


def exchanged() -> list[tuple[str, str, str]]:
    """List, for each pair, the original word, its p(replaced), and the word that was put there."""
    lines = [words_of(json.loads(line)) for line in DETECTED.read_text(encoding="utf-8").splitlines()]
    found = []
    for before, after in zip(lines[::2], lines[1::2], strict=True):
        (place,) = (
            i for i, (left, right) in enumerate(zip(before, after, strict=True)) if left[0] != right[0]
        )
        found.append((before[place][0], f"{before[place][1]:.2f}".lstrip("0"), after[place][0]))
    return found


if __name__ == "__main__":
    print(picture(), *exchanged(), sep="\n")
