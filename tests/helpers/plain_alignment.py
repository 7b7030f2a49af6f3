"""An alignment of two sequences, by the definition."""


def longest_common_run(first: list, second: list) -> tuple[int, int, int]:
    """Find where the longest common run starts in both, and its length: of several the first one."""
    best = (0, 0, 0)
    for i in range(len(first)):
        for j in range(len(second)):
            length = 0
            while (
                i + length < len(first)
                and j + length < len(second)
                and first[i + length] == second[j + length]
            ):
                length += 1
            if length > best[2]:
                best = (i, j, length)
    return best


def plain_alignment(first: list, second: list) -> list[tuple[int, int]]:
    """Align the longest common run, and then what is to its left, and what is to its right."""
    i, j, length = longest_common_run(first, second)
    if not length:
        return []
    right = plain_alignment(first[i + length :], second[j + length :])
    return [
        *plain_alignment(first[:i], second[:j]),
        *((i + step, j + step) for step in range(length)),
        *((i + length + a, j + length + b) for a, b in right),
    ]
