"""Which checkpoint is meant where a folder of them is given."""

from collections.abc import Sequence
from pathlib import Path

from fairseq_electra.errors import InputError

CHECKPOINTS = ("checkpoint_best.pt", "checkpoint_last.pt")


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
        what = " a folder of transformers becomes one with fairseq-electra import;" if (path / "config.json").is_file() else ""
        raise InputError(f"{path} holds no {' or '.join(names)};{what} give a checkpoint, or the --save-dir of a run")
    return found
