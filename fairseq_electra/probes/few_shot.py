"""Prompt-based fine-tuning on a few examples for each label."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.sentences.metrics import score as metrics_of
from fairseq_electra.probes.prompt_scores import PROMPT_SCORES, score_prompts, scores_of
from fairseq_electra.probes.prompts import Prompts
from fairseq_electra.progress import Progress

BATCH_SIZE = 8  # examples of an update, each with the verbalizers of all labels
MAX_NORM = 1.0  # of the gradient


@dataclass(frozen=True)
class FewShot:
    """How to fine-tune.

    Args:
        shots: number of examples of each label.
        seeds: of the draw of the examples, of their order and of dropout; a run for each.
        rates: peak learning rates. Of several, each run takes the one that scores best on as many further
            examples of the training set, the first of equal ones.
        updates: number of updates of a run.
    """

    shots: int
    seeds: tuple[int, ...]
    rates: tuple[float, ...]
    updates: int


class Labelled(NamedTuple):
    """Prompts of a split, and the number of each example's true label."""

    prompts: Prompts
    target: np.ndarray  # (examples,)


class Run(NamedTuple):
    """What came out of a seed."""

    seed: int
    lr: float
    scores: np.ndarray  # (examples, labels) of the split to score


def few_shot(
    model: nn.Module,
    train: Labelled,
    scored: Prompts,
    settings: FewShot,
    score: str,
    metric: str,
    progress: Progress | None = None,
) -> list[Run]:
    """Fine-tune a model on a few examples for each seed, and score a split with it.

    Args:
        model: a pre-trained model; every run starts from its parameters, and it stays as it is.
        train: the training set to draw from.
        scored: the prompts of the split to score.
        settings: how to fine-tune.
        score: a key of :data:`~fairseq_electra.probes.prompt_scores.PROMPT_SCORES`.
        metric: the metric that chooses among several learning rates.
        progress: reports the progress; by default none is.

    Raises:
        InputError: the training set has too few examples of a label, or the training diverges.

    Source: Xia et al. 2022 (arXiv 2205.15223); facebookresearch/ELECTRA-Fewshot-Learning
    scripts/few_shot_prompt_FT.sh. Theirs also chooses the batch size and the number of updates.
    """
    progress = progress or Progress()
    runs = []
    for seed in settings.seeds:
        drawn, held_out = draw(train.target, len(train.prompts.verbalizers), settings, seed)
        best: tuple[float, float, nn.Module] | None = None
        for lr in settings.rates:
            progress.stage(f"{score}, seed {seed}, lr {lr:g}", "updates", settings.updates)
            tuned = fine_tune(model, train, drawn, score, lr, settings.updates, seed, progress)
            quality = 0.0
            if held_out:
                further = train.prompts.take(held_out)
                found = score_prompts(tuned, further, score, progress=progress).numpy()
                quality = metrics_of([metric], found, train.target[held_out])[metric]
            if best is None or quality > best[0]:
                best = quality, lr, tuned
        assert best is not None  # there is a learning rate
        runs.append(Run(seed, best[1], score_prompts(best[2], scored, score, progress=progress).numpy()))
    return runs


def draw(target: np.ndarray, labels: int, settings: FewShot, seed: int) -> tuple[list[int], list[int]]:
    """Draw examples of each label, and as many further ones if there are several learning rates.

    Args:
        target: number of each example's label. Shape: (examples,).
        labels: number of labels.
        settings: number of examples, and learning rates.
        seed: of the draw.

    Returns:
        the numbers of the examples, and of the further ones.

    Raises:
        InputError: a label has too few examples.
    """
    rng = np.random.default_rng(seed)
    parts = 1 if len(settings.rates) == 1 else 2
    drawn: list[list[int]] = [[], []]
    for label in range(labels):
        numbers = rng.permutation(np.flatnonzero(target == label)).tolist()
        if len(numbers) < parts * settings.shots:
            raise InputError(
                f"{settings.shots} examples of each label"
                + (", and as many further ones to choose the learning rate," if parts == 2 else "")
                + f" were asked for, and train has {len(numbers)} of label number {label}; lower --shots"
            )
        for part in range(parts):
            drawn[part] += numbers[part * settings.shots : (part + 1) * settings.shots]
    return drawn[0], drawn[1]


def fine_tune(
    model: nn.Module,
    train: Labelled,
    chosen: Sequence[int],
    score: str,
    lr: float,
    updates: int,
    seed: int,
    progress: Progress,
) -> nn.Module:
    """Train a copy of a model on examples of a training set.

    AdamW without weight decay; the learning rate falls linearly to 0, without warm-up.

    Args:
        model: where the training starts.
        train: the training set.
        chosen: numbers of the examples to train on; each epoch has them in another order.
        score: a key of :data:`~fairseq_electra.probes.prompt_scores.PROMPT_SCORES`.
        lr: the learning rate of the first update.
        updates: number of updates.
        seed: of the order of examples and of dropout.
        progress: counts the updates.

    Returns:
        the trained copy, in evaluation mode.
    """
    tuned = copy.deepcopy(model).train()
    optimizer = torch.optim.AdamW(tuned.parameters(), lr=lr, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda update: 1 - update / updates)
    target = torch.from_numpy(train.target)
    rng, left = np.random.default_rng(seed), list[int]()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for _ in range(updates):
            left = left or rng.permutation(chosen).tolist()
            batch, left = left[:BATCH_SIZE], left[BATCH_SIZE:]
            found = scores_of(tuned, train.prompts, batch, score)
            loss = PROMPT_SCORES[score].loss(found, target[batch].to(found.device))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(tuned.parameters(), MAX_NORM)
            optimizer.step()
            schedule.step()
            progress.add()
    return tuned.eval()
