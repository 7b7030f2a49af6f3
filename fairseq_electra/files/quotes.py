"""Warn about quoted cells in a TSV: their quotes are read as text unless ``--quoted`` is given."""

import itertools
import sys
from pathlib import Path

from fairseq_electra.files.table import Columns, in_quotes, is_csv, is_json, read_rows

ROWS_CHECKED = 1000


def warn_of_quotes(path: str | Path, columns: Columns) -> None:
    """Warn if the first rows of a TSV hold quoted cells and their quotes will be read as text.

    Args:
        path: a file, a TSV unless its name ends like CSV or JSON; standard input and pipes are not checked,
            as they cannot be read twice.
        columns: the columns that will be read.

    Raises:
        InputError: as for :func:`fairseq_electra.files.table.read_rows`.
    """
    if columns.quoted or not Path(path).is_file() or is_json(path) or is_csv(path):
        return
    cells = [cell for _, row in itertools.islice(read_rows(path, columns), ROWS_CHECKED) for cell in row]
    if number := sum(map(in_quotes, cells)):
        what = f"{number:,} of the first {len(cells):,} cells begin and end with quotes"
        print(
            f"warning: {path}: {what}, which are read as text; if they are not, give --quoted",
            file=sys.stderr,
        )
