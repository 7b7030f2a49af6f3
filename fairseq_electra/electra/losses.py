"""Losses of pre-training: a function for each objective, from a model's output to named sums.

They return sums, not means: the same rows in one batch, in two or on two devices add up to the same numbers,
and so to the same gradient. The caller divides by the number of masked tokens.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fairseq_electra.electra.adversarial import AdversarialOutput
from fairseq_electra.electra.electric import ElectricOutput, noise_sums
from fairseq_electra.electra.fast.cross_entropy import TokenScores, cross_entropy, loss_dtype
from fairseq_electra.electra.language_models import (
    AllTokensMLMOutput,
    ReplaceMLMOutput,
    log_likelihood,
    most_likely,
)
from fairseq_electra.electra.model import (
    ElectraOutput,
    GeneratorOutput,
)
from fairseq_electra.electra.random_substitution import DetectionOutput

Generated = GeneratorOutput | ElectraOutput | AdversarialOutput | ReplaceMLMOutput | AllTokensMLMOutput
Detected = ElectraOutput | AdversarialOutput | AllTokensMLMOutput | DetectionOutput | ElectricOutput
Corrupted = Detected | ReplaceMLMOutput


class MaskedBatch(NamedTuple):
    """The tensors of a batch that an objective reads, beside the model's output."""

    src_tokens: Tensor  # (B, T), the masked text
    padding_mask: Tensor  # (B, T), True at padding
    masked_positions: Tensor  # (B, K)
    target: Tensor  # (B, K), the original tokens, padding in spare slots
    row_weights: Tensor | None = None  # (B,), of the losses at each row's masked tokens; None: 1


class SpecialIds(NamedTuple):
    """Ids of the vocabulary's special symbols that an objective must know."""

    pad: int
    unk: int
    mask: int


class LossWeights(NamedTuple):
    """Weights of the sums that make up a loss, which is divided by the number of masked tokens.

    A sum over all tokens is multiplied by the share of tokens that are masked as well. So the loss is a
    weighted sum of means (Clark et al. 2020, section 2), in a form that adds up over batches.
    """

    gen: float  # of the generator's sum, over the masked tokens
    # of a sum over all tokens: ``--disc-weight`` times the share of tokens that are masked
    disc: float | Tensor
    disc_at_masked: float  # of a sum over the masked tokens: ``--disc-weight``
    gen_at_all: float | Tensor  # of the noise model's sum, over all tokens: ``--gen-weight`` times that share
    z: float = 0.0  # of the generator's :func:`z_loss`, over the masked tokens; 0: there is none


def weighted(values: Tensor, batch: MaskedBatch) -> Tensor:
    """Multiply values at the masked tokens by the weights of their rows, if there are any.

    Shape kept: (B, K).
    """
    if batch.row_weights is None:
        return values
    weights = batch.row_weights.unsqueeze(1)
    return values * (weights.to(values.dtype) if values.is_floating_point() else weights)


def masked_lm(
    output: Generated, batch: MaskedBatch, ids: SpecialIds, weights: LossWeights
) -> dict[str, Tensor]:
    """Cross-entropy of the generator at the masked tokens, in nats: BERT's objective.

    Returns:
        ``loss``, with its gradient, and without gradient: ``masked_lm_sum``, the loss without its weight;
        ``masked_unknown``, the number of masked ``<unk>``, which accuracies leave out, since predicting it
        shows no knowledge; ``masked_lm_correct``, the number of correct predictions; ``mask_token_count`` and
        ``mask_token_correct``, the same at positions where the generator reads ``<mask>``. Where
        :func:`z_loss` has a weight, it is part of ``loss``, and ``z_sum`` is its sum without weight.
    """
    target = batch.target
    is_masked = target != ids.pad
    scores = cross_entropy(output.gen_logits, target, output.gen_probs)
    loss = weighted(scores.nll.masked_fill(~is_masked, 0.0), batch).sum()
    known = is_masked & (target != ids.unk)
    correct = (scores.best == target) & known
    shows_mask = known & (batch.src_tokens.gather(1, batch.masked_positions) == ids.mask)
    sums = {
        "loss": weights.gen * loss,
        "masked_lm_sum": loss.detach(),
        "masked_unknown": (target == ids.unk).sum(),
        "masked_lm_correct": correct.sum(),
        "mask_token_correct": (correct & shows_mask).sum(),
        "mask_token_count": shows_mask.sum(),
    }
    if weights.z:
        z_sum = z_loss(scores, batch, ids)
        sums |= {"loss": sums["loss"] + weights.z * z_sum, "z_sum": z_sum.detach()}
    return sums


