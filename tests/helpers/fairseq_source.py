"""The source of fairseq, in which tests look for what a change is still needed for."""

import inspect
from pathlib import Path


def stock_source(module) -> str:
    """Return the text of a module's file, whatever has been replaced in the module."""
    return Path(module.__file__).read_text(encoding="utf-8")


def source_of(function) -> str:
    """Return the source of the function that a changed function wraps, at the innermost."""
    while function.__closure__:
        cells = [
            cell.cell_contents for cell in function.__closure__ if inspect.isfunction(cell.cell_contents)
        ]
        if not cells:
            break
        function = cells[0]
    return inspect.getsource(function)
