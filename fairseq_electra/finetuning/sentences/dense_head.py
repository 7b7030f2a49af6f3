"""Our head for sentences, one linear layer, as transformers' head, which has a dense layer and GELU too."""

import math

import torch
from torch import Tensor, nn

IDENTITY_FROM = 8.0  # from here on GELU is the identity in float32


def with_dense(prediction: nn.Linear, layer_norm: nn.LayerNorm) -> dict[str, Tensor]:
    """Write a head of one linear layer as one with a dense layer before it that computes the same.

    The dense layer computes the scores and their negatives, and the last layer subtracts: GELU(s) - GELU(-s)
    = s, because GELU(s) = s P(s) with P(s) + P(-s) = 1. All weights are copied as they are, so nothing is
    rounded but by GELU, by a few units in the last place of s, in every float type. The rows that are left
    are those of the identity; the last layer does not read them.

    Args:
        prediction: the linear layer, C inputs.
        layer_norm: what the head reads comes from here; needed where there are more than C / 2 classes.

    Returns:
        its tensors, by the names of a head with a dense layer.
    """
    weight, bias = prediction.weight.detach(), prediction.bias.detach()
    classes, width = weight.shape
    if _needs_shift(prediction):
        return _shifted(weight, bias, layer_norm)
    dense, last, one = torch.eye(width), torch.zeros(classes, width), torch.eye(classes)
    dense[:classes], dense[classes : 2 * classes] = weight, -weight
    last[:, :classes], last[:, classes : 2 * classes] = one, -one
    return {
        "dense.weight": dense,
        "dense.bias": torch.zeros(width),
        "prediction.weight": last,
        "prediction.bias": bias.clone(),
    }


@torch.no_grad()
def round_as_shifted(prediction: nn.Linear, layer_norm: nn.LayerNorm) -> None:
    """Round the bias of a linear layer in float64 as :func:`with_dense` rounds it in float32.

    The bias is rounded to float32 with the shift in it, which is then taken out again. After this, the two
    compute the same function to the precision of float64.
    """
    if _needs_shift(prediction):
        added = prediction.weight @ _shift(layer_norm)
        prediction.bias.copy_((prediction.bias - added).float().double() + added)


def _needs_shift(prediction: nn.Linear) -> bool:
    classes, width = prediction.weight.shape
    return 2 * classes > width


def _shift(layer_norm: nn.LayerNorm) -> Tensor:
    """Return what :func:`_shifted` adds to each value, in float64. Shape: (C,)."""
    bound = (
        layer_norm.weight.double().abs() * math.sqrt(layer_norm.weight.numel() - 1)
        + layer_norm.bias.double().abs()
    )
    return (bound + IDENTITY_FROM).ceil()


def _shifted(weight: Tensor, bias: Tensor, layer_norm: nn.LayerNorm) -> dict[str, Tensor]:
    """Write a head of more than C / 2 classes, whose scores and their negatives do not fit into C numbers.

    The dense layer adds to every value a shift that no value can outweigh, so that GELU is the identity; the
    last bias takes it away. LayerNorm bounds value j by b_j = ``|weight_j| sqrt(C - 1) + |bias_j|``, so the
    shifted value lies below 2 b_j + 9, and in float32, in whatever order the sums are made, score k is off by
    at most (C + 4) 2^-24 sum_j |w_kj| (2 b_j + 9).
    """
    shift = _shift(layer_norm)
    return {
        "dense.weight": torch.eye(weight.shape[1]),
        "dense.bias": shift.float().detach(),
        "prediction.weight": weight.clone(),
        "prediction.bias": (bias.double() - weight.double() @ shift).float().detach(),
    }
