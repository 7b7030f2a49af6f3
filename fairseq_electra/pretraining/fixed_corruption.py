"""A yardstick: validation text corrupted once and for all, so that discriminators of different runs judge the same replacements.

``disc_auc`` cannot compare runs: it falls as the generator gets better. These corruptions know nothing of the run: not its generator, its
seed, its rows or its masks.
"""

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fairseq_electra.electra.hashing import Stream, bits, fractions, row_keys
from fairseq_electra.errors import InputError
from fairseq_electra.files.text import written_whole
from fairseq_electra.pretraining.binarized import Binarized
from fairseq_electra.pretraining.rows import build_rows, gather_rows

SHARE = 0.15  # of the pieces; fewer change, as a draw may hit the piece that stands there
SEED = 1  # never that of a run
BLOCK = 1024  # ids that share a key
BY_FREQUENCY, BY_GENERATOR = (
    "fixed",
    "fixed_generator",
)  # the metrics are called fixed_auc and fixed_generator_auc
WIDTH = 128  # tokens of a row that a generator corrupts


def corrupt_by_frequency(ids: np.ndarray, first_piece: int, mask_index: int) -> np.ndarray:
    """Replace pieces at random by pieces drawn as often as they occur in the text.

    Args:
        ids: the text. Shape: (number of ids,).
        first_piece, mask_index: the ids from ``first_piece - 1`` (``<unk>``) up to ``mask_index`` are pieces.

    Returns:
        the corrupted text, in the type of ``ids``. Each id depends on its place in the text and on the text's frequencies alone.
    """
    piece = (ids >= first_piece - 1) & (ids < mask_index)
    frequency = np.bincount(ids[piece], minlength=mask_index).cumsum()
    blocks = -(-len(ids) // BLOCK)
    draws = fractions(bits(row_keys(Stream.FIXED, SEED, 0, np.arange(blocks)), 2 * BLOCK)).reshape(
        blocks, 2, BLOCK
    )
    chosen, which = (draws[:, number].reshape(-1)[: len(ids)] for number in range(2))
    drawn = np.searchsorted(frequency, np.floor(which * frequency[-1]), side="right")
    return np.where(piece & (chosen < SHARE), drawn, ids).astype(ids.dtype)


def corrupt_by_rows(
    corpus: Binarized, corrupt: Callable[[np.ndarray, np.ndarray], np.ndarray], bos: int, pad: int, eos: int
) -> np.ndarray:
    """Let a function corrupt the text row by row, and put the rows together again.

    Args:
        corpus: the text.
        corrupt: takes rows of one segment, (B, T), and their numbers, (B,); returns rows of the same shape.
        bos, pad, eos: ids of the special symbols.

    Returns:
        the corrupted text. Shape: (number of ids,).
    """
    rows, corrupted = build_rows(corpus.line_sizes, WIDTH, pairs=False), corpus.ids.copy()
    for first in range(0, len(rows), 32):
        index = np.arange(first, min(first + 32, len(rows)))
        tokens, _, _ = gather_rows(corpus.ids, rows, index, WIDTH, bos=bos, pad=pad, eos=eos)
        found = corrupt(tokens, index)
        for row, result in zip(index, found, strict=True):
            span = np.arange(rows.start[row], rows.start[row] + rows.length[row])
            span = span[corpus.ids[span] != eos]
            corrupted[span] = result[1 : 1 + len(span)]
    return corrupted


def save_corruption(prefix: str | Path, corpus: Binarized, corrupted: np.ndarray, generator: str) -> Path:
    """Write a generator's corruption of a split beside it; returns the file.

    Args:
        prefix: folder and split, such as ``data-bin/valid``.
        corpus: the split.
        corrupted: of :func:`corrupt_by_rows`.
        generator: names what corrupted it.
    """
    path = Path(f"{prefix}.{BY_GENERATOR}.npz")
    about = json.dumps({"generator": generator, "text": digest(corpus.ids)})
    with written_whole(path, "wb") as stream:
        np.savez_compressed(stream, corrupted=corrupted, about=np.array(about))
    return path


def load_corruption(prefix: str | Path, corpus: Binarized) -> tuple[np.ndarray, str] | None:
    """Read what :func:`save_corruption` wrote: the corrupted text, and what corrupted it; None where there is none.

    Raises:
        InputError: it is damaged, or of another text.
    """
    path = Path(f"{prefix}.{BY_GENERATOR}.npz")
    if not path.is_file():
        return None
    remedy = "remove it, or make it again with fairseq-electra corrupt"
    try:
        with np.load(path) as saved:
            corrupted, about = saved["corrupted"], json.loads(str(saved["about"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is damaged ({error}); {remedy}") from error
    if about["text"] != digest(corpus.ids) or corrupted.shape != corpus.ids.shape:
        raise InputError(f"{path} is a corruption of another text than {prefix}.bin; {remedy}")
    return corrupted, about["generator"]


def digest(ids: np.ndarray) -> str:
    """SHA-256 of a text in ids, in hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(ids).astype("<u4").tobytes()).hexdigest()
