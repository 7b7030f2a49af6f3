"""A model with the rows that an extended vocabulary needs."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from fairseq_electra.adaptation.extending import Source
from fairseq_electra.electra.configuration import build
from fairseq_electra.electra.model import Discriminator, Generator


def resized(tensor: Tensor, sources: Sequence[Source]) -> Tensor:
    """Make a tensor over an extended vocabulary: a new row is the mean of those of its parts.

    Args:
        tensor: one row for each token. Shape: (V, ...).
        sources: of each token of the extended vocabulary; the row of a token that was there stays the same.

    Returns:
        Shape: (len(sources), ...).
    """
    result = tensor[[source.parts[0] for source in sources]]
    for row, source in enumerate(sources):
        if len(source.parts) > 1:
            result[row] = tensor[source.parts].mean(0)
    return result


def resized_model(
    model: Generator | Discriminator, options: Mapping[str, Any], sources: Sequence[Source]
) -> Generator | Discriminator:
    """Return a pre-training model with an extended vocabulary.

    A new token's output bias is the mean of its parts' plus its rarity. So its score starts as the mean of
    its parts' scores, less as much as it is rarer: where these are predicted by their frequency, so is the
    new token. Frequencies, which ``--objective unigram`` has, get the same factor. An ``electra_small`` with
    1,000 new tokens from PEPs gave them .4 % of the probability at masked tokens of Wikipedia that are none
    of them; without rarity, 3 %.

    Args:
        model: the model.
        options: its options, which do not depend on the vocabulary's size.
        sources: as of :func:`resized`.
    """
    wider = build(options, len(sources))
    shapes = {name: tensor.shape for name, tensor in wider.state_dict().items()}
    tensors = dict(model.state_dict())
    for name, tensor in tensors.items():
        # what has another shape in a model of another vocabulary has a row for each token
        if tensor.shape == shapes[name]:
            continue
        tensors[name] = resized(tensor, sources)
        rarity = tensor.new_tensor([source.rarity for source in sources])
        if name.endswith(".bias"):
            tensors[name] += rarity
        elif name == "token_probs":
            tensors[name] *= rarity.exp()
    wider.load_state_dict(tensors)
    return wider.eval()
