"""ELECTRA with a generator that was trained before, and stays as it is."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fairseq_electra.electra.flops import STEP_BY_FORWARD, Flops, encoder_flops, head_flops, masked_lm_flops
from fairseq_electra.electra.model import Electra
from fairseq_electra.electra.sizes import EncoderSizes
from fairseq_electra.errors import InputError


def size_of(sizes: EncoderSizes) -> str:
    """Describe sizes for an error."""
    return (
        f"{sizes.num_hidden_layers} layers of {sizes.hidden_size} and {sizes.intermediate_size} with"
        f" {sizes.num_attention_heads} heads"
    )


class FrozenGeneratorElectra(Electra):
    """Generator and discriminator, of which the discriminator alone is trained.

    With a generator from ``--objective mlm``, and a discriminator that starts from its weights, it is the
    second stage of two-stage training (Clark et al. 2020, section 3.2).

    Args:
        sizes, generator_sizes, num_tokens, options: as those of
            :class:`~fairseq_electra.electra.model.Electra`; the networks share nothing.
    """

    def __init__(self, sizes, generator_sizes, num_tokens: int, **options: Any):
        super().__init__(sizes, generator_sizes, num_tokens, **{**options, "tie_embeddings": "none"})
        for module in self._frozen():
            module.requires_grad_(False)
            module.eval()

    def _frozen(self) -> tuple[nn.Module, ...]:
        assert self.generator_embeddings is not None
        return self.generator_embeddings, self.generator, self.generator_head

    def train(self, mode: bool = True):
        """Switch the discriminator's dropout on or off; the generator has none."""
        super().train(mode)
        for module in self._frozen():
            module.eval()
        return self

    @torch.no_grad()
    def generate(self, *args: Any, **options: Any) -> Tensor:
        """Score the vocabulary at the masked positions; arguments and result as :class:`Generator`'s."""
        return super().generate(*args, **options)

    def flops(self, num_tokens: int) -> Flops:
        """Count the operations; the generator has no backward pass, so a third of its count is left."""
        generator = masked_lm_flops(self.generator.sizes, num_tokens, trained=False)
        forward = Flops(*(count / STEP_BY_FORWARD for count in generator))
        return forward + encoder_flops(self.sizes) + head_flops(self.sizes)

    @torch.no_grad()
    def load_generator(self, tensors: Mapping[str, Tensor], into_discriminator: bool = False) -> None:
        """Take the generator of a checkpoint.

        Args:
            tensors: the checkpoint's tensors, of any objective with a generator.
            into_discriminator: start the discriminator from the generator's weights too.

        Raises:
            InputError: the checkpoint has no generator, or the discriminator is of another size.
        """
        for name, tensor in self.state_dict().items():
            if not name.startswith(("generator_embeddings.", "generator.", "generator_head.")):
                continue
            # what the networks share is in the discriminator's embeddings
            source = name if name in tensors else name.removeprefix("generator_")
            if source not in tensors:
                raise InputError(f"the checkpoint has no tensor {name}; give one that holds a generator")
            tensor.copy_(tensors[source])
        if into_discriminator:
            shapes = {name: tensor.shape for name, tensor in self.discriminator.state_dict().items()}
            theirs = {name: tensor.shape for name, tensor in self.generator.state_dict().items()}
            heads = self.sizes.num_attention_heads, self.generator.sizes.num_attention_heads
            if shapes != theirs or heads[0] != heads[1]:
                raise InputError(
                    "a discriminator can start from the generator's weights only if it has its sizes; the"
                    f" discriminator has {size_of(self.sizes)}, the generator {size_of(self.generator.sizes)}"
                )
            self.discriminator.load_state_dict(self.generator.state_dict())
            assert self.generator_embeddings is not None
            self.embeddings.load_state_dict(self.generator_embeddings.state_dict())
