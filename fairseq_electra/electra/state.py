"""What every model checks before it takes a checkpoint's tensors."""

from torch import Tensor

from fairseq_electra.errors import InputError

RESIDUAL_SCALE = ".residual_scale"  # the constant of electra/encoder.py::Encoder


def check_dictionary(state_dict: dict, version: Tensor) -> None:
    """Refuse a checkpoint that was trained on other ids.

    Args:
        state_dict: of the checkpoint.
        version: SHA-256 of this run's dictionary. Shape: (32,), uint8.
    """
    # the moving average of fairseq's --store-ema leaves it out
    stored = state_dict.setdefault("dictionary_version", version)
    if stored.tolist() != version.tolist():
        raise InputError(
            f"the checkpoint was trained with another dictionary (SHA-256 {bytes(stored.tolist()).hex()[:12]}..., "
            f"this data's is {bytes(version.tolist()).hex()[:12]}...); encode the data with the checkpoint's vocabulary"
        )


def check_tensors(state_dict: dict, own: dict) -> None:
    """Refuse a checkpoint whose tensors are not the model's, naming the first that differs."""
    advice = "give the --arch and options it was trained with"
    for name, tensor in own.items():
        if name not in state_dict:
            raise InputError(f"the checkpoint has no tensor {name}: it is of another model; {advice}")
        if state_dict[name].shape != tensor.shape:
            raise InputError(
                f"the checkpoint's {name} has the shape {tuple(state_dict[name].shape)}, this model's {tuple(tensor.shape)}; {advice}"
            )
        if name.endswith(RESIDUAL_SCALE) and not same_scale(state_dict[name], tensor):
            raise InputError(
                f"the checkpoint's {name} is {float(state_dict[name]):.3f}, this model's {float(tensor):.3f}: of another --norm; {advice}"
            )
    for name in state_dict:
        if name not in own:
            raise InputError(f"the checkpoint has a tensor {name} that this model has not; {advice}")


def same_scale(left: Tensor, right: Tensor) -> bool:
    """Tell whether two residual scales are of one ``--norm``; bfloat16 and moving averages change the last digits."""
    return abs(float(left) - float(right)) < 0.02 * float(right)
