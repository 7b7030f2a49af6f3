"""Checks of a checkpoint's tensors before a model loads them."""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from fairseq_electra.errors import InputError

INITIALISED = "initialised"  # in a checkpoint's extra_state: names of the tensors that an import has drawn
RESIDUAL_SCALE = ".residual_scale"  # the constant of electra/encoder.py::Encoder


def version_of(digest: bytes) -> Tensor:
    """Return the SHA-256 of a dictionary as checkpoints hold it. Shape: (32,), uint8."""
    return torch.frombuffer(bytearray(digest), dtype=torch.uint8)


def check_dictionary(state_dict: dict, version: Tensor) -> None:
    """Refuse a checkpoint that was trained with another dictionary.

    Args:
        state_dict: the tensors of the checkpoint.
        version: SHA-256 of this run's dictionary. Shape: (32,), uint8.
    """
    # fairseq's --store-ema leaves this tensor out of the averaged weights
    stored = state_dict.setdefault("dictionary_version", version)
    if stored.tolist() != version.tolist():
        raise InputError(
            "the checkpoint was trained with another dictionary (SHA-256 "
            f"{bytes(stored.tolist()).hex()[:12]}..., "
            f"this data's is {bytes(version.tolist()).hex()[:12]}...); encode the data with the checkpoint's "
            "vocabulary"
        )


def drawn_in(state: dict) -> list[str]:
    """Return the names of a checkpoint's tensors that are as an import has drawn them at random."""
    return list((state.get("extra_state") or {}).get(INITIALISED, ()))


def is_random(part: str, drawn: Iterable[str]) -> bool:
    """Tell whether a part, the start of its tensors' names, has some among those of :func:`drawn_in`."""
    return any(name.startswith(part) for name in drawn)


def check_trained(drawn: Iterable[str], part: str, source: str | Path) -> None:
    """Refuse a checkpoint of which a part is still random.

    Args:
        drawn: as of :func:`drawn_in`.
        part: start of the names of the part's tensors.
        source: option and path of the checkpoint, for the message.
    """
    if is_random(part, drawn):
        what = part.rstrip(".")
        raise InputError(
            f"{source} has no trained {what}: it was imported from a folder without one, so its weights are"
            f" random; import it again, with the folder of its {what}, or train it first"
        )


def check_tensors(state_dict: dict, own: dict) -> None:
    """Refuse a checkpoint whose tensors are not the model's, naming the first that differs."""
    advice = "give the --arch and options it was trained with"
    for name, tensor in own.items():
        if name not in state_dict:
            raise InputError(f"the checkpoint has no tensor {name}: it belongs to another model; {advice}")
        if state_dict[name].shape != tensor.shape:
            raise InputError(
                f"the checkpoint's {name} has the shape {tuple(state_dict[name].shape)}, this model's"
                f" {tuple(tensor.shape)}; {advice}"
            )
        if name.endswith(RESIDUAL_SCALE) and not same_scale(state_dict[name], tensor):
            raise InputError(
                f"the checkpoint's {name} is {float(state_dict[name]):.3f}, this model's "
                f"{float(tensor):.3f}: it was "
                f"trained with another --norm; {advice}"
            )
    for name in state_dict:
        if name not in own:
            raise InputError(f"the checkpoint has a tensor {name} that this model does not have; {advice}")


def same_scale(left: Tensor, right: Tensor) -> bool:
    """Return whether two scales belong to the same ``--norm``; averaging changes the last digits."""
    return abs(float(left) - float(right)) < 0.02 * float(right)