def z_loss(scores: TokenScores, batch: MaskedBatch, ids: SpecialIds) -> Tensor:
    """Add up (log Z)^2 of the generator's scores at the masked tokens; Z is what its softmax divides by.

    It keeps the scores from growing or falling together, which the cross-entropy does not notice. Shape: ().

    Source: Chowdhery et al. 2022 (PaLM, arXiv 2204.02311), section 5, with a weight of 1e-4.
    """
    return weighted(scores.log_normalizer.square().masked_fill(batch.target == ids.pad, 0.0), batch).sum()


def electra(
    output: ElectraOutput, batch: MaskedBatch, ids: SpecialIds, weights: LossWeights
) -> dict[str, Tensor]:
    """ELECTRA's objective: :func:`masked_lm` and :func:`detection`.

    Source: Clark et al. 2020 section 2; google-research/electra run_pretraining.py::PretrainingModel.
    """
    generator = masked_lm(output, batch, ids, weights)
    discriminator = detection(output, batch, ids, weights)
    return generator | discriminator | {"loss": generator["loss"] + discriminator["loss"]}


def detection(
    output: Detected, batch: MaskedBatch, ids: SpecialIds, weights: LossWeights
) -> dict[str, Tensor]:
    """Binary cross-entropy at all tokens: was the token replaced?

    Returns:
        ``loss``, with its gradient, and without gradient: ``disc_sum``, the loss without its weight;
        ``flagged``, the number of tokens predicted to be replaced; ``flagged_replaced``, of tokens that are
        both; and the sums of :func:`corruption`.
    """
    loss = detection_losses(output, batch).sum()
    assert output.disc_logits is not None
    flagged = (output.disc_logits.detach() > 0) & ~batch.padding_mask
    return {
        "loss": weights.disc * loss,
        "disc_sum": loss.detach(),
        "flagged": flagged.sum(),
        "flagged_replaced": (flagged & output.is_replaced).sum(),
    } | corruption(output, batch, ids)


def detection_losses(output: Detected, batch: MaskedBatch) -> Tensor:
    """Compute the discriminator's loss at each token, 0 at padding, in nats. Shape: (B, T)."""
    assert output.disc_logits is not None
    logits = output.disc_logits.to(loss_dtype(output.disc_logits.dtype))
    losses = F.binary_cross_entropy_with_logits(logits, output.is_replaced.to(logits.dtype), reduction="none")
    return losses.masked_fill(batch.padding_mask, 0.0)


def corruption(output: Corrupted, batch: MaskedBatch, ids: SpecialIds) -> dict[str, Tensor]:
    """Count what the generator's samples did to the text.

    Returns:
        ``replaced``, the number of replaced tokens; ``sampled_correct``, of samples that are the original
        token; ``masked_unknown`` as :func:`masked_lm`.
    """
    sampled, target = output.corrupted_tokens.gather(1, batch.masked_positions), batch.target
    known = (target != ids.pad) & (target != ids.unk)
    return {
        "replaced": output.is_replaced.sum(),
        "sampled_correct": ((sampled == target) & known).sum(),
        "masked_unknown": (target == ids.unk).sum(),
    }


def frozen_generator(
    output: ElectraOutput, batch: MaskedBatch, ids: SpecialIds, weights: LossWeights
) -> dict[str, Tensor]:
    """:func:`detection`, beside a generator that is not trained.

    Returns:
        the sums of :func:`electra`; those of the generator are figures.
    """
    return masked_lm(output, batch, ids, weights) | detection(output, batch, ids, weights)


def adversarial(
    output: AdversarialOutput, batch: MaskedBatch, ids: SpecialIds, weights: LossWeights
) -> dict[str, Tensor]:
    """:func:`detection`, and a generator that is rewarded by the discriminator's loss at its samples.

    The reward of a sample is R = -log p, p being the probability that the discriminator gives to the true
    answer there. The generator's loss is -(R - b) log of the sample's own probability, with the gradient of
    this log alone (REINFORCE). The baseline b = -log sigmoid(z) is learnt by the cross-entropy of sigmoid(z)
    with p.

    Returns:
        the sums of :func:`electra`; those of the generator are figures, but for :func:`z_loss`.

    Source: Clark et al. 2020, appendix F.
    """
    figures = masked_lm(output, batch, ids, weights)
    discriminator = detection(output, batch, ids, weights)
    is_spare = batch.target == ids.pad
    sampled = output.corrupted_tokens.gather(1, batch.masked_positions)
    rewards = detection_losses(output, batch).detach().gather(1, batch.masked_positions)
    baseline_logits = output.baseline_logits.to(rewards.dtype)
    advantages = rewards - F.softplus(-baseline_logits.detach())
    scores = cross_entropy(output.gen_logits, sampled, output.gen_probs)
    policy = advantages * scores.nll
    baseline = F.binary_cross_entropy_with_logits(baseline_logits, (-rewards).exp(), reduction="none")
    loss = weights.gen * weighted((policy + baseline).masked_fill(is_spare, 0.0), batch).sum()
    if weights.z:
        loss = loss + weights.z * z_loss(scores, batch, ids)
    return figures | discriminator | {"loss": loss + discriminator["loss"]}


