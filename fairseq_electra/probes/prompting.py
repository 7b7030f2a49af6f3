"""Prompting: a task's examples in a template, of whose verbalizers the one that fits best is the prediction.

A discriminator finds the fitting one more original than the others, a generator more likely.

Source: Xia et al. 2022 (arXiv 2205.15223).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fairseq_electra.electra.frozen_generator import FrozenGeneratorElectra
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.info import TaskInfo, read_task_info
from fairseq_electra.finetuning.sentences.scores import targets_of, texts_of
from fairseq_electra.hub.interface import ElectraHubInterface
from fairseq_electra.pretraining.dictionary import read_vocabulary
from fairseq_electra.probes.few_shot import FewShot, Labelled, Run, few_shot
from fairseq_electra.probes.prompt_scores import PROMPT_SCORES, score_prompts
from fairseq_electra.probes.prompts import make_prompts
from fairseq_electra.probes.sentence_scores import chosen_scores
from fairseq_electra.probes.templates import Template, template_of
from fairseq_electra.progress import Progress


@dataclass(frozen=True)
class Outcome:
    """What came out of prompting.

    Args:
        info: the task.
        split: the split that was scored.
        template: the template.
        shortened: number of examples of the split whose texts were cut.
        target: the number of each example's label. Shape: (examples,).
        zero_shot: scores of the model as it is, by the name of the score. Shape: (examples, labels) each.
        settings: of the few-shot fine-tuning; None: there is none.
        runs: of the few-shot fine-tuning, by the name of the score.
    """

    info: TaskInfo
    split: str
    template: Template
    shortened: int
    target: np.ndarray
    zero_shot: dict[str, np.ndarray]
    settings: FewShot | None
    runs: dict[str, list[Run]]


def prompt(
    net: ElectraHubInterface,
    folder: Path,
    template: Path | None = None,
    split: str = "valid",
    scores: Sequence[str] | None = None,
    settings: FewShot | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Prompt a model with the examples of a task.

    Args:
        net: a pre-trained model.
        folder: a task with classes, as ``fairseq-electra prepare`` makes it with the model's vocabulary.
        template: the file of a template; None: the package's own for the task.
        split: the split to score, which has labels.
        scores: keys of :data:`~fairseq_electra.probes.prompt_scores.PROMPT_SCORES`; by default all that the
            model has.
        settings: fine-tune on a few examples of train as well; None: the model is scored as it is.
        progress: reports the progress; by default none is.

    Raises:
        InputError: the folder, the template or the model does not serve, or they do not fit each other.
    """
    info = read_task_info(folder)
    found = template_of(info, template)
    # a frozen generator learns nothing from examples either
    fixed = {"generator"} if isinstance(net.model, FrozenGeneratorElectra) else set()
    if settings is not None and set(scores or ()) & fixed:
        raise InputError(
            "--scores generator: the generator of a model trained with --objective frozen_generator does not"
            " learn, so --shots is for its discriminator; leave one of them out"
        )
    scores = chosen_scores(net, scores)
    if not set(scores) <= set(PROMPT_SCORES):
        raise InputError(
            "prompts are scored by probabilities, and a model trained with --objective electric gives"
            " energies; give another model"
        )
    if read_vocabulary(folder / "input0") != net.symbols:
        raise InputError(
            f"{folder} was prepared with another vocabulary than the model's; prepare it again with that one"
        )
    scored = _labelled(net, folder, info, found, split)
    train = None if settings is None else _labelled(net, folder, info, found, "train", draws=True)
    zero_shot = {
        score: score_prompts(net.model, scored.prompts, score, progress=progress).numpy() for score in scores
    }
    runs = {}
    if settings is not None and train is not None:
        for score in (each for each in scores if each not in fixed):
            runs[score] = few_shot(
                net.model, train, scored.prompts, settings, score, info.metrics[0], progress
            )
    return Outcome(info, split, found, scored.prompts.shortened, scored.target, zero_shot, settings, runs)


def _labelled(
    net: ElectraHubInterface,
    folder: Path,
    info: TaskInfo,
    template: Template,
    split: str,
    draws: bool = False,
) -> Labelled:
    """Read a split; to draw from, without the pairs that ``--double-unordered`` has added."""
    if split not in info.examples:
        raise InputError(f"{folder} has no split {split!r}; it has {', '.join(info.examples)}")
    target = targets_of(folder, info, split)
    if target is None:
        raise InputError(f"the split {split!r} of {folder} has no labels to compare with; choose another")
    texts = texts_of(folder, info, split, len(net.symbols))
    if draws:
        kept = without_mirrored([[tuple(text) for text in each] for each in texts])
        texts, target = [texts[index] for index in kept], target[kept]
    return Labelled(make_prompts(net, template, info, texts), target)


def without_mirrored(examples: Sequence[Sequence[tuple]]) -> list[int]:
    """Return the numbers of examples that are not an earlier pair the other way round."""
    seen, kept = set[tuple](), []
    for index, texts in enumerate(map(tuple, examples)):
        if len(texts) == 2 and texts[0] != texts[1] and texts[::-1] in seen:
            continue
        seen.add(texts)
        kept.append(index)
    return kept
