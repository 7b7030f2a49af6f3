"""One network on its way into a folder of transformers."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Export:
    """One network to write.

    Args:
        role: discriminator, generator, or the name of a head for sentences.
        class_name: transformers'.
        tensors: by their names.
        config: its config.json.
        left_out: our tensors that have no place there, and why.
        subfolder: where it lies in the folder.
    """

    role: str
    class_name: str
    tensors: dict[str, Tensor]
    config: dict
    left_out: dict[str, str] = field(default_factory=dict)
    subfolder: str = "."
