"""Near duplicates by MinHash: paragraphs that share most of their triples of neighbouring words.

The share of all triples of two paragraphs that both hold is their Jaccard similarity. MinHash (Broder 1997)
estimates it from signatures of 128 numbers, which the package rensa computes. Paragraphs are compared only if
one of 16 bands of 8 numbers agrees (locality-sensitive hashing; Leskovec et al., Mining of Massive Datasets,
section 3.4): at a similarity of .9 this misses one pair in 10,000, at .8 one in 18. The index is ours because
rensa's takes 2.4 kB of memory per paragraph, and this one 0.75 kB.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

MIN_WORDS = 20  # shorter paragraphs are not compared
SHINGLE = 3  # words
THRESHOLD = 0.8  # of the estimated similarity
PERMUTATIONS, BANDS, SEED = 128, 16, 1
_BLOCK = 1 << 14  # rows of signatures that are allocated at once
# odd numbers, one for each number of a signature: a band's key is their sum of products modulo 2 ** 64
_FACTORS = np.random.default_rng(SEED).integers(1 << 63, size=(BANDS, PERMUTATIONS // BANDS), dtype=np.uint64)
_FACTORS = 2 * _FACTORS + np.uint64(1)


class Twin(NamedTuple):
    """A paragraph seen before: its number among those kept, and the estimated similarity to it."""

    number: int
    similarity: float


def shingles(words: Sequence[str]) -> list[str]:
    """Return the triples of neighbouring words of a paragraph."""
    return list(map(" ".join, zip(*(words[start:] for start in range(SHINGLE)), strict=False)))


class NearDuplicates:
    """An index of the paragraphs seen so far that were not near duplicates of one before them.

    A paragraph that is one does not enter the index, so a chain of small changes ends where the similarity to
    the paragraph that was kept falls below :data:`THRESHOLD`.
    """

    def __init__(self) -> None:
        self._blocks: list[np.ndarray] = []
        self._number = 0
        self._runs: list[tuple[np.ndarray, np.ndarray]] = []  # sorted keys of bands, and whose they are

    def __len__(self) -> int:
        return self._number

    def add(self, paragraphs: Sequence[Sequence[str]]) -> list[Twin | None]:
        """Compare paragraphs with those before them, and keep those that are new.

        Args:
            paragraphs: the words of each paragraph, :data:`MIN_WORDS` or more.

        Returns:
            for each paragraph the most similar of the kept ones that it is a near duplicate of, or None if it
            is new; new ones are numbered from 0 in their order over all calls.
        """
        if not paragraphs:
            return []
        signatures = signatures_of(paragraphs)
        keys = _band_keys(signatures)
        low = signatures.astype(np.uint16)  # half the memory; equal by chance once in 65,536
        before = self._owners(keys)
        repeated = {key for key, count in zip(*np.unique(keys, return_counts=True), strict=True) if count > 1}
        in_batch: dict[int, list[int]] = defaultdict(list)
        twins: list[Twin | None] = []
        new: list[int] = []
        for row, its_keys in enumerate(keys.tolist()):
            shared = repeated.intersection(its_keys) if repeated else ()
            candidates = {*before.get(row, ()), *(owner for key in shared for owner in in_batch[key])}
            twin = self._most_similar(low[row], sorted(candidates))
            twins.append(twin)
            if twin is None:
                for key in shared:
                    in_batch[key].append(self._number)
                self._append(low[row])
                new.append(row)
        self._index(keys[new], self._number - len(new))
        return twins

    def _owners(self, keys: np.ndarray) -> dict[int, set[int]]:
        """Find the kept paragraphs that share a band with each row of keys."""
        found: dict[int, set[int]] = defaultdict(set)
        for row, owner in self._matches(np.sort(keys, axis=None), np.argsort(keys, axis=None) // BANDS):
            found[row].add(owner)
        return found

    def _matches(self, wanted: np.ndarray, rows: np.ndarray) -> Iterator[tuple[int, int]]:
        for run, owners in self._runs:
            begin, end = np.searchsorted(run, wanted, "left"), np.searchsorted(run, wanted, "right")
            for match in np.flatnonzero(end > begin).tolist():
                for owner in owners[begin[match] : end[match]].tolist():
                    yield int(rows[match]), owner

    def _most_similar(self, signature: np.ndarray, candidates: list[int]) -> Twin | None:
        twins = [
            Twin(number, float((self._blocks[number // _BLOCK][number % _BLOCK] == signature).mean()))
            for number in candidates
        ]
        best = max(twins, key=lambda twin: twin.similarity, default=None)
        return best if best is not None and best.similarity >= THRESHOLD else None

    def _append(self, signature: np.ndarray) -> None:
        if self._number % _BLOCK == 0:
            self._blocks.append(np.empty((_BLOCK, PERMUTATIONS), np.uint16))
        self._blocks[-1][self._number % _BLOCK] = signature
        self._number += 1

    def _index(self, keys: np.ndarray, first: int) -> None:
        """Add the keys of new paragraphs, numbered from ``first``; runs of about the same size are merged."""
        owners = np.repeat(np.arange(first, first + len(keys), dtype=np.uint32), BANDS)
        run = (keys.ravel(), owners)
        while True:
            order = np.argsort(run[0], kind="stable")
            run = (run[0][order], run[1][order])
            if not self._runs or len(self._runs[-1][0]) > 2 * len(run[0]):
                break
            other = self._runs.pop()
            run = (np.concatenate([other[0], run[0]]), np.concatenate([other[1], run[1]]))
        self._runs.append(run)


def signatures_of(paragraphs: Sequence[Sequence[str]]) -> np.ndarray:
    """Return the MinHash signatures of paragraphs, given as words: (N, PERMUTATIONS), of 32 bits."""
    from rensa import RMinHash

    matrix = RMinHash.digest_matrix_from_token_sets(list(map(shingles, paragraphs)), PERMUTATIONS, SEED)
    return np.array(matrix.to_rows(), dtype=np.uint32)


def _band_keys(signatures: np.ndarray) -> np.ndarray:
    """Return a number of 64 bits for each band: (N, PERMUTATIONS) -> (N, BANDS)."""
    bands = signatures.reshape(len(signatures), *_FACTORS.shape).astype(np.uint64)
    return (bands * _FACTORS).sum(axis=-1, dtype=np.uint64)
