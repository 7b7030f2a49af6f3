"""How the original draws the parameters of a new model."""

from collections.abc import Iterable
from typing import cast

import torch
from torch import nn

from fairseq_electra.electra.encoder import Encoder, EncoderLayer
from fairseq_electra.electra.norms import RMSNorm

INITIALIZER_RANGE = 0.02


def draw_parameters(model: nn.Module, glorot: Iterable[nn.Linear | None]) -> None:
    """Draw all parameters of a model.

    Args:
        model: the model.
        glorot: the linear layers that the original left to TensorFlow's default (:func:`initialize_glorot`):
            the projections of embeddings and the last layer of each head. None stands for a layer that a
            model does not have.
    """
    model.apply(initialize)
    model.apply(shrink_sublayers)
    for linear in glorot:
        if linear is not None:
            initialize_glorot(linear)


def initialize(module: nn.Module) -> None:
    """Draw a module's own parameters as the original does; for use with ``Module.apply``.

    Matrices from a normal distribution of standard deviation .02, truncated at two standard deviations;
    biases 0; LayerNorm 1 and 0, RMSNorm 1.

    Source: google-research/electra model/modeling.py::create_initializer.
    """
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.trunc_normal_(
            module.weight, std=INITIALIZER_RANGE, a=-2 * INITIALIZER_RANGE, b=2 * INITIALIZER_RANGE
        )
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        with torch.no_grad():
            module.weight[module.padding_idx] = 0.0
    if isinstance(module, nn.LayerNorm | RMSNorm):
        nn.init.ones_(module.weight)
    if getattr(module, "bias", None) is not None:
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]


@torch.no_grad()
def shrink_sublayers(module: nn.Module) -> None:
    """Scale down the weights of a ``deepnorm`` encoder; for ``Module.apply``, after :func:`initialize`.

    The values, the projection behind attention and both feed-forward matrices are multiplied by (8 N)^(-1/4)
    for N layers; queries and keys stay.

    Source: Wang et al. 2022 (arXiv 2203.00555), figure 2 and table 2.
    """
    if isinstance(module, Encoder) and module.sizes.norm == "deepnorm":
        gain = (8 * len(module.layers)) ** -0.25
        for layer in cast(list[EncoderLayer], module.layers):
            values = layer.attention.qkv.weight[2 * module.sizes.hidden_size :]
            for weight in (
                values,
                layer.attention.out.weight,
                layer.intermediate.weight,
                layer.output.weight,
            ):
                weight.mul_(gain)


def initialize_glorot(linear: nn.Linear) -> None:
    """Draw a linear layer from Glorot's uniform distribution, TensorFlow's default for dense layers."""
    nn.init.xavier_uniform_(linear.weight)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
