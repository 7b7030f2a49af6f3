"""Which checkpoint is meant where a folder of them is given."""

from collections.abc import Sequence
from pathlib import Path

from fairseq_electra.errors import InputError

CHECKPOINTS = ("checkpoint_best.pt", "checkpoint_last.pt")
IMPORT = "becomes one with fairseq-electra import"  # what is of transformers


def checkpoint_in(path: str | Path, names: Sequence[str] = CHECKPOINTS) -> Path:
    """Return the best checkpoint of a folder, or else its last; what is no folder is a checkpoint itself, and is not looked for.

    Args:
        path: of a checkpoint, or of the folder that fairseq-train saves in.
        names: of the checkpoints to take, the first that is there.

    Raises:
        InputError: the folder holds none of them.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    found = next((path / name for name in names if (path / name).is_file()), None)
    if found is None:
        raise InputError(f"{without(path, names)}; give a checkpoint, or the --save-dir of a run")
    return found


def without(folder: Path, names: Sequence[str] = CHECKPOINTS) -> str:
    """Say that a folder holds none of some checkpoints, and what to do with one of transformers."""
    more = f"; a folder of transformers {IMPORT}" if (folder / "config.json").is_file() else ""
    return f"{folder} holds no {' or '.join(names)}{more}"
