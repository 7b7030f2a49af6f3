"""What every head of a fine-tuning task has: other formats ask it for its tensors."""

import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_electra.electra.initialization import initialize
from fairseq_electra.electra.norms import norm_of
from fairseq_electra.electra.sizes import EncoderSizes


class Transform(nn.Module):
    """Dense layer, GELU and normalization layer, behind which the heads of ModernBERT have their last layer.

    Args:
        sizes: sizes of the encoder.

    Source: transformers modeling_modernbert.py::ModernBertPredictionHead.
    """

    def __init__(self, sizes: EncoderSizes):
        super().__init__()
        self.dense = nn.Linear(sizes.hidden_size, sizes.hidden_size)
        self.layer_norm = norm_of(sizes, sizes.hidden_size)
        self.apply(initialize)

    def forward(self, hidden: Tensor) -> Tensor:
        """Transform hidden states. Shape kept: (..., C)."""
        return self.layer_norm(F.gelu(self.dense(hidden)))


class TaskHead(nn.Module):
    """A head; its subclasses say what it computes.

    Attributes:
        of_tokens: it scores every token by the linear layer ``prediction``; else it scores the row.
        transform: what is before the last layer, of encoders with ``--normed-head``; None for all others.
    """

    of_tokens = False

    def __init__(self) -> None:
        super().__init__()
        self.transform: Transform | None = None

    def add_transform(self, sizes: EncoderSizes) -> None:
        """Put a :class:`Transform` before the last layer, for an encoder with ``--normed-head``."""
        self.transform = Transform(sizes)

    def transformed(self, hidden: Tensor) -> Tensor:
        """Return what the last layer reads, but for dropout. Shape kept: (..., C)."""
        return hidden if self.transform is None else self.transform(hidden)

    def exported(self, layer_norm: nn.LayerNorm) -> dict[str, Tensor]:
        """Return the tensors of the head that transformers has for the task, by our names.

        Args:
            layer_norm: the encoder's last, whose output the head reads.

        Raises:
            InputError: transformers has no head that computes the same.
        """
        return dict(self.state_dict())

    def round_as_exported(self, layer_norm: nn.LayerNorm) -> None:
        """Round a head in float64 as :meth:`exported` does in float32; argument as there.

        Most round nothing.
        """
