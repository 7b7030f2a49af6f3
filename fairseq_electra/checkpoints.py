"""Find the checkpoint in a folder, and read it without fairseq."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fairseq_electra.errors import InputError
from fairseq_electra.resuming import LAST_CHECKPOINT

BEST_CHECKPOINT = "checkpoint_best.pt"
CHECKPOINTS = (BEST_CHECKPOINT, LAST_CHECKPOINT)
IMPORT_HINT = "becomes one with fairseq-electra import"  # said of a model or folder of transformers


def find_checkpoint(path: str | Path, names: Sequence[str] = CHECKPOINTS) -> Path:
    """Return the best checkpoint of a folder, or else its last one, as :func:`checkpoint_in` does.

    Args:
        path: A checkpoint, which is returned unchecked, or the folder that fairseq-train saves in.
        names: File names of the checkpoints to look for, in this order.

    Raises:
        InputError: The folder holds none of them.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    checkpoint = checkpoint_in(path, names)
    if checkpoint is None:
        raise InputError(f"{missing_checkpoint(path, names)}; give a checkpoint, or the --save-dir of a run")
    return checkpoint


def sha256_of(checkpoint: str | Path) -> str:
    """Compute the SHA-256 of a checkpoint; of a folder, of the checkpoint in it that commands use."""
    with open(find_checkpoint(checkpoint), "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def checkpoint_in(folder: Path, names: Sequence[str] = CHECKPOINTS) -> Path | None:
    """Return the first of some checkpoints that a folder holds; None if it holds none of them.

    The best one is left out where the last is there and :func:`is_best_by_a_moving_loss` says so.
    """
    found = [folder / name for name in names if (folder / name).is_file()]
    if len(found) > 1 and found[0].name == BEST_CHECKPOINT and is_best_by_a_moving_loss(found[0]):
        del found[0]
    return next(iter(found), None)


def is_best_by_a_moving_loss(checkpoint: Path) -> bool:
    """Tell whether a checkpoint has the lowest loss of a discriminator beside a generator that learns.

    Such a loss rises as the generator improves and its replacements become harder to find, so the lowest is
    not that of the best discriminator. A file that cannot be read is not judged: whoever reads it says why.
    """
    import torch

    from fairseq_electra.electra.configuration import objective_of
    from fairseq_electra.electra.objectives import OBJECTIVES

    allow_plain_data()
    try:
        cfg = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["cfg"]
        if cfg["criterion"]["_name"] != "replaced_token_detection":
            return False
        objective = OBJECTIVES[objective_of(cfg["model"])]
        by_loss = cfg["checkpoint"]["best_checkpoint_metric"] == "loss"
    except Exception:
        return False
    return by_loss and objective.has_discriminator and objective.trains_generator


def missing_checkpoint(folder: Path, names: Sequence[str] = CHECKPOINTS) -> str:
    """Explain that a folder holds none of some checkpoints, and how to use a folder of transformers."""
    hint = f"; a folder of transformers {IMPORT_HINT}" if (folder / "config.json").is_file() else ""
    return f"{folder} holds no {' or '.join(names)}{hint}"


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint of fairseq-train to the CPU; no code in it is run.

    Raises:
        InputError: There is no such file, it is not a checkpoint, or it holds more than plain data.
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
    """Explain in one sentence why a file could not be read as a checkpoint.

    Args:
        path: The file.
        error: The error that reading it has raised.
    """
    code = re.search(r"Unsupported global: GLOBAL (\S+)", str(error))
    with open(path, "rb") as stream:
        start = stream.read(2)
    if isinstance(error, (KeyError, TypeError, AttributeError)) or Path(path).suffix == ".safetensors":
        reason = f"not a checkpoint of fairseq; a model of transformers {IMPORT_HINT}"
    elif start[:1] != b"\x80" and start != b"PK":  # neither a pickle nor a zip archive
        reason = "not a checkpoint, or damaged or truncated; give one that fairseq-train has saved"
    elif code:
        reason = f"it holds {code[1]}, which is code, so it is not loaded; save the checkpoint without it"
    else:
        words = (str(error) or type(error).__name__).splitlines()[0][:120]
        reason = f"damaged or truncated ({words}); use an earlier checkpoint"
    return InputError(f"{path}, {Path(path).stat().st_size:,} bytes: {reason}")


def allow_plain_data() -> None:
    """Let ``torch.load(weights_only=True)`` read two kinds of plain data that fairseq saves.

    They are NumPy's numbers (fairseq criterions/sentence_prediction.py, ``metrics.log_derived("acc_and_f1",
    ...)``), and an argparse.Namespace, which holds the options of components without a dataclass, such as
    ``--optimizer sgd``.
    """
    import argparse

    import numpy as np
    import torch
    from numpy._core.multiarray import scalar
    from numpy.dtypes import Float32DType, Float64DType, Int64DType

    kinds = (np.dtype, Float32DType, Float64DType, Int64DType)
    torch.serialization.add_safe_globals([argparse.Namespace, scalar, *kinds])
