"""Scores of verbalizers in prompts, by the discriminator and by the generator, with the losses that fit them.

A score is a mean over the verbalizer's tokens, so that verbalizers of different lengths can be compared.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_electra.electra.fast.cross_entropy import loss_dtype
from fairseq_electra.electra.model import Discriminator, Generator
from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.wordpiece import PAD_ID
from fairseq_electra.probes.prompts import Prompts
from fairseq_electra.probes.sentence_scores import MAX_TOKENS
from fairseq_electra.progress import Progress


class Candidates(NamedTuple):
    """Padded rows that each hold a verbalizer."""

    tokens: Tensor  # (N, T)
    padding_mask: Tensor | None  # (N, T), True at padding; None: there is none
    positions: Tensor  # (N, K), those of the verbalizer's tokens; spare slots repeat the first
    is_token: Tensor  # (N, K), False in spare slots
    mask: int  # id of <mask>


def candidates(prompts: Prompts, chosen: Sequence[int], device: torch.device) -> Candidates:
    """Make the rows of some examples: for each of them one for each label, in the labels' order."""
    rows, positions, is_token = [], [], []
    slots = max(map(len, prompts.verbalizers))
    for i in chosen:
        before, after = prompts.prompts[i]
        for verbalizer in prompts.verbalizers:
            rows.append(torch.tensor([*before, *verbalizer, *after]))
            positions.append([len(before) + (k if k < len(verbalizer) else 0) for k in range(slots)])
            is_token.append([k < len(verbalizer) for k in range(slots)])
    tokens = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD_ID).to(device)
    padding = tokens == PAD_ID
    return Candidates(
        tokens,
        padding if bool(padding.any()) else None,
        torch.tensor(positions, device=device),
        torch.tensor(is_token, device=device),
        prompts.mask,
    )


def originality(model: nn.Module, rows: Candidates) -> Tensor:
    """Compute how original the discriminator finds the verbalizers: the mean of the logits of p(original).

    Args:
        model: a model with a discriminator.
        rows: N rows.

    Returns:
        Shape: (N,).

    Source: facebookresearch/ELECTRA-Fewshot-Learning models.py::ElectraForPromptSpanTraining, whose
    ``mean_prob`` is a mean of logits.
    """
    assert isinstance(model, Discriminator)
    logits = model.discriminate(rows.tokens, torch.zeros_like(rows.tokens), rows.padding_mask)
    return _mean(-logits.gather(1, rows.positions), rows.is_token)


def log_likelihood(model: nn.Module, rows: Candidates) -> Tensor:
    """Compute how likely the generator finds the verbalizers: the mean of log p(token), in nats.

    All tokens of a verbalizer are masked at once. Arguments and result as :func:`originality`, of a model
    with a generator.

    Source: Gao et al. 2021 (arXiv 2012.15723), equation 1, for verbalizers of one token.
    """
    assert isinstance(model, Generator)
    masked = rows.tokens.scatter(1, rows.positions, rows.mask)
    logits = model.generate(masked, torch.zeros_like(masked), rows.padding_mask, rows.positions)
    logprobs = logits.to(loss_dtype(logits.dtype)).log_softmax(-1)
    target = rows.tokens.gather(1, rows.positions)
    return _mean(logprobs.gather(2, target.unsqueeze(-1)).squeeze(-1), rows.is_token)


def _mean(values: Tensor, is_token: Tensor) -> Tensor:
    values = values.to(loss_dtype(values.dtype))
    return values.where(is_token, 0).sum(1) / is_token.sum(1)


def originality_loss(scores: Tensor, target: Tensor) -> Tensor:
    """Compute the binary cross-entropy: the true label's verbalizer is original, the others are replaced.

    Args:
        scores: result of :func:`originality` for each example and label. Shape: (B, labels).
        target: number of the true label. Shape: (B,).

    Returns:
        the mean over examples and labels, in nats. Shape: ().

    Source: Xia et al. 2022 (arXiv 2205.15223); facebookresearch/ELECTRA-Fewshot-Learning
    models.py::ElectraForPromptTuning.
    """
    is_true = F.one_hot(target, scores.shape[1]).to(scores.dtype)
    return F.binary_cross_entropy_with_logits(scores, is_true)


class PromptScore(NamedTuple):
    """A way to score verbalizers, and the loss that trains it.

    Args:
        compute: arguments and result as :func:`originality`.
        loss: arguments and result as :func:`originality_loss`.
    """

    compute: Callable[[nn.Module, Candidates], Tensor]
    loss: Callable[[Tensor, Tensor], Tensor]


# by the names of sentence_scores.SCORES, which says which models have them
PROMPT_SCORES = {
    "generator": PromptScore(log_likelihood, F.cross_entropy),
    "discriminator": PromptScore(originality, originality_loss),
}


def scores_of(model: nn.Module, prompts: Prompts, chosen: Sequence[int], score: str) -> Tensor:
    """Score each label's verbalizer in the prompts of some examples. Shape: (B, labels)."""
    rows = candidates(prompts, chosen, next(model.parameters()).device)
    return PROMPT_SCORES[score].compute(model, rows).view(len(chosen), -1)


@torch.no_grad()
def score_prompts(
    model: nn.Module,
    prompts: Prompts,
    score: str,
    max_tokens: int | None = None,
    progress: Progress | None = None,
) -> Tensor:
    """Score each label's verbalizer in all prompts; the label of the highest score is the prediction.

    Args:
        model: a model in evaluation mode.
        prompts: result of :func:`fairseq_electra.probes.prompts.make_prompts`.
        score: a key of :data:`PROMPT_SCORES`.
        max_tokens: the number of tokens in a batch, padding counted; by default
            :data:`~fairseq_electra.probes.sentence_scores.MAX_TOKENS`.
        progress: reports the progress; by default none is.

    Returns:
        float64. Shape: (examples, labels).

    Raises:
        InputError: a score is not a finite number.
    """
    progress = progress or Progress()
    progress.stage(score, "examples", len(prompts.prompts))
    device = next(model.parameters()).device
    max_tokens = max_tokens or MAX_TOKENS[device.type == "cuda"]
    found = torch.zeros(len(prompts.prompts), len(prompts.verbalizers), dtype=torch.float64)
    for chosen in _batches(prompts, max_tokens):
        found[chosen] = scores_of(model, prompts, chosen, score).double().cpu()
        progress.add(len(chosen))
    if not found.isfinite().all():
        raise InputError(
            f"the {score} gives a verbalizer a score that is not a finite number: the training has diverged,"
            " or the checkpoint is damaged; use an earlier checkpoint, or a lower --lr"
        )
    return found


def _batches(prompts: Prompts, max_tokens: int) -> Iterator[list[int]]:
    """Yield numbers of examples with rows of like length, so that little is padded."""
    sizes, labels = prompts.sizes(), len(prompts.verbalizers)
    batch: list[int] = []
    for i in sorted(range(len(sizes)), key=sizes.__getitem__):
        if batch and (len(batch) + 1) * labels * sizes[i] > max_tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
