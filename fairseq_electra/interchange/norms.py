"""Models with LayerNorm elsewhere than in transformers' ELECTRA and RoFormer: converted or refused."""

import torch
from torch import Tensor

from fairseq_electra.electra.encoder import Encoder
from fairseq_electra.electra.sizes import EncoderSizes
from fairseq_electra.errors import InputError

# what a sublayer ends with: the layer whose output is added to the residual stream
LAST_OF_SUBLAYER = ("attention.out.weight", "attention.out.bias", "output.weight", "output.bias")


def as_post_norm(tensors: dict[str, Tensor], prefix: str, sizes: EncoderSizes) -> dict[str, Tensor]:
    """Turn an encoder into one with ``--norm post`` that computes the same.

    With a scaled residual stream a sublayer is LN(a h + f(h)) = LN(h + f(h) / a): the last weights and biases
    of f are divided by a.

    Args:
        tensors: of the whole model; left as they are.
        prefix: beginning of the names of the encoder's tensors.
        sizes: of this encoder; generator and discriminator may have different scales a.

    Returns:
        all tensors, those of the encoder as ``--norm post`` has them.

    Raises:
        InputError: ``--norm pre`` or ``pre_but_first``, which is no post-LayerNorm model with other weights.
    """
    if sizes.is_pre_norm:
        raise InputError(
            f"transformers' ELECTRA and RoFormer classes cannot hold a net trained with --norm {sizes.norm};"
            " use its checkpoint with fairseq_electra.from_pretrained, or train with another --norm, which"
            " can be exported"
        )
    if sizes.residual_scale == 1:
        return tensors
    folded = {name: tensor for name, tensor in tensors.items() if name != f"{prefix}residual_scale"}
    for i in range(sizes.num_hidden_layers):
        for name in (f"{prefix}layers.{i}.{last}" for last in LAST_OF_SUBLAYER):
            folded[name] = _folded(tensors[name], sizes.residual_scale)
    return folded


def _folded(tensor: Tensor, scale: float) -> Tensor:
    return (tensor.double() / scale).to(tensor.dtype)


@torch.no_grad()
def round_as_folded(encoder: Encoder) -> None:
    """Round the weights of a float64 encoder as :func:`as_post_norm` does, without scaling them.

    Dividing rounds each weight to float32. After this, the two compute the same function to the precision of
    float64.
    """
    scale = encoder.sizes.residual_scale
    if scale == 1:
        return
    for i in range(encoder.sizes.num_hidden_layers):
        for parameter in (encoder.get_parameter(f"layers.{i}.{last}") for last in LAST_OF_SUBLAYER):
            parameter.copy_(_folded(parameter.float(), scale).double() * scale)
