"""A batch has as many rows as ``--batch-size`` says, and no row of an epoch is left out."""

import functools
import logging

import numpy as np

from fairseq_electra.errors import InputError

logger = logging.getLogger(__name__)


def keep_batch_sizes() -> None:
    """Set the default of ``--required-batch-size-multiple`` to 1.

    dataclass/configs.py::DatasetConfig.required_batch_size_multiple, ``default=8``: --batch-size 12 trains
    with 8 rows, and 30 with 24. Tensor cores need matrices of a multiple of 8, which the fixed length of rows
    already gives. A multiple that is given stays in force. fairseq-hydra-train has read its own default
    before this package is imported, so a YAML file must list the option, as those of this package do.
    """
    from fairseq import options

    plain = options.add_dataset_args

    @functools.wraps(plain)
    def add_dataset_args(parser, *args, **kwargs):
        group = plain(parser, *args, **kwargs)
        parser.set_defaults(required_batch_size_multiple=1)
        return group

    options.add_dataset_args = add_dataset_args


def keep_last_batches() -> None:
    """Keep the last batch of an epoch, whatever its size.

    data/data_utils.py::batch_by_size, ``b = b[:-1]``, drops a last batch that is not a multiple of
    --required-batch-size-multiple. Up to seven rows are never trained on nor scored, the same ones in every
    epoch, and of fewer than eight rows nothing is left.
    """
    from fairseq.data import data_utils

    plain = data_utils.batch_by_size

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
            check_max_tokens(int(max_tokens), np.asarray(num_tokens_vec))
        limits = (max_tokens, max_sentences, required_batch_size_multiple, fixed_shapes)
        batches = plain(rows, num_tokens_fn, num_tokens_vec, *limits)
        used = sum(map(len, batches))
        return batches if used == len(rows) else [*batches, rows[used:]]

    data_utils.batch_by_size = batch_by_size


def check_max_tokens(max_tokens: int, lengths: np.ndarray) -> None:
    """Refuse ``--max-tokens`` below the length of the longest row.

    fairseq fails with an assertion that does not say how long that row is.

    Args:
        max_tokens: The value of the option.
        lengths: Length of each row in tokens. Shape: (number of rows,).

    Raises:
        InputError: A row is longer.
    """
    longest = int(lengths.max(initial=0))
    if longest > max_tokens:
        raise InputError(
            f"--max-tokens {max_tokens} (or --max-tokens-valid) is less than the {longest} tokens of the "
            "longest row; "
            f"give {longest} or more"
        )


@functools.cache
def warn_of_smaller_batches(rows: int, multiple: int) -> None:
    """Warn once where ``--required-batch-size-multiple`` makes batches smaller than ``--batch-size``."""
    if rows > multiple and rows % multiple:
        logger.warning(
            f"--batch-size {rows}: batches have {rows - rows % multiple} rows, because "
            f"--required-batch-size-multiple is {multiple}; leave that option out to have {rows}"
        )
