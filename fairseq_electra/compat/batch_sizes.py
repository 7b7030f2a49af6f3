"""Changes to fairseq's batches: as many rows as were asked for, and no row of an epoch left out."""

import functools
import logging

import numpy as np

from fairseq_electra.errors import InputError

logger = logging.getLogger(__name__)


def keep_batch_sizes() -> None:
    """dataclass/configs.py::DatasetConfig.required_batch_size_multiple, ``default=8``: --batch-size 12 trains with 8, and 30 with 24.

    Tensor cores like matrices of a multiple of 8, which the fixed number of tokens of a row gives by itself. So the default is 1. A
    multiple that is given is kept to. fairseq-hydra-train has read its own default before it knows of this package: a YAML file must
    list the option, as those of this package do.
    """
    from fairseq import options

    plain = options.add_dataset_args
    if getattr(plain, "keeps_sizes", False):
        return

    @functools.wraps(plain)
    def add_dataset_args(parser, *args, **kwargs):
        group = plain(parser, *args, **kwargs)
        parser.set_defaults(required_batch_size_multiple=1)
        return group

    add_dataset_args.keeps_sizes = True  # type: ignore[attr-defined]
    options.add_dataset_args = add_dataset_args


def keep_last_batches() -> None:
    """data/data_utils.py::batch_by_size, ``b = b[:-1]``: leaves out a last batch that is no multiple of --required-batch-size-multiple.

    Up to seven rows were never trained on nor scored, the same ones in every epoch, and of fewer than eight rows nothing was left.
    """
    from fairseq.data import data_utils

    plain = data_utils.batch_by_size
    if getattr(plain, "keeps_last", False):
        return

    @functools.wraps(plain)
    def batch_by_size(
        indices,
        num_tokens_fn,
        num_tokens_vec=None,
        max_tokens=None,
        max_sentences=None,
        required_batch_size_multiple=1,
        fixed_shapes=None,
    ):
        rows = indices if isinstance(indices, np.ndarray) else np.fromiter(indices, dtype=np.int64, count=-1)
        if max_sentences is not None:
            warn_of_smaller_batches(max_sentences, required_batch_size_multiple)
        if max_tokens is not None and num_tokens_vec is not None:
            check_room(int(max_tokens), np.asarray(num_tokens_vec))
        batches = plain(rows, num_tokens_fn, num_tokens_vec, max_tokens, max_sentences, required_batch_size_multiple, fixed_shapes)
        used = sum(map(len, batches))
        return batches if used == len(rows) else [*batches, rows[used:]]

    batch_by_size.keeps_last = True  # type: ignore[attr-defined]
    data_utils.batch_by_size = batch_by_size


def check_room(max_tokens: int, sizes: np.ndarray) -> None:
    """Refuse ``--max-tokens`` below the longest row, which fairseq answers with an assertion that does not say how long that is."""
    longest = int(sizes.max(initial=0))
    if longest > max_tokens:
        raise InputError(
            f"--max-tokens {max_tokens} (or --max-tokens-valid) has no room for a row of {longest} tokens; give {longest} or more"
        )


@functools.cache
def warn_of_smaller_batches(rows: int, multiple: int) -> None:
    """Say once that ``--batch-size`` is not kept, where ``--required-batch-size-multiple`` forbids it."""
    if rows > multiple and rows % multiple:
        logger.warning(
            f"--batch-size {rows}: batches have {rows - rows % multiple} rows, as --required-batch-size-multiple is {multiple}; "
            "leave that out to have the size you gave"
        )
