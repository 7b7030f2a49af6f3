"""Fine-tune nets on tasks with many seeds: every run leaves its scores behind, so that it is done once."""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from fairseq_electra.data.task_folder import TaskInfo, read_task_info
from fairseq_electra.data.text import written_whole
from fairseq_electra.errors import InputError
from fairseq_electra.evaluation import recipes
from fairseq_electra.evaluation.nets import Net
from fairseq_electra.evaluation.recipes import Recipe
from fairseq_electra.evaluation.results import LOGITS_FILE, RESULT_FILE, summarize, versions
from fairseq_electra.evaluation.sentence_metrics import is_constant, score
from fairseq_electra.many_runs import train_all

DIAGNOSTIC = "AX"  # has no training set: GLUE asks for what a net that was trained on MNLI says of it


@dataclass(frozen=True)
class Run:
    """One training."""

    net: Net
    data: Path
    info: TaskInfo
    recipe: Recipe
    seed: int
    extra: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its folder."""
        return f"{self.net.name}/{self.info.name}/lr{self.recipe.lr:g}-seed{self.seed}"

    def arguments(self, folder: Path) -> list[str]:
        """Arguments of ``fairseq-train``."""
        own = recipes.arguments(self.data, self.info, self.recipe, self.net.start, self.seed)
        if self.net.has_head:  # that of another task (STILTs): this one gets its own
            own += recipes.head_arguments(self.info)
        return [*own, "--save-dir", str(folder / self.name / "checkpoints"), *self.extra]


@dataclass(frozen=True)
class Settings:
    """What is changed in the recipes.

    Args:
        epochs: by task; that of the name "" is for all others.
        batch_size: examples of an update.
        extra: further arguments of ``fairseq-train``.
    """

    epochs: Mapping[str, int] = field(default_factory=dict)
    batch_size: int | None = None
    extra: tuple[str, ...] = ()

    def run(self, net: Net, data: Path, info: TaskInfo, lr: float | None, seed: int) -> Run:
        """Plan a run; without a learning rate, at the recipe's."""
        changes = {"lr": lr, "epochs": self.epochs.get(info.name, self.epochs.get("")), "batch_size": self.batch_size}
        changes = {name: value for name, value in changes.items() if value is not None}
        if not net.checkpoint:  # layers that have learned nothing have nothing to keep
            changes["layer_decay"] = 1.0
        return Run(net, data, info, replace(recipes.recipe_for(net.size, info.name), **changes), seed, self.extra)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Predict:
    """What a run's process does when it has trained: score all splits, write the result, and remove the checkpoints."""

    folder: Path
    runs: Mapping[str, Run]
    keep_checkpoints: bool

    def __call__(self, name: str) -> None:
        """Do it for the run of this name."""
        from fairseq_electra.evaluation.predictions import scores_of, targets_of
        from fairseq_electra.interchange.hub_interface import from_pretrained

        run, place = self.runs[name], self.folder / name
        net = from_pretrained(place / "checkpoints", "checkpoint_last.pt")
        logits = scores_of(net, run.data, run.info)
        targets = {split: targets_of(run.data, run.info, split) for split in logits if split.startswith("valid")}
        diagnostic = run.data.with_name(DIAGNOSTIC)
        if run.info.name == "MNLI" and diagnostic.is_dir():
            logits[DIAGNOSTIC] = scores_of(net, diagnostic, read_task_info(diagnostic))["test"]
        with written_whole(place / LOGITS_FILE, "wb") as stream:
            np.savez(stream, **logits)  # type: ignore[arg-type]
        result = {
            "net": run.net.name,
            "checkpoint": run.net.sha256,
            "task": run.info.name,
            "lr": run.recipe.lr,
            "seed": run.seed,
            "metrics": {split: score(run.info.metrics, logits[split], target) for split, target in targets.items()},
            "constant": any(is_constant(scores) for scores in logits.values()),
            "arguments": run.arguments(self.folder),
        }
        with written_whole(place / RESULT_FILE) as stream:
            stream.write(json.dumps(result, indent=2) + "\n")
        if not self.keep_checkpoints:
            shutil.rmtree(place / "checkpoints")


