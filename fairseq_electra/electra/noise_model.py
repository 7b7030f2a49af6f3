"""Electric's noise distribution: a cloze model that predicts every token from all others in one pass."""

from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fairseq_electra.electra.encoder import Encoder
from fairseq_electra.electra.fast.cross_entropy import cross_entropy, probabilities
from fairseq_electra.electra.fast.sampling import sample_tokens
from fairseq_electra.electra.flops import Flops, encoder_flops, per_prediction
from fairseq_electra.electra.heads import MaskedLMHead
from fairseq_electra.electra.packed import PackedDocuments
from fairseq_electra.electra.sizes import EncoderSizes

# of the vocabulary at all positions, kept for the backward pass; more are computed again: 128 MiB in float32
SCORES_AT_ONCE = 1 << 25


class NoiseOutput(NamedTuple):
    """What the noise model gives a batch."""

    nll: Tensor  # (B, T), -log q of the text's tokens, in nats
    best: Tensor  # (B, T), the likeliest token
    sampled: Tensor  # (B, K), a sample for each slot
    sampled_log_q: Tensor  # (B, K), its log q, without gradient


class NoiseModel(nn.Module):
    """A two-tower cloze model: predicts each token from all tokens to its left and all to its right.

    Each tower is an encoder of the generator's sizes whose tokens attend to themselves and to one side. The
    state of the left tower at position t - 1 and that of the right tower at t + 1 together predict the token
    at t, which neither has read. So one pass on the unmasked text gives q of all tokens.

    Args:
        sizes: sizes of each tower.
        num_tokens: size of the vocabulary, V.
        checkpoint_activations: keep only each layer's input for the backward pass, which computes the rest
            again.

    Source: Clark et al. 2020b; google-research/electra run_pretraining.py::TwoTowerClozeTransformer.
    """

    def __init__(self, sizes: EncoderSizes, num_tokens: int, checkpoint_activations: bool = False):
        super().__init__()
        self.left = Encoder(sizes, checkpoint_activations, view="left")
        self.right = Encoder(sizes, checkpoint_activations, view="right")
        self.head = MaskedLMHead(both_towers(sizes), num_tokens)

    def forward(
        self, embedded: Tensor, padding_mask: Tensor | None, documents: PackedDocuments | None = None
    ) -> Tensor:
        """Encode what stands around each token; arguments as :meth:`Encoder.forward`.

        The first position has nothing to its left, the last nothing to its right: zeros stand for it. A
        special symbol is there.

        Returns:
            Shape: (B, T, 2 C).
        """
        left = self.left(embedded, padding_mask, documents=documents)[:, :-1]
        right = self.right(embedded, padding_mask, documents=documents)[:, 1:]
        return torch.cat([F.pad(left, (0, 0, 1, 0)), F.pad(right, (0, 0, 0, 1))], -1)

    def predict(
        self, around: Tensor, table: Tensor, original: Tensor, positions: Tensor, uniforms: Tensor
    ) -> NoiseOutput:
        """Score the vocabulary at every position, a few rows at a time.

        With the vocabulary at every position, scores would take more memory than everything else. Beyond
        :data:`SCORES_AT_ONCE` those of some rows are computed, and again in the backward pass.

        Args:
            around: output of :meth:`forward`. Shape: (B, T, 2 C).
            table: the token table. Shape: (V, E).
            original: the text. Shape: (B, T).
            positions: positions to draw noise for. Shape: (B, K).
            uniforms: uniform random numbers in [0, 1) to draw it with. Shape: (B, K).
        """
        rows = max(1, SCORES_AT_ONCE // (original.shape[1] * len(table)))
        if rows >= len(original):
            return self.predict_rows(around, table, original, positions, uniforms)
        parts = zip(*(tensor.split(rows) for tensor in (around, original, positions, uniforms)), strict=True)
        found = []
        for part, *others in parts:
            if torch.is_grad_enabled():
                found.append(checkpoint(self.predict_rows, part, table, *others, use_reentrant=False))
            else:
                found.append(self.predict_rows(part, table, *others))
        return NoiseOutput(*(torch.cat(tensors) for tensors in zip(*found, strict=True)))

    def predict_rows(
        self, around: Tensor, table: Tensor, original: Tensor, positions: Tensor, uniforms: Tensor
    ) -> NoiseOutput:
        """Score the vocabulary at every position of all rows; arguments and result as :meth:`predict`."""
        logits = self.head(around, table)
        probs = probabilities(logits)
        scores = cross_entropy(logits, original, probs)
        at_slots = probs.gather(1, positions.unsqueeze(-1).expand(-1, -1, probs.shape[-1]))
        sampled = sample_tokens(at_slots, uniforms)
        sampled_probs = at_slots.gather(-1, sampled.unsqueeze(-1)).squeeze(-1)
        tiny = torch.finfo(sampled_probs.dtype).tiny
        return NoiseOutput(scores.nll, scores.best, sampled, sampled_probs.clamp(min=tiny).log())

    def flops(self, num_tokens: int) -> Flops:
        """Count the operations of a forward pass; ``num_tokens`` is the size of the vocabulary.

        A tower attends to one side, but the products with the other side are computed as well.
        """
        tower = self.left.sizes
        predictions = Flops(per_prediction(both_towers(tower), num_tokens), 0.0, 0.0)
        return encoder_flops(tower) + encoder_flops(tower) + predictions


def both_towers(sizes: EncoderSizes) -> EncoderSizes:
    """Return sizes with the width of the states of two towers side by side, which the head reads."""
    return replace(sizes, hidden_size=2 * sizes.hidden_size)
