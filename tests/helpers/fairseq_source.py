"""The source code of fairseq, for tests that a change to fairseq is still needed."""

import inspect
from pathlib import Path


def source_of(function) -> str:
    while function.__closure__:
        cells = [cell.cell_contents for cell in function.__closure__ if inspect.isfunction(cell.cell_contents)]
        if not cells:
            break
        function = cells[0]
    return inspect.getsource(function)


def stock_source(module) -> str:
    """What fairseq's file says, whatever has been put in its place."""
    return Path(module.__file__).read_text(encoding="utf-8")