def do(runs: Iterable[Run], folder: Path, processes: int, threads: int, keep: bool, say: Callable[[str], None]) -> dict[str, dict]:
    """Do the runs that are not done yet; returns the result of each by its name.

    Raises:
        InputError: a run failed, or was done before with other arguments or from another checkpoint.
    """
    found: dict[str, dict] = {}
    missing: dict[str, Run] = {}
    for run in runs:
        path = folder / run.name / RESULT_FILE
        if not path.is_file():
            missing[run.name] = run
            continue
        found[run.name] = json.loads(path.read_text(encoding="utf-8"))
        if found[run.name]["arguments"] != run.arguments(folder) or found[run.name]["checkpoint"] != run.net.sha256:
            raise InputError(f"{path.parent} was done with other arguments or another checkpoint; remove it, or give another --output")
    arguments = {name: run.arguments(folder) for name, run in missing.items()}
    for name, _ in train_all(arguments, folder, processes, threads, Predict(folder, missing, keep)):
        found[name] = json.loads((folder / name / RESULT_FILE).read_text(encoding="utf-8"))
        say(f"{name}: " + _figures(found[name]))
    return found


def _figures(result: dict) -> str:
    figures = "   ".join(f"{split} " + " ".join(f"{k} {v:.1f}" for k, v in found.items()) for split, found in result["metrics"].items())
    return figures + ("   predictions are constant" if result["constant"] else "")


def first_runs(
    nets: Sequence[Net], folders: Sequence[Path], settings: Settings, rates: Sequence[float], seed: int
) -> dict[tuple[Net, Path], list[Run]]:
    """Plan what each net does first on each task: a run at every learning rate, or at the recipe's; the largest tasks come first."""
    tasks = [(folder, trainable(folder)) for folder in folders]
    # else the longest run would keep one process busy alone at the end
    tasks.sort(key=lambda task: -task[1].examples["train"])
    return {(net, data): [settings.run(net, data, info, lr, seed) for lr in (rates or (None,))] for data, info in tasks for net in nets}


def study(
    nets: Sequence[Net],
    folders: Sequence[Path],
    output: Path,
    settings: Settings,
    *,
    rates: Sequence[float] = (),
    seeds: Sequence[int],
    processes: int = 1,
    threads: int = 1,
    keep_checkpoints: bool = False,
    say: Callable[[str], None] = print,
) -> dict:
    """Fine-tune every net on every task.

    Args:
        nets: to compare.
        folders: of tasks, as ``fairseq-electra prepare`` makes them.
        output: folder for the runs; those that are there are not done again.
        settings: what is changed in the recipes.
        rates: learning rates to try with the first seed; the one that is best on valid is used for all. None: the recipe's.
        seeds: of the runs.
        processes: runs at a time.
        threads: of each.
        keep_checkpoints: leave them in the runs' folders.
        say: takes a line of progress.

    Returns:
        the results: ``nets``, ``versions``, ``summary``, ``runs``.
    """
    tried = first_runs(nets, folders, settings, rates, seeds[0])
    found = do([each for runs in tried.values() for each in runs], output, processes, threads, keep_checkpoints, say)
    chosen = {key: max(runs, key=lambda each: decisive(found[each.name], each.info)) for key, runs in tried.items()}
    rest = [replace(best, seed=seed) for best in chosen.values() for seed in seeds[1:]]
    found |= do(rest, output, processes, threads, keep_checkpoints, say)
    summary = [
        summarize([found[replace(best, seed=seed).name] for seed in seeds], best.info, best.data, output)
        for net in nets
        for data in folders
        for best in [chosen[net, data]]
    ]
    return {"nets": [net.description for net in nets], "versions": versions(), "summary": summary, "runs": list(found.values())}


def trainable(folder: Path) -> TaskInfo:
    """Read a task that has something to train and something to score on."""
    info = read_task_info(folder)
    lacking = [split for split in ("train", "valid") if split not in info.examples]
    if lacking:
        raise InputError(f"{folder} has no {' and no '.join(lacking)}; a task to fine-tune on needs both")
    return info


def decisive(result: dict, info: TaskInfo) -> float:
    """Return what a run is chosen by: the task's first metric on valid."""
    return result["metrics"]["valid"][info.metrics[0]]