def electra_at_masked(
    output: ElectraOutput, batch: MaskedBatch, ids: SpecialIds, weights: LossWeights
) -> dict[str, Tensor]:
    """ELECTRA 15%: ELECTRA's objective with the discriminator's loss at the masked positions alone.

    Returns:
        the sums of :func:`electra`; its counts, ``disc_sum`` too, are still those of all tokens.

    Source: Clark et al. 2020 section 3.4.
    """
    generator = masked_lm(output, batch, ids, weights)
    sums = generator | detection(output, batch, ids, weights)
    losses = detection_losses(output, batch).gather(1, batch.masked_positions)
    loss = weighted(losses.masked_fill(batch.target == ids.pad, 0.0), batch).sum()
    return sums | {"loss": generator["loss"] + weights.disc_at_masked * loss}


def replace_mlm(
    output: ReplaceMLMOutput, batch: MaskedBatch, ids: SpecialIds, weights: LossWeights
) -> dict[str, Tensor]:
    """Replace MLM: :func:`masked_lm`, and the main encoder's cross-entropy at the masked tokens.

    Returns:
        the sums of :func:`masked_lm` and :func:`corruption`, and ``main_lm_sum``, the main encoder's loss
        without its weight; ``main_lm_count``, the number of tokens that it predicts; ``main_lm_correct``, of
        correct predictions of masked tokens.

    Source: Clark et al. 2020 section 3.4.
    """
    sums = masked_lm(output, batch, ids, weights) | corruption(output, batch, ids)
    is_masked = batch.target != ids.pad
    scores = cross_entropy(output.logits, batch.target)
    loss = weighted(scores.nll.masked_fill(~is_masked, 0.0), batch).sum()
    return sums | {
        "loss": sums["loss"] + weights.disc_at_masked * loss,
        "main_lm_sum": loss.detach(),
        "main_lm_count": weighted(is_masked, batch).sum(),
        "main_lm_correct": ((scores.best == batch.target) & is_masked & (batch.target != ids.unk)).sum(),
    }


def all_tokens_mlm(
    output: AllTokensMLMOutput, batch: MaskedBatch, ids: SpecialIds, weights: LossWeights
) -> dict[str, Tensor]:
    """All-Tokens MLM: :func:`masked_lm`, and the main encoder's cross-entropy at all tokens.

    Returns:
        the sums of :func:`replace_mlm`; with a copy head also those of :func:`detection`, as figures.

    Source: Clark et al. 2020 section 3.4.
    """
    sums = masked_lm(output, batch, ids, weights) | corruption(output, batch, ids)
    if output.disc_logits is not None:
        sums = detection(output, batch, ids, weights) | sums
    used = batch.target != ids.pad
    # a spare slot writes back the token at position 0, which is never masked
    there = torch.where(
        used, batch.target, batch.src_tokens.gather(1, batch.masked_positions).to(batch.target.dtype)
    )
    original = batch.src_tokens.to(there.dtype).scatter(1, batch.masked_positions, there)
    chances = log_likelihood(output.logits, output.disc_logits, output.corrupted_tokens, original)
    loss = -chances.masked_fill(batch.padding_mask, 0.0).sum()
    correct = (most_likely(output, batch.masked_positions) == batch.target) & used & (batch.target != ids.unk)
    return sums | {
        "loss": sums["loss"] + weights.disc * loss,
        "main_lm_sum": loss.detach(),
        "main_lm_count": (~batch.padding_mask).sum(),
        "main_lm_correct": correct.sum(),
    }


def electric(
    output: ElectricOutput, batch: MaskedBatch, ids: SpecialIds, weights: LossWeights
) -> dict[str, Tensor]:
    """Electric: :func:`detection` of noise (noise-contrastive estimation), and the noise model's loss.

    Returns:
        the sums of :func:`detection`, of which ``replaced`` counts noise, and of :func:`noise_sums`.

    Source: Clark et al. 2020b (arXiv 2012.08561).
    """
    main, noise = detection(output, batch, ids, weights), noise_sums(output, ids.unk)
    return main | noise | {"loss": main["loss"] + weights.gen_at_all * noise["loss"]}


def entropy_sum(logits: Tensor, is_masked: Tensor) -> Tensor:
    """Add up the entropy of the generator's distributions, in nats. Shapes: (B, K, V), (B, K) -> ()."""
    logprobs = logits.detach().log_softmax(-1, dtype=torch.float32)
    logprobs.clamp_(min=torch.finfo(torch.float32).min)  # where a score is -inf: 0 log 0 = 0
    return -((logprobs.exp() * logprobs).sum(-1) * is_masked).sum()
