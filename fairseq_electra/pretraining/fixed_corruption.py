"""Validation text that is corrupted once, to compare the discriminators of different runs on it.

``disc_auc`` cannot compare runs: it falls as the generator improves. These corruptions do not depend on the
run: not on its generator, its seed, its rows or its masks.
"""

import hashlib
import json
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fairseq_electra.electra.hashing import Stream, bits, fractions, row_keys
from fairseq_electra.errors import InputError
from fairseq_electra.files.text import atomic_write
from fairseq_electra.pretraining.binarized import Binarized
from fairseq_electra.pretraining.rows import build_rows, gather_rows
from fairseq_electra.pretraining.wordpiece import EOS_ID

CORRUPTED_SHARE = 0.15  # of the tokens; fewer change, as the token drawn may be the one that stands there
SEED = 1  # the same for all runs
IDS_PER_KEY = 1024
# the metrics are called fixed_auc and fixed_generator_auc
BY_FREQUENCY, BY_GENERATOR = ("fixed", "fixed_generator")
ROW_LENGTH = 128  # tokens of a row that a generator corrupts
ROWS_PER_BATCH = 32
# what reading a damaged file of numpy's raises; RuntimeError: it seems encrypted, or packed otherwise
UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError, EOFError, SyntaxError, zipfile.BadZipFile, zlib.error),
    *(tokenize.TokenError, RuntimeError),
)


