"""Which tokens would make a text repeat itself, while some of its tokens are still masked."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

Row = Sequence[int]


def repeated(row: Row, position: int, token: int, size: int, mask: int) -> bool:
    """Tell whether a token makes an n-gram through its position occur twice.

    Args:
        row: ids.
        position: where the token would stand; what the row has there does not count.
        token: its id.
        size: length of the n-grams, n.
        mask: id of ``<mask>``; an n-gram with a masked token is no n-gram yet.
    """
    if size > len(row):
        return False
    changed = [*row[:position], token, *row[position + 1 :]]
    counts: dict[tuple[int, ...], int] = defaultdict(int)
    for ngram in _windows(changed, size):
        if mask not in ngram:
            counts[ngram] += 1
    return any(
        counts[tuple(changed[start : start + size])] > 1
        for start in range(max(0, position - size + 1), min(position, len(row) - size) + 1)
    )


def forbidden(row: Row, positions: Sequence[int], size: int, mask: int) -> list[set[int]]:
    """Find for masked positions the tokens that would repeat an n-gram (:func:`repeated`), each alone.

    A token repeats an n-gram that stands elsewhere, found by its other tokens, or completes two equal ones at
    once, of which one then has the same token at the distance of their starts.

    Args:
        row: ids.
        positions: masked positions.
        size: length of the n-grams, n.
        mask: id of ``<mask>``.
    """
    if size > len(row):
        return [set() for _ in positions]
    with_gap = defaultdict(set)
    for ngram in _windows(row, size):
        if mask not in ngram:
            for gap in range(size):
                with_gap[gap, ngram[:gap] + ngram[gap + 1 :]].add(ngram[gap])
    found = []
    for position in positions:
        tokens = set[int]()
        for start in range(max(0, position - size + 1), min(position, len(row) - size) + 1):
            others = (*row[start:position], *row[position + 1 : start + size])
            if mask not in others:
                tokens |= with_gap.get((position - start, others), set())
        near = {*row[max(0, position - size + 1) : position], *row[position + 1 : position + size]} - {mask}
        tokens |= {token for token in near - tokens if repeated(row, position, token, size, mask)}
        found.append(tokens)
    return found


def _windows(row: Row, size: int) -> Iterator[tuple[int, ...]]:
    return zip(*(row[start:] for start in range(size)), strict=False)
