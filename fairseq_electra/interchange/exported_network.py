"""A network as it is written for transformers."""

from dataclasses import dataclass, field

from torch import Tensor

from fairseq_electra.interchange.transformers_folder import GENERATOR


@dataclass
class Export:
    """One network to write.

    Args:
        role: discriminator, generator, or the name of a head for sentences.
        class_name: transformers'.
        tensors: by their names.
        config: its config.json.
        left_out: our tensors that have no place there, and why.
    """

    role: str
    class_name: str
    tensors: dict[str, Tensor]
    config: dict
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def subfolder(self) -> str:
        """Where it lies in the folder."""
        return GENERATOR if self.role == GENERATOR else "."
