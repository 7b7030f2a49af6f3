"""Languages of a pre-training run: their names, their data folders, and how often each is drawn.

The text of a language is a folder of that name inside the data folder: ``data-bin/en/train.bin``.
"""

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.wordpiece import DICTIONARY_FILE

ALPHA = 0.7  # fairseq/tasks/multilingual_masked_lm.py, --multilang-sampling-alpha


def parse_languages(names: str | None) -> tuple[str, ...]:
    """Read ``--languages``: names with commas between them; none if it is not given.

    Raises:
        InputError: a name cannot be that of a folder, or stands there twice.
    """
    found = () if names is None else tuple(names.split(","))
    for name in found:
        check_language(name)
        if found.count(name) > 1:
            raise InputError(f"--languages {names}: {name} stands there twice; name each language once")
    return found


def check_language(name: str) -> None:
    """Refuse a name of a language that could not be the name of its folder."""
    if not re.fullmatch(r"[\w-]+", name):
        raise InputError(
            f"{name!r} cannot name a language, since it names a folder too; use letters, digits, - and _, and"
            " put commas without blanks between names: en,ko,zh"
        )


def check_alpha(alpha: float) -> None:
    """Refuse an exponent outside of [0, 1]."""
    if not 0 <= alpha <= 1:
        raise InputError(
            f"--sampling-alpha must lie between 0 and 1, got {alpha:g}; 1 draws languages by their size, 0"
            f" all alike, and {ALPHA} is usual"
        )


def check_languages(languages: str | None, alpha: float | None, folders: Sequence[str]) -> None:
    """Refuse options of a run that do not fit each other.

    Args:
        languages, alpha: ``--languages`` and ``--sampling-alpha``; None if it is not given.
        folders: the data folders.
    """
    names = parse_languages(languages)
    if alpha is not None:
        if not names:
            raise InputError("--sampling-alpha needs --languages, whose rows it draws; give both, or neither")
        check_alpha(alpha)
    if names and len(folders) > 1:
        raise InputError(
            f"--languages are folders in one data folder, got {os.pathsep.join(folders)}; give one, with all"
            " of the text"
        )


def language_folders(data: str, languages: str | None) -> list[Path]:
    """Return the folder of each language; without languages the data folders themselves.

    Args:
        data: the data folders, with colons between them; of languages there is one.
        languages: as for :func:`parse_languages`.
    """
    folders = [Path(folder) for folder in data.split(os.pathsep) if folder]
    names = parse_languages(languages)
    return [folder / name for folder in folders for name in names] if names else folders


def vocabulary_folder(data: str, languages: str | None) -> Path:
    """Return the folder whose vocabulary a run has: the data folder, or that of the first language in it."""
    first = Path(data.split(os.pathsep)[0])
    if not languages or (first / DICTIONARY_FILE).is_file():
        return first
    return language_folders(data, languages)[0]


def smoothed_shares(sizes: Sequence[int], alpha: float) -> np.ndarray:
    """Return the share of each language in what is drawn: its share of the text, to the power of ``alpha``.

    Args:
        sizes: size of each language's text, in rows or characters.
        alpha: exponent: 1 leaves the shares as they are, 0 makes them equal.

    Returns:
        the shares, which add up to 1. Shape: (number of languages,).

    Source: fairseq/tasks/multilingual_masked_lm.py::MultiLingualMaskedLMTask._get_sample_prob.
    """
    shares = (np.asarray(sizes, np.float64) / sum(sizes)) ** alpha
    return shares / shares.sum()


@dataclass(frozen=True)
class LanguageSampling:
    """Which rows of which language an epoch has.

    An epoch has as many rows as all languages together, the same number of each language in every epoch.
    A language is read in passes: each is all of its rows in a random order, and the next epoch goes on where
    the last one ended. So after any number of epochs, rows of one language were drawn equally often, but for
    one time more or less. A small language has several passes in an epoch, a large one a part of a pass.

    Args:
        sizes: number of rows of each language.
        counts: number of rows of each language in an epoch.
        seed: random seed of the order.
    """

    sizes: tuple[int, ...]
    counts: tuple[int, ...]
    seed: int

    @classmethod
    def smoothed(cls, sizes: Sequence[int], alpha: float, seed: int) -> "LanguageSampling":
        """Draw languages by :func:`smoothed_shares`, rounded to rows by the largest remainders."""
        wanted = smoothed_shares(sizes, alpha) * sum(sizes)
        counts = np.floor(wanted).astype(np.int64)
        largest = np.argsort(counts - wanted, kind="stable")[: sum(sizes) - int(counts.sum())]
        counts[largest] += 1
        return cls(tuple(map(int, sizes)), tuple(counts.tolist()), seed)

    @property
    def bounds(self) -> np.ndarray:
        """Rows ``bounds[i]`` to ``bounds[i + 1]`` of an epoch are of language i. Shape: (languages + 1,)."""
        return np.cumsum([0, *self.counts])

    def rows_of(self, epoch: int) -> np.ndarray:
        """Return the rows of an epoch, from 1: the number of each in its language. Shape: (rows,)."""
        return np.concatenate(
            [
                self._drawn(language, (epoch - 1) * count, epoch * count)
                for language, count in enumerate(self.counts)
            ]
        )

    def _drawn(self, language: int, start: int, end: int) -> np.ndarray:
        """Return what is drawn of a language from one number of draws since the first epoch to another."""
        size = self.sizes[language]
        first, last = start // size, math.ceil(end / size)
        passes = [
            np.random.default_rng([self.seed, language, number]).permutation(size)
            for number in range(first, last)
        ]
        return np.concatenate(passes)[start - first * size : end - first * size]
