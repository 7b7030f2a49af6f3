"""Predictions in the files that GLUE's server takes."""

import json
from pathlib import Path

import numpy as np

from fairseq_electra.errors import InputError, listed
from fairseq_electra.files.text import atomic_folder, atomic_write
from fairseq_electra.finetuning.results import has_scores, merged_scores
from fairseq_electra.finetuning.sentences.glue import GLUE

LARGEST_SCORE = 5.0  # of STS-B


def write_submission(results: dict, runs: Path, net: str, output: Path, single: bool = False) -> list[str]:
    """Write a file for each test set that was scored.

    Args:
        results: of :func:`fairseq_electra.finetuning.study.study`.
        runs: folder of the runs.
        net: name of the model to submit.
        output: folder to write; new or empty.
        single: take the seed that is best on valid, instead of the mean of all seeds' scores. Seeds that
            diverged have no part in it.

    Returns:
        the names of the files.

    Raises:
        InputError: there is no such model, a task's labels are not GLUE's, all its runs went wrong, or no
            test set was scored.
    """
    lines = [line for line in results["summary"] if line["net"] == net]
    if not lines:
        raise InputError(
            f"no net {net!r} in the results, they have {', '.join(each['name'] for each in results['nets'])}"
        )
    written = []
    with atomic_folder(output) as partial:
        for line in lines:
            task = line["task"]
            if task not in GLUE:
                continue
            chosen = [
                each
                for each in results["runs"]
                if (each["net"], each["task"], each["lr"]) == (net, task, line["lr"])
            ]
            chosen = [each for each in chosen if each["seed"] in line["seeds"]]
            chosen = [each for each in chosen if has_scores(each)]
            if not chosen:
                reasons = " and ".join(sorted(set(line["degenerate_seeds"].values())))
                raise InputError(
                    f"{net}: all its runs on {task} went wrong, {reasons}, so there is nothing to submit for"
                    " it; give finetune a lower --lr, or leave the task out of --data"
                )
            labels = _labels(line)
            if single:
                decides = next(iter(line["metrics"]["valid"]))  # the task's first
                chosen = [max(chosen, key=lambda each: each["metrics"]["valid"][decides])]
            logits = merged_scores(chosen, runs, lambda scores: np.mean(scores, axis=0))
            for split in logits:
                if split.startswith("valid"):
                    continue
                name = f"{split}.tsv" if split in GLUE else GLUE[task].submission.get(split, f"{task}.tsv")
                _write(partial / name, logits[split], labels)
                written.append(name)
        if not written:
            raise InputError(
                f"{runs} holds no scores of a test set of GLUE; prepare the tasks with their test files"
            )
    return written


def _labels(line: dict) -> list[str]:
    """Return the names of the classes in the order of the scores.

    The order in the task's folder may differ from that in GLUE's files.
    """
    task, labels = line["task"], line.get("labels")
    if labels is None:
        raise InputError(
            f"the results do not say in which order the labels of {task} are; repeat the line of"
            " fairseq-electra finetune that made them, which trains nothing again"
        )
    if sorted(labels) != sorted(GLUE[task].labels):
        wanted, got = (listed(names) or "numbers" for names in (GLUE[task].labels, labels))
        raise InputError(
            f"{task} was trained on {got}, and GLUE's server wants {wanted}; prepare the task with these as"
            " its labels"
        )
    return labels


def _write(path: Path, logits: np.ndarray, labels: list[str]) -> None:
    with atomic_write(path) as stream:
        stream.write("index\tprediction\n")
        for i, scores in enumerate(logits):
            stream.write(
                f"{i}\t"
                f"{labels[scores.argmax()] if labels else f'{min(max(scores[0], 0.0), LARGEST_SCORE):.3f}'}\n"
            )


def read_results(path: Path) -> dict:
    """Read the results of a study.

    Raises:
        InputError: they are not there, or damaged.
    """
    if not path.is_file():
        raise InputError(f"no {path}; make it with fairseq-electra finetune --output {path.parent}")
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(results, dict) or not {"nets", "summary", "runs"} <= set(results):
            raise ValueError("it is not of fairseq-electra finetune")
        return results
    except ValueError as error:
        raise InputError(
            f"{path} is damaged ({error}); make it again with fairseq-electra finetune --output {path.parent}"
        ) from error
