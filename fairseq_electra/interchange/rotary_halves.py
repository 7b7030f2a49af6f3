"""Rotary positions as ModernBERT has them: its order of the rotated pairs, and float64 for comparisons.

Here the neighbours (0, 1), (2, 3), ... of a head are rotated together; there the number i of the first half
and the number i of the second one. So the rows of queries and keys are put in another order, which changes
no product of a query with a key.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from fairseq_electra.electra.sizes import EncoderSizes
from fairseq_electra.errors import InputError


def as_halves(tensors: dict[str, Tensor], prefix: str, sizes: EncoderSizes) -> dict[str, Tensor]:
    """Put the queries and keys of an encoder in ModernBERT's order.

    Args:
        tensors: of the whole model, by our names; left as they are.
        prefix: beginning of the names of the encoder's tensors.
        sizes: of this encoder.

    Returns:
        all tensors.
    """
    head_size = sizes.hidden_size // sizes.num_attention_heads
    order = torch.arange(head_size).view(-1, 2).T.reshape(-1)
    return _reordered(tensors, prefix, sizes, order)


def as_pairs(tensors: dict[str, Tensor], prefix: str, sizes: EncoderSizes) -> dict[str, Tensor]:
    """Put the queries and keys of a ModernBERT in the order here; arguments and result as of as_halves."""
    head_size = sizes.hidden_size // sizes.num_attention_heads
    order = torch.arange(head_size).view(2, -1).T.reshape(-1)
    return _reordered(tensors, prefix, sizes, order)


def _reordered(
    tensors: dict[str, Tensor], prefix: str, sizes: EncoderSizes, order: Tensor
) -> dict[str, Tensor]:
    heads, hidden = torch.arange(sizes.num_attention_heads), sizes.hidden_size
    of_queries = (heads[:, None] * len(order) + order).reshape(-1)
    rows = torch.cat([of_queries, of_queries + hidden, torch.arange(2 * hidden, 3 * hidden)])
    reordered = dict(tensors)
    for i in range(sizes.num_hidden_layers):
        name = f"{prefix}layers.{i}.attention.qkv.weight"
        reordered[name] = tensors[name][rows]
    return reordered


@contextmanager
def rotating_in_double(theirs: Any) -> Iterator[None]:
    """Let a ModernBERT of transformers compute angles and rotations in float64, and not in float32.

    Other models are left alone.

    Args:
        theirs: the model.

    Raises:
        InputError: its angles are others than those of its rope_theta, or transformers is older than 5.
    """
    with ExitStack() as stack:
        if theirs.config.model_type == "modernbert":
            if not hasattr(theirs.config, "rope_parameters"):
                raise InputError(
                    "ModernBERT needs transformers 5 or newer: pip install --upgrade transformers"
                )
            from transformers.models.modernbert import modeling_modernbert as modeling

            stack.enter_context(patch.object(modeling, "apply_rotary_pos_emb", _rotated))
            for module in theirs.modules():
                if isinstance(module, modeling.ModernBertRotaryEmbedding):
                    stack.enter_context(patch.object(module, "forward", _exact_angles(module, theirs.config)))
        yield


def _exact_angles(module: Any, config: Any) -> Any:
    head_size = config.hidden_size // config.num_attention_heads
    exponents = torch.arange(0, head_size, 2, dtype=torch.float64) / head_size

    def forward(x: Tensor, position_ids: Tensor, layer_type: str) -> tuple[Tensor, Tensor]:
        frequencies = config.rope_parameters[layer_type]["rope_theta"] ** -exponents
        theirs = getattr(module, f"{layer_type}_inv_freq").double()
        if not torch.allclose(theirs, frequencies, rtol=1e-5):
            raise InputError(f"transformers turns {layer_type} by other angles than its rope_theta gives")
        angles = (position_ids.double()[..., None] * frequencies).repeat(1, 1, 2)
        return angles.cos(), angles.sin()

    return forward


def _rotated(
    query: Tensor, key: Tensor, cos: Tensor, sin: Tensor, unsqueeze_dim: int = 1
) -> tuple[Tensor, Tensor]:
    cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)

    def rotated(vectors: Tensor) -> Tensor:
        first, second = vectors.chunk(2, -1)
        return vectors * cos + torch.cat([-second, first], -1) * sin

    return rotated(query), rotated(key)