def corrupt_by_frequency(ids: np.ndarray, first_piece: int, mask_index: int) -> np.ndarray:
    """Replace random tokens by tokens drawn as often as they occur in the text.

    Args:
        ids: the text. Shape: (number of ids,).
        first_piece, mask_index: tokens of text are the ids from ``first_piece - 1`` (``<unk>``) to
            ``mask_index``, half-open.

    Returns:
        the corrupted text, in the type of ``ids``. Each id depends on its index and on the frequencies of
        tokens alone.
    """
    is_token = (ids >= first_piece - 1) & (ids < mask_index)
    cumulative = np.bincount(ids[is_token], minlength=mask_index).cumsum()
    num_keys = -(-len(ids) // IDS_PER_KEY)
    keys = row_keys(Stream.FIXED, SEED, 0, np.arange(num_keys))
    draws = fractions(bits(keys, 2 * IDS_PER_KEY)).reshape(num_keys, 2, IDS_PER_KEY)
    chosen, which = (draws[:, number].reshape(-1)[: len(ids)] for number in range(2))
    drawn = np.searchsorted(cumulative, np.floor(which * cumulative[-1]), side="right")
    return np.where(is_token & (chosen < CORRUPTED_SHARE), drawn, ids).astype(ids.dtype)


def corrupt_by_rows(corpus: Binarized, corrupt: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """Let a function corrupt the text row by row, and put the rows together again.

    Args:
        corpus: the text.
        corrupt: takes rows of one segment, (B, T), and their numbers, (B,); returns rows of the same shape.

    Returns:
        the corrupted text. Shape: (number of ids,).
    """
    rows, corrupted = build_rows(corpus.line_sizes, ROW_LENGTH, pairs=False), corpus.ids.copy()
    for first in range(0, len(rows), ROWS_PER_BATCH):
        numbers = np.arange(first, min(first + ROWS_PER_BATCH, len(rows)))
        batch = gather_rows(corpus.ids, rows, numbers, ROW_LENGTH)
        for number, tokens in zip(numbers, corrupt(batch.tokens, numbers), strict=True):
            indices = np.arange(rows.start[number], rows.start[number] + rows.num_ids[number])
            indices = indices[corpus.ids[indices] != EOS_ID]
            corrupted[indices] = tokens[1 : 1 + len(indices)]
    return corrupted


class Corruption(NamedTuple):
    """A saved corruption: the corrupted text, (number of ids,), and the name of its generator."""

    ids: np.ndarray
    generator: str


def corruption_file(prefix: str | Path) -> Path:
    """Return where a generator's corruption of a split is saved; ``prefix`` as of :func:`save_corruption`."""
    return Path(f"{prefix}.{BY_GENERATOR}.npz")


def save_corruption(prefix: str | Path, corpus: Binarized, corrupted: np.ndarray, generator: str) -> Path:
    """Save a generator's corruption of a split in the same folder; returns the file.

    Args:
        prefix: folder and split, such as ``data-bin/valid``.
        corpus: the split.
        corrupted: the corrupted text, as :func:`corrupt_by_rows` returns it.
        generator: name of the generator that corrupted it.
    """
    path = corruption_file(prefix)
    about = json.dumps({"generator": generator, "text": digest(corpus.ids)})
    with atomic_write(path, "wb") as stream:
        np.savez_compressed(stream, corrupted=corrupted, about=np.array(about))
    return path


def save_replacements(path: Path, corpus: Binarized, corruption: Corruption) -> None:
    """Save what a corruption replaced, without the text: a small file for others who have the same text.

    Args:
        path: the file.
        corpus: the text.
        corruption: its corruption.
    """
    places = np.flatnonzero(corruption.ids != corpus.ids)
    about = json.dumps({"generator": corruption.generator, "text": digest(corpus.ids)})
    with atomic_write(path, "wb") as stream:
        np.savez_compressed(
            stream,
            gaps=np.diff(places, prepend=0).astype(np.uint32),  # small numbers, which compress well
            replacements=corruption.ids[places],
            about=np.array(about),
        )


def load_replacements(path: Path, corpus: Binarized, vocabulary_size: int) -> Corruption:
    """Corrupt a text as a file of :func:`save_replacements` says.

    Args:
        path: the file.
        corpus: the text.
        vocabulary_size: ids are smaller.

    Raises:
        InputError: the file is damaged, or belongs to another text.
    """
    try:
        with np.load(path) as saved:
            gaps, replacements = saved["gaps"], saved["replacements"]
            places = np.cumsum(gaps, dtype=np.int64)
            about = json.loads(str(saved["about"]))
        generator, text = str(about["generator"]), str(about["text"])
    except UNREADABLE as error:
        raise InputError(
            f"{path} is no file of replacements, or is damaged ({error}); give one that fairseq-electra"
            " corrupt --replacements has written"
        ) from error
    if text != digest(corpus.ids):
        raise InputError(
            f"{path} belongs to another text; encode the text it was made for, with the same vocabulary"
        )
    corrupted = corpus.ids.copy()
    if not (
        gaps.shape == replacements.shape == places.shape
        and _within(gaps, len(corrupted))
        and (gaps[1:] > 0).all()
        and (places < len(corrupted)).all()
        and _within(replacements, vocabulary_size)
    ):
        raise InputError(
            f"{path} is damaged: it has other places or ids than the text and its vocabulary of"
            f" {vocabulary_size:,}; make it again"
        )
    corrupted[places] = replacements
    _check_lines(path, corpus, corrupted)
    return Corruption(corrupted, generator)


def _check_lines(path: Path, corpus: Binarized, corrupted: np.ndarray) -> None:
    """Refuse a corruption that makes or removes an end of a line, which only the text itself has."""
    wrong = int(((corrupted == EOS_ID) != (corpus.ids == EOS_ID)).sum())
    if wrong:
        raise InputError(
            f"{path} has other lines than the text (ends of lines missing or added: {wrong:,}); make it again"
            " with fairseq-electra corrupt"
        )


def _within(numbers: np.ndarray, end: int) -> bool:
    """Tell whether whole numbers are from 0 to below ``end``."""
    return numbers.dtype.kind in "iu" and bool(((numbers >= 0) & (numbers < end)).all())


def load_corruption(prefix: str | Path, corpus: Binarized) -> Corruption | None:
    """Load what :func:`save_corruption` saved; None if there is no such file.

    Raises:
        InputError: the file is damaged, or belongs to another text.
    """
    path = corruption_file(prefix)
    if not path.is_file():
        return None
    remedy = "remove it, or make it again with fairseq-electra corrupt"
    try:
        with np.load(path) as saved:
            corrupted, about = saved["corrupted"], json.loads(str(saved["about"]))
        generator, text = str(about["generator"]), str(about["text"])
    except UNREADABLE as error:
        raise InputError(f"{path} is damaged ({error}); {remedy}") from error
    if text != digest(corpus.ids) or corrupted.shape != corpus.ids.shape:
        raise InputError(f"{path} belongs to another text than {prefix}.bin; {remedy}")
    _check_lines(path, corpus, corrupted)
    return Corruption(corrupted, generator)


def digest(ids: np.ndarray) -> str:
    """Return the SHA-256 of a text in ids, in hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(ids).astype("<u4").tobytes()).hexdigest()
