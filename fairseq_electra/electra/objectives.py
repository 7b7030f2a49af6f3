"""Objectives of pre-training: functions from a model's output to named sums.

They return sums, not means: the same rows in one batch, in two or on two devices add up to the same numbers,
and so to the same gradient. The caller divides by the number of masked tokens.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fairseq_electra.electra.fast.cross_entropy import cross_entropy, loss_dtype
from fairseq_electra.electra.flops import Flops, electra_flops, masked_lm_flops
from fairseq_electra.electra.model import Electra, ElectraOutput, GeneratorOutput, MaskedLanguageModel


class MaskedBatch(NamedTuple):
    """The tensors of a batch that an objective reads, beside the model's output."""

    src_tokens: Tensor  # (B, T), the masked text
    padding_mask: Tensor  # (B, T), True at padding
    masked_positions: Tensor  # (B, K)
    target: Tensor  # (B, K), the original tokens, padding in spare slots


class SpecialIds(NamedTuple):
    """Ids of the vocabulary's special symbols that an objective must know."""

    pad: int
    unk: int
    mask: int


class LossWeights(NamedTuple):
    """Weights of the two losses.

    ``disc`` is ``--disc-weight`` times the share of tokens that are masked. Both losses are divided by the
    number of masked tokens; the share corrects this for the discriminator's, which is summed over all tokens.
    So the loss is the weighted sum of two means of Clark et al. 2020, section 2, in a form that adds up over
    batches.
    """

    gen: float
    disc: float


def masked_lm(
    output: GeneratorOutput | ElectraOutput, batch: MaskedBatch, ids: SpecialIds, weights: LossWeights
) -> dict[str, Tensor]:
    """Cross-entropy of the generator at the masked tokens, in nats: BERT's objective.

    Returns:
        ``loss``, with its gradient, and without gradient: ``masked_lm_sum``, the loss without its weight;
        ``masked_unknown``, the number of masked ``<unk>``, which accuracies leave out, since predicting it
        shows no knowledge; ``masked_lm_correct``, the number of correct predictions; ``mask_token_count`` and
        ``mask_token_correct``, the same at positions where the generator reads ``<mask>``.
    """
    target = batch.target
    is_masked = target != ids.pad
    scores = cross_entropy(output.gen_logits, target, output.gen_probs)
    loss = scores.nll.masked_fill(~is_masked, 0.0).sum()
    known = is_masked & (target != ids.unk)
    correct = (scores.best == target) & known
    shows_mask = known & (batch.src_tokens.gather(1, batch.masked_positions) == ids.mask)
    return {
        "loss": weights.gen * loss,
        "masked_lm_sum": loss.detach(),
        "masked_unknown": (target == ids.unk).sum(),
        "masked_lm_correct": correct.sum(),
        "mask_token_correct": (correct & shows_mask).sum(),
        "mask_token_count": shows_mask.sum(),
    }


def electra(
    output: ElectraOutput, batch: MaskedBatch, ids: SpecialIds, weights: LossWeights
) -> dict[str, Tensor]:
    """ELECTRA's objective: :func:`masked_lm`, and the discriminator's binary cross-entropy at all tokens.

    Returns:
        the sums of :func:`masked_lm`, and ``disc_sum``, the discriminator's loss without its weight;
        ``replaced``, the number of replaced tokens; ``flagged``, of tokens predicted to be replaced;
        ``flagged_replaced``, of tokens that are both; ``sampled_correct``, of samples that are the original
        token.

    Source: Clark et al. 2020 section 2; google-research/electra run_pretraining.py::PretrainingModel.
    """
    sums = masked_lm(output, batch, ids, weights)
    sampled, target = output.corrupted_tokens.gather(1, batch.masked_positions), batch.target
    known = (target != ids.pad) & (target != ids.unk)
    logits = output.disc_logits.to(loss_dtype(output.disc_logits.dtype))
    token_losses = F.binary_cross_entropy_with_logits(
        logits, output.is_replaced.to(logits.dtype), reduction="none"
    )
    loss = token_losses.masked_fill(batch.padding_mask, 0.0).sum()
    flagged = (logits.detach() > 0) & ~batch.padding_mask
    return sums | {
        "loss": sums["loss"] + weights.disc * loss,
        "disc_sum": loss.detach(),
        "sampled_correct": ((sampled == target) & known).sum(),
        "replaced": output.is_replaced.sum(),
        "flagged": flagged.sum(),
        "flagged_replaced": (flagged & output.is_replaced).sum(),
    }


def entropy_sum(logits: Tensor, is_masked: Tensor) -> Tensor:
    """Add up the entropy of the generator's distributions, in nats. Shapes: (B, K, V), (B, K) -> ()."""
    logprobs = logits.detach().log_softmax(-1, dtype=torch.float32)
    return -((logprobs.exp() * logprobs).sum(-1) * is_masked).sum()


@dataclass(frozen=True)
class Objective:
    """A way to pre-train.

    Args:
        model: the class of the model that it trains.
        sums: function that computes the loss and the counts; arguments and result as :func:`electra`.
    """

    model: type[Electra] | type[MaskedLanguageModel]
    sums: Callable[..., dict[str, Tensor]]

    @property
    def has_discriminator(self) -> bool:
        """Whether a discriminator is trained; fine-tuning then starts from it."""
        return issubclass(self.model, Electra)


def flops_of(model: Electra | MaskedLanguageModel, num_tokens: int) -> Flops:
    """Count the operations of a model's forward pass; ``num_tokens`` is the size of the vocabulary."""
    if isinstance(model, Electra):
        return electra_flops(model.sizes, model.generator.sizes, num_tokens)
    return masked_lm_flops(model.sizes, num_tokens)


OBJECTIVES = {
    "electra": Objective(Electra, electra),
    "mlm": Objective(MaskedLanguageModel, masked_lm),
}
