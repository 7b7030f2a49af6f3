"""Find the checkpoint that is meant where a folder of them is given, and read it without fairseq."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint as fairseq-train has saved it, on the CPU; nothing in it is run.

    Raises:
        InputError: there is no such file, or it is no checkpoint of PyTorch's or holds more than plain data.
    """
    import torch

    allow_plain_data()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not {"cfg", "model"} <= set(state):
            raise KeyError("cfg")
    except FileNotFoundError as error:
        raise InputError(f"no such checkpoint: {path}; check the path") from error
    except Exception as error:
        raise unreadable(path, error) from error
    return state


def unreadable(path: str | Path, error: Exception) -> InputError:
    """Say in one sentence why a file could not be read as a checkpoint; ``error`` is what reading it ended in."""
    kind = re.search(r"Unsupported global: GLOBAL (\S+)", str(error))
    with open(path, "rb") as stream:
        start = stream.read(2)
    if isinstance(error, (KeyError, TypeError, AttributeError)) or Path(path).suffix == ".safetensors":
        reason = f"no checkpoint of fairseq; a model of transformers {IMPORT}"
    elif start[:1] != b"\x80" and start != b"PK":  # a pickle, a zip archive
        reason = "no checkpoint, or damaged or cut short; give one that fairseq-train has saved"
    elif kind:
        reason = f"it holds {kind[1]}, which is code and not only numbers, so it is not loaded; save it again without"
    else:
        words = (str(error) or type(error).__name__).splitlines()[0][:120]
        reason = f"damaged or cut short ({words}); use the checkpoint before it"
    return InputError(f"{path}, {Path(path).stat().st_size:,} bytes: {reason}")


def allow_plain_data() -> None:
    """Let ``torch.load(weights_only=True)`` read two kinds of plain data that fairseq saves.

    NumPy's numbers (fairseq criterions/sentence_prediction.py, ``metrics.log_derived("acc_and_f1", ...)``), and the options of
    components without a dataclass, such as ``--optimizer sgd``, in an argparse.Namespace.
    """
    import argparse

    import numpy as np
    import torch
    from numpy._core.multiarray import scalar
    from numpy.dtypes import Float32DType, Float64DType, Int64DType

    kinds = (np.dtype, Float32DType, Float64DType, Int64DType)
    torch.serialization.add_safe_globals([argparse.Namespace, scalar, *kinds])
