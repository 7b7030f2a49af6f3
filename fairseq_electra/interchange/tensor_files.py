"""The tensors of a folder of transformers: one file, or several that an index lists.

Needs safetensors, not transformers.
"""

import re
from pathlib import Path

import torch
from torch import Tensor

from fairseq_electra.errors import InputError
from fairseq_electra.interchange.json_files import read_json

# one file, and the index of several, in transformers' order
# (modeling_utils.py::_get_resolved_checkpoint_files)
SAFETENSORS_FILE, SAFETENSORS_INDEX = "model.safetensors", "model.safetensors.index.json"
PYTORCH_FILE, PYTORCH_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
# what DataParallel and torch.compile put before every name
WRAPPERS = ("module.", "_orig_mod.")
# before 2021 LayerNorm's two were called as in TensorFlow
OLD_ENDINGS = {".gamma": ".weight", ".beta": ".bias"}


def read_tensors(folder: Path) -> tuple[dict[str, Tensor], Path]:
    """Read all tensors of a network as float32, without running any code that a file holds.

    Args:
        folder: with ``model.safetensors`` or ``pytorch_model.bin``, or with an index of several such files.

    Returns:
        the tensors, without the prefixes of DataParallel and ``torch.compile``; and the file to name in
        errors.

    Raises:
        InputError: there is none, or one is missing, damaged or does not hold what the index says.
    """
    for single, index in ((SAFETENSORS_FILE, SAFETENSORS_INDEX), (PYTORCH_FILE, PYTORCH_INDEX)):
        if (folder / single).is_file():
            return _plain(_read_file(folder / single)), folder / single
        if (folder / index).is_file():
            return _plain(_read_shards(folder / index)), folder / index
    raise InputError(
        f"no {SAFETENSORS_FILE} or {PYTORCH_FILE} in {folder}; a file of another framework must be converted"
        " first"
    )


def _read_shards(index: Path) -> dict[str, Tensor]:
    """Read the files that an index lists: ``weight_map`` has the file of each tensor."""
    files = read_json(index).get("weight_map")
    if not isinstance(files, dict) or not files or not all(isinstance(name, str) for name in files.values()):
        raise InputError(f"{index} lists no files of tensors (weight_map); copy it again")
    tensors: dict[str, Tensor] = {}
    for name in sorted(set(files.values())):
        if Path(name).name != name:
            raise InputError(
                f"{index} lists the file {name!r}, which is not the name of a file beside it; copy it again"
            )
        if not (index.parent / name).is_file():
            raise InputError(f"{index.parent} lacks {name}, which {index.name} lists; copy it there")
        tensors_of_file = _read_file(index.parent / name)
        missing = next(
            (tensor for tensor, file in files.items() if file == name and tensor not in tensors_of_file), None
        )
        if missing is not None:
            raise InputError(
                f"{index.parent / name} lacks the tensor {missing}, which {index.name} says is there; copy"
                " both again"
            )
        tensors |= tensors_of_file
    return tensors


def _read_file(path: Path) -> dict[str, Tensor]:
    return _read_safe(path) if path.suffix == ".safetensors" else _read_bin(path)


def _read_safe(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, ValueError, OSError) as error:
        raise InputError(
            f"{path}, {path.stat().st_size:,} bytes: damaged or cut short ({str(error).splitlines()[0]});"
            " copy it again"
        ) from error


def _read_bin(path: Path) -> dict[str, Tensor]:
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # PyTorch raises many kinds
        kind = re.search(r"Unsupported (?:global: GLOBAL|operand|class) (\S+)", str(error))
        reason = (
            f"it holds {kind[1]}, which is code and not only numbers"
            if kind
            else "damaged, cut short, or no file of PyTorch"
        )
        raise InputError(
            f"{path}, {path.stat().st_size:,} bytes: not loaded: {reason}; use its model.safetensors"
        ) from error
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise InputError(f"{path} holds no table of tensors; use its model.safetensors")
    return tensors


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors today's names, and float32."""
    while tensors and (
        prefix := next(
            (prefix for prefix in WRAPPERS if all(name.startswith(prefix) for name in tensors)), None
        )
    ):
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return {
        _renamed(name): tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }


def _renamed(name: str) -> str:
    return next(
        (name.removesuffix(old) + new for old, new in OLD_ENDINGS.items() if name.endswith(old)), name
    )
