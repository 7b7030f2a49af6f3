"""Replaced-token detection without a generator: tokens are replaced at random."""

from typing import NamedTuple

import torch
from torch import Tensor

from fairseq_electra.electra.embeddings import Embeddings
from fairseq_electra.electra.encoder import Encoder
from fairseq_electra.electra.flops import Flops, encoder_flops, head_flops
from fairseq_electra.electra.heads import ReplacedTokenHead
from fairseq_electra.electra.initialization import draw_parameters
from fairseq_electra.electra.model import Discriminator
from fairseq_electra.electra.packed import PackedDocuments
from fairseq_electra.electra.sampling import BELOW_ONE, corrupt
from fairseq_electra.electra.sizes import EncoderSizes


class DetectionOutput(NamedTuple):
    """Output of a discriminator without a generator."""

    corrupted_tokens: Tensor  # (B, T), the text with the sampled tokens in it
    is_replaced: Tensor  # (B, T)
    disc_logits: Tensor  # (B, T), above 0: predicted to be replaced


class RandomSubstitution(Discriminator):
    """A discriminator that is trained on tokens drawn from one distribution, whatever stands around them.

    It needs no context for most of them, so it is the floor that ELECTRA's generator must beat (Clark et al.
    2020, section 3.2, figure 3: the unigram generator).

    Args:
        sizes: sizes of the discriminator.
        num_tokens: size of the vocabulary, V.
        pad: id of padding.
        checkpoint_activations: keep only each layer's input for the backward pass, which computes the rest
            again.
        average_duplicates: see :func:`~fairseq_electra.electra.sampling.corrupt`.

    Attributes:
        token_probs: probability of each token, uniform unless it is set. Shape: (V,).
    """

    token_probs: Tensor

    def __init__(
        self,
        sizes: EncoderSizes,
        num_tokens: int,
        pad: int = 1,
        checkpoint_activations: bool = False,
        average_duplicates: bool = False,
    ):
        super().__init__()
        self.sizes, self.pad, self.average_duplicates = sizes, pad, average_duplicates
        self.embeddings = Embeddings(sizes, num_tokens, pad)
        self.discriminator = Encoder(sizes, checkpoint_activations)
        self.discriminator_head = ReplacedTokenHead(sizes)
        self.register_buffer("token_probs", torch.full((num_tokens,), 1 / num_tokens))
        draw_parameters(self, [self.discriminator.projection, self.discriminator_head.prediction])

    def _apply(self, fn, recurse=True):
        """Keep the probabilities in float32: in half precision they are another distribution."""
        kept = self.token_probs
        super()._apply(fn, recurse)
        self.token_probs = kept.to(self.token_probs.device)
        return self

    def forward(
        self,
        src_tokens: Tensor,
        segment_ids: Tensor,
        padding_mask: Tensor,
        masked_positions: Tensor,
        target: Tensor,
        sample_uniforms: Tensor,
        document_ends: Tensor | None = None,
    ) -> DetectionOutput:
        """Corrupt the text, and score every token; arguments as :meth:`Electra.forward`."""
        documents = None if document_ends is None else PackedDocuments.of(document_ends, src_tokens.shape[1])
        cumulative = self.token_probs.cumsum(0)
        threshold = sample_uniforms.to(cumulative.dtype).clamp(max=BELOW_ONE) * cumulative[-1]
        sampled = torch.searchsorted(cumulative, threshold, right=True).clamp(max=len(cumulative) - 1)
        corrupted = corrupt(src_tokens, masked_positions, target, sampled, self.pad, self.average_duplicates)
        disc_logits = self.discriminate(corrupted.tokens, segment_ids, padding_mask, documents)
        return DetectionOutput(*corrupted, disc_logits)

    def flops(self, num_tokens: int) -> Flops:
        """Count the operations of a forward pass, whatever the size of the vocabulary."""
        return encoder_flops(self.sizes) + head_flops(self.sizes)
