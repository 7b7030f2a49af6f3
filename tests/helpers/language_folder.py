"""A data folder of three languages whose tokens can be told apart, to see where a row comes from."""

import shutil
from pathlib import Path

import numpy as np

from fairseq_electra.pretraining.encode import write_binarized
from tests.helpers.streams import EOS

VOCABULARY = 1000  # of the fixture ``vocabulary``
# the ids of each language: from, and up to
IDS = {"en": (4, 300), "ko": (300, 600), "zh": (600, 900)}
DOCUMENTS = {"en": 60, "ko": 12, "zh": 2}


def write_languages(folder: Path, vocabulary: Path, names=tuple(IDS)) -> Path:
    """Write ``NAME/train`` and ``NAME/valid`` of each language, with the vocabulary beside them."""
    for name in names:
        rng = np.random.default_rng(IDS[name][0])
        shutil.copytree(vocabulary, folder / name)
        for split, number in ("train", DOCUMENTS[name]), ("valid", 3):
            write_binarized(folder / name / split, [lines(rng, *IDS[name], number)], VOCABULARY, EOS)
    return folder


def lines(rng, first: int, end: int, documents: int) -> list[list[int]]:
    """Return documents of four lines and a blank one."""
    return [
        rng.integers(first, end, rng.integers(8, 40)).tolist() if number % 5 < 4 else []
        for number in range(5 * documents)
    ]


def language_of(tokens: np.ndarray) -> str:
    """Return the only language that the ids of a row are of."""
    ids = tokens[(tokens > 3) & (tokens < VOCABULARY - 1)]
    (name,) = (name for name, (first, end) in IDS.items() if ((ids >= first) & (ids < end)).all())
    return name
