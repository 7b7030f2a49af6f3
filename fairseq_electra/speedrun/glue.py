"""The scores of a speedrun: GLUE tasks, fine-tuned with many seeds by the study that ``fairseq-electra finetune`` runs."""

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.kind import PREDICTION, TASK_FILE, TaskInfo, read_task_info
from fairseq_electra.finetuning.recipes import recipe_for
from fairseq_electra.finetuning.sentences.folder import check_task, write_task_folder
from fairseq_electra.finetuning.sentences.glue import GLUE, glue_task
from fairseq_electra.finetuning.sentences.read import Example
from fairseq_electra.pretraining.binarized import count_lines
from fairseq_electra.pretraining.recipes import SHORT_RUNS, TOKENS
from fairseq_electra.pretraining.unknown import Unknown

if TYPE_CHECKING:
    from fairseq_electra.speedrun.machine import Machine
    from fairseq_electra.speedrun.state import State

TASKS = tuple(name for name in GLUE if name != "AX")  # which has nothing to train on
USUAL_TASKS = ("CoLA", "MRPC", "STS-B", "RTE")
RUN_SECONDS = 4.0  # to start a run and to score it
UPDATE_SECONDS = 0.03  # of fairseq's trainer, however small the network
NOTE = "finetuning"  # in the record of the speedrun
PADDING = 1.3  # tokens of a batch, by those that are text


def read_tasks(folder: Path, names: Sequence[str]) -> dict[str, tuple[dict[str, list[Example]], TaskInfo]]:
    """Read GLUE tasks and check that they can be trained and scored.

    Raises:
        InputError: a task is not there, cannot be read, or lacks what is needed.
    """
    found = {}
    for name in names:
        splits, info = glue_task(folder, name, TOKENS)
        lacking = [split for split in ("train", "valid") if split not in splits]
        if lacking:
            files = " and ".join(GLUE[name].files[split][0] for split in lacking)
            raise InputError(
                f"{folder}: {name} has no {files}; add it, or name the tasks to fine-tune: --tasks"
            )
        check_task(splits, info, GLUE[name].unordered)
        found[name] = (splits, info)
    return found


def prepare(
    folder: Path, names: Sequence[str], vocabulary: Path, destination: Path, say: Callable[[str], object]
) -> None:
    """Write each task's folder, pairs without an order both ways round, as the recipes count on; ``say`` takes warnings."""
    for name, (splits, info) in read_tasks(folder, names).items():
        place = destination / name
        if not (place / TASK_FILE).is_file():
            shutil.rmtree(place, ignore_errors=True)
            unknown = Unknown()
            write_task_folder(place, vocabulary, splits, info, GLUE[name].unordered, unknown)
            if warning := unknown.warning(name):
                say(warning)


def short_options(size: str) -> tuple[str, ...]:
    """Options of fine-tuning, beside the paper's recipe, for a model that was pre-trained for minutes.

    A first update as large as the next ones, and the pooling of the size.
    """
    pooling = SHORT_RUNS[size].pooling
    return ("--bias-correction", *(("--pooling", pooling) if pooling != "first" else ()))


def estimated_seconds(
    folders: Sequence[Path], size: str, seeds: int, machine: "Machine", tokens_per_second: float
) -> float:
    """Estimate how long all runs take.

    Args:
        folders: of the tasks.
        size: of the network.
        seeds: runs of each task.
        machine: it runs on.
        tokens_per_second: that fine-tunings side by side train on together.
    """
    total = 0.0
    for folder in folders:
        info = read_task_info(folder)
        recipe = recipe_for(size, info.name, PREDICTION)
        tokens = {split: _tokens(folder, info, split) * PADDING for split in info.examples}
        scored = (
            sum(number for split, number in tokens.items() if split != "train")
            + recipe.epochs * tokens["valid"]
        )
        trained = recipe.epochs * tokens["train"]
        updates = recipe.epochs * info.examples["train"] / recipe.batch_size
        own = RUN_SECONDS / machine.processes + updates * UPDATE_SECONDS / machine.processes
        total += seeds * (own + (trained + scored / 3) / tokens_per_second)
    return total


def _tokens(folder: Path, info: TaskInfo, split: str) -> int:
    """Count a split's tokens, ``<s>`` and every ``</s>`` among them."""
    inputs = [folder / f"input{i}" / split for i in range(info.inputs)]
    ids = sum(
        path.with_suffix(".bin").stat().st_size // 2 for path in inputs
    )  # two bytes each: V is below 65,500
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
    """Fine-tune with every seed; runs that are done are not done again.

    Args:
        checkpoint: to start from.
        folders: of the tasks.
        output: folder for the runs.
        size: of the network.
        seeds: runs of each task.
        machine: it runs on.
        state: of the speedrun; holds the seconds of a study that was interrupted, as they were when its last run ended.
        say: takes lines of progress.

    Returns:
        what :func:`fairseq_electra.finetuning.study.study` gives, and ``device_seconds``, those of all starts together.
    """
    from fairseq_electra.finetuning.nets import read_net
    from fairseq_electra.finetuning.study import Settings, study

    before, start = state.noted(NOTE).get("device_seconds", 0.0), time.monotonic()

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
