"""The scores of a speedrun: fine-tunes on GLUE tasks as ``fairseq-electra finetune`` does."""

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.info import TASK_FILE, TaskInfo, read_task_info
from fairseq_electra.finetuning.recipes import recipe_for
from fairseq_electra.finetuning.sentences import PREDICTION
from fairseq_electra.finetuning.sentences.folder import check_task, write_task_folder
from fairseq_electra.finetuning.sentences.glue import GLUE, glue_task
from fairseq_electra.finetuning.sentences.read import Example
from fairseq_electra.pretraining.binarized import count_lines
from fairseq_electra.pretraining.recipes import SHORT_RUNS, TOKENS
from fairseq_electra.pretraining.unknown import Unknown

if TYPE_CHECKING:
    from fairseq_electra.speedrun.machine import Machine
    from fairseq_electra.speedrun.state import State

TASKS = tuple(name for name in GLUE if name != "AX")  # AX has no training set
DEFAULT_TASKS = ("CoLA", "MRPC", "STS-B", "RTE")
# estimates for the duration of a fine-tuning run
RUN_SECONDS = 4.0  # to start a run and to score it
UPDATE_SECONDS = 0.03  # overhead of fairseq's trainer per update, however small the model
PADDING = 1.3  # tokens of a batch, divided by those that are not padding

NOTE = "finetuning"  # name of the progress note in state.json


def read_tasks(folder: Path, names: Sequence[str]) -> dict[str, tuple[dict[str, list[Example]], TaskInfo]]:
    """Read GLUE tasks and check that they can be trained and scored.

    Raises:
        InputError: A task is missing, cannot be read, or has no train or dev set.
    """
    tasks = {}
    for name in names:
        splits, info = glue_task(folder, name, TOKENS)
        missing = [split for split in ("train", "valid") if split not in splits]
        if missing:
            files = " and ".join(GLUE[name].files[split][0] for split in missing)
            raise InputError(
                f"{folder}: {name} has no {files}; add it, or choose the tasks to fine-tune on with --tasks"
            )
        check_task(splits, info, GLUE[name].unordered)
        tasks[name] = (splits, info)
    return tasks


def prepare(
    folder: Path, names: Sequence[str], vocabulary: Path, destination: Path, say: Callable[[str], object]
) -> None:
    """Write the folder of each task; unordered pairs are written in both orders, as the recipes assume.

    Args:
        folder: The folder of the GLUE data.
        names: The tasks.
        vocabulary: The folder of the vocabulary.
        destination: The folder that gets a folder for each task.
        say: Called with each warning.
    """
    for name, (splits, info) in read_tasks(folder, names).items():
        task_folder = destination / name
        if not (task_folder / TASK_FILE).is_file():
            shutil.rmtree(task_folder, ignore_errors=True)
            unknown = Unknown()
            write_task_folder(task_folder, vocabulary, splits, info, GLUE[name].unordered, unknown)
            if warning := unknown.warning(name):
                say(warning)


def short_options(size: str) -> tuple[str, ...]:
    """Return the options by which fine-tuning after a short pre-training differs from the paper's recipe.

    They turn on bias correction, so that the first updates are not too small, and the pooling of the model
    size.
    """
    pooling = SHORT_RUNS[size].pooling
    return ("--bias-correction", *(("--pooling", pooling) if pooling != "first" else ()))


def estimated_seconds(
    folders: Sequence[Path], size: str, seeds: int, machine: "Machine", tokens_per_second: float
) -> float:
    """Estimate the total duration of all fine-tuning runs in seconds.

    Args:
        folders: The folders of the tasks.
        size: The model size.
        seeds: The number of runs of each task.
        machine: The machine that the runs use.
        tokens_per_second: The training speed of all parallel runs together.
    """
    total = 0.0
    for folder in folders:
        info = read_task_info(folder)
        recipe = recipe_for(size, info.name, PREDICTION)
        tokens = {split: _count_tokens(folder, info, split) * PADDING for split in info.examples}
        scored_once = sum(count for split, count in tokens.items() if split != "train")
        scored = scored_once + recipe.epochs * tokens["valid"]
        trained = recipe.epochs * tokens["train"]
        updates = recipe.epochs * info.examples["train"] / recipe.batch_size
        overhead = RUN_SECONDS / machine.processes + updates * UPDATE_SECONDS / machine.processes
        total += seeds * (overhead + (trained + scored / 3) / tokens_per_second)
    return total


def _count_tokens(folder: Path, info: TaskInfo, split: str) -> int:
    """Count the tokens of a split, including ``<s>`` and every ``</s>``."""
    inputs = [folder / f"input{i}" / split for i in range(info.inputs)]
    # two bytes per id, since the vocabulary has fewer than 65,500 entries
    ids = sum(path.with_suffix(".bin").stat().st_size // 2 for path in inputs)
    return ids + count_lines(inputs[0].with_suffix(".idx"))


def finetune(
    checkpoint: Path,
    folders: Sequence[Path],
    output: Path,
    size: str,
    seeds: int,
    machine: "Machine",
    state: "State",
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Fine-tune on every task with every seed; finished runs are not repeated.

    Args:
        checkpoint: The checkpoint to start from.
        folders: The folders of the tasks.
        output: The folder for the runs.
        size: The model size.
        seeds: The number of runs of each task.
        machine: The machine that the runs use.
        state: The record of the speedrun. It keeps the seconds of an interrupted study, up to its last
            finished run.
        say: Called with each line of progress.

    Returns:
        The results of :func:`fairseq_electra.finetuning.study.study`, and ``device_seconds``, the duration
        summed over all starts of the command.
    """
    from fairseq_electra.finetuning.nets import read_net
    from fairseq_electra.finetuning.study import Settings, study

    before, start = state.last_note(NOTE).get("device_seconds", 0.0), time.monotonic()

    def seconds() -> dict[str, float]:
        return {"device_seconds": round(before + time.monotonic() - start, 1)}

    def run_ended(line: str) -> None:
        state.note(NOTE, seconds())
        say(f"    {line}")

    settings = Settings(extra=(*short_options(size), *machine.options))
    results = study(
        [read_net(f"electra={checkpoint}")],
        folders,
        output,
        settings,
        seeds=range(1, seeds + 1),
        processes=machine.processes,
        threads=max(1, machine.threads // machine.processes),
        say=run_ended,
    )
    return results | seconds()
