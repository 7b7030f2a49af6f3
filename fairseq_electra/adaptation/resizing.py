"""A model with the rows that an extended vocabulary needs."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from fairseq_electra.electra.configuration import build
from fairseq_electra.electra.model import Discriminator, Generator


def resized(tensor: Tensor, sources: Sequence[Sequence[int]]) -> Tensor:
    """Make a tensor over an extended vocabulary: a new row is the mean of those of its parts.

    This holds for output biases too. The score of a new token is then the mean of its parts' scores, and so
    its probability starts at no more than the mean of theirs.

    Args:
        tensor: one row for each token. Shape: (V, ...).
        sources: for each token of the extended vocabulary the ids of its parts; a token that was there has
            one, and its row stays the same.

    Returns:
        Shape: (len(sources), ...).
    """
    result = tensor[[ids[0] for ids in sources]]
    for row, ids in enumerate(sources):
        if len(ids) > 1:
            result[row] = tensor[list(ids)].mean(0)
    return result


def resized_model(
    model: Generator | Discriminator, options: Mapping[str, Any], sources: Sequence[Sequence[int]]
) -> Generator | Discriminator:
    """Return a pre-training model with an extended vocabulary.

    Args:
        model: the model.
        options: its options, which do not depend on the vocabulary's size.
        sources: as of :func:`resized`.
    """
    wider = build(options, len(sources))
    shapes = {name: tensor.shape for name, tensor in wider.state_dict().items()}
    # what has another shape in a model of another vocabulary has a row for each token
    wider.load_state_dict(
        {
            name: tensor if tensor.shape == shapes[name] else resized(tensor, sources)
            for name, tensor in model.state_dict().items()
        }
    )
    return wider.eval()
