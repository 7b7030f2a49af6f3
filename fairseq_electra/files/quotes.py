"""Cells of a TSV that stand in quotes: they are read with their quotes, unless it is said that these are not part of the text."""

import itertools
import sys
from pathlib import Path

from fairseq_electra.files.table import Columns, in_quotes, is_csv, is_json, read_rows

ROWS_LOOKED_AT = 1000


def warn_of_quotes(path: str | Path, columns: Columns) -> None:
    """Warn, before the work begins, of a TSV that has cells in quotes among its first rows, and is read as if they were text.

    Args:
        path: of a file, which is a TSV if its name does not say CSV or JSON; ``-``, which cannot be read twice, is passed over.
        columns: that will be read.

    Raises:
        InputError: as :func:`fairseq_electra.files.table.read_rows`.
    """
    if columns.quoted or str(path) == "-" or is_json(path) or is_csv(path):
        return
    cells = [cell for _, row in itertools.islice(read_rows(path, columns), ROWS_LOOKED_AT) for cell in row]
    if number := sum(map(in_quotes, cells)):
        what = f"{number:,} of the first {len(cells):,} cells begin and end with quotes"
        print(
            f"warning: {path}: {what}, which are read as text; if they are not, give --quoted",
            file=sys.stderr,
        )
