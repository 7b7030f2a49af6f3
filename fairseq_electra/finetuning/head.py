"""What every head of a fine-tuning task has: other formats ask it for its tensors."""

from torch import Tensor, nn


class TaskHead(nn.Module):
    """A head; its subclasses say what it computes.

    Attributes:
        of_tokens: it scores every token by the linear layer ``prediction``; else it scores the row.
    """

    of_tokens = False

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
