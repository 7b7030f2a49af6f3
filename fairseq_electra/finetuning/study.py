"""Fine-tune models on tasks with many seeds: every run saves its scores, so that it is done only once."""

import itertools
import json
import math
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from fairseq_electra import originals
from fairseq_electra.errors import InputError, listed
from fairseq_electra.files.text import atomic_write
from fairseq_electra.finetuning import recipes
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.kinds import evaluation_of
from fairseq_electra.finetuning.nets import Net
from fairseq_electra.finetuning.recipes import Recipe
from fairseq_electra.finetuning.results import (
    LOGITS_FILE,
    RESULT_FILE,
    RUN_FILE,
    has_scores,
    summarize,
    versions,
)
from fairseq_electra.finetuning.runs import DIVERGED, USER_DIR, train_all
from fairseq_electra.finetuning.trainable import DIAGNOSTIC, Task, diagnostic_set, trainable
from fairseq_electra.pretraining.binarized import load_dictionary
from fairseq_electra.pretraining.dictionary import dictionary_digest
from fairseq_electra.resuming import LAST_CHECKPOINT

SET_BY_STUDY = (
    *("-a", "--arch", "--criterion", "--finetune-from-model", "--lr", "--restore-file", "--save-dir"),
    *("--seed", "--task", "--train-subset", "--user-dir", "--valid-subset"),
)
# the schedule is worked out from epochs, batch and examples: another of these would end it too early, or
# never
SCHEDULE = (
    *("--batch-size", "--max-epoch", "--max-sentences", "--max-tokens", "--max-update"),
    *("--total-num-update", "--update-freq", "--warmup-updates"),
)
CHECKPOINTS_FOLDER = "checkpoints"  # within a run's folder
KEEP_KEY = "keep_checkpoints"  # in a run's result: whether its checkpoints stay
# of the runs that choose a learning rate; the best of several is lucky, so their scores are not reported
CHOICE_SEED = 0


@dataclass(frozen=True)
class Run:
    """One training."""

    net: Net
    task: Task
    recipe: Recipe
    seed: int
    extra: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its folder."""
        return f"{self.net.name}/{self.task.info.name}/lr{self.recipe.lr:g}-seed{self.seed}"

    @property
    def options(self) -> list[str]:
        """Arguments of ``fairseq-train``, but for the folders."""
        arguments = recipes.arguments(self.task.info, self.recipe, self.seed)
        if self.net.has_head:  # that of another task (STILTs): this one gets its own
            arguments += recipes.head_arguments(self.task.info)
        return [*arguments, *self.net.options, *self._extra]

    @property
    def _extra(self) -> list[str]:
        """The further arguments; what ``--as`` stands for wins over the recipe, and they over that."""
        original, others = originals.take_as(self.extra)
        if original is None:
            return others
        network = () if self.net.checkpoint else originals.NETWORK
        return [*originals.options_of(original, (*network, *originals.FINETUNING), others), *others]

    def arguments(self, folder: Path) -> list[str]:
        """All arguments of ``fairseq-train``."""
        start = ["--finetune-from-model", self.net.checkpoint] if self.net.checkpoint else []
        return [
            str(self.task.folder),
            *start,
            *("--save-dir", str(folder / self.name / CHECKPOINTS_FOLDER)),
            *self.options,
        ]

    @property
    def record(self) -> dict:
        """What makes it this run and no other."""
        # runs of before each split had a threshold of its own
        threshold = (
            {"threshold": "of valid"}
            if self.task.info.unanswerable and "test" in self.task.info.examples
            else {}
        )
        return {
            "net": self.net.name,
            "checkpoint": self.net.sha256,
            "task": self.task.info.name,
            "data": self.task.sha256,
            "lr": self.recipe.lr,
            "seed": self.seed,
            "options": self.options,
            **threshold,
        }


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

    def run(self, net: Net, task: Task, lr: float | None, seed: int) -> Run:
        """Plan a run; without a learning rate, at the recipe's."""
        name = task.info.name
        changes = {
            "lr": lr,
            "epochs": self.epochs.get(name, self.epochs.get("")),
            "batch_size": self.batch_size,
        }
        changes = {name: value for name, value in changes.items() if value is not None}
        if not net.checkpoint:  # layers that have learned nothing have nothing to keep
            changes["layer_decay"] = 1.0
        recipe = recipes.recipe_for(net.size, name, task.info.kind)
        return Run(net, task, replace(recipe, **changes), seed, self.extra)  # type: ignore[arg-type]


@dataclass(frozen=True)
class ScoreRun:
    """What a run's process does after training: score all splits, write the result, remove checkpoints."""

    folder: Path
    runs: Mapping[str, Run]
    keep_checkpoints: bool

    def __call__(self, name: str) -> None:
        """Do this for the run of this name."""
        import torch

        from fairseq_electra.finetuning.evaluation import VALID
        from fairseq_electra.hub.interface import from_pretrained

        task, run_folder = self.runs[name].task, self.folder / name
        model = from_pretrained(run_folder / CHECKPOINTS_FOLDER, LAST_CHECKPOINT)
        model.to("cuda" if torch.cuda.is_available() else "cpu")
        evaluation = evaluation_of(task.folder, task.info)
        scores = {split: evaluation.scores(model, split) for split in task.info.examples if split != "train"}
        metrics_of_splits = {
            split: evaluation.metrics(split, each, scores[VALID]) for split, each in scores.items()
        }
        metrics = {split: each for split, each in metrics_of_splits.items() if each is not None}
        if diagnostic := diagnostic_set(task.folder, task.info):
            scores[DIAGNOSTIC] = evaluation_of(diagnostic).scores(model, "test")
        with atomic_write(run_folder / LOGITS_FILE, "wb") as stream:
            np.savez(stream, **scores)  # type: ignore[arg-type]
        trouble = "not finite" if any(np.isnan(each).any() for each in scores.values()) else ""
        trouble = trouble or ("constant" if evaluation.is_constant(scores["valid"]) else "")
        finish(run_folder, {"trouble": trouble, "metrics": metrics}, self.keep_checkpoints)


def finish(run: Path, result: dict, keep_checkpoints: bool) -> None:
    """Write the result of a run that has ended, and remove its checkpoints unless they are to be kept.

    Of those that are kept only the last stays, which was scored: commands take the best of a folder.
    """
    for path in (run / CHECKPOINTS_FOLDER).glob("checkpoint*.pt"):
        if path.name != LAST_CHECKPOINT:
            path.unlink()
    _write_json(run / RESULT_FILE, result | {KEEP_KEY: keep_checkpoints})
    if not keep_checkpoints:
        shutil.rmtree(run / CHECKPOINTS_FOLDER, ignore_errors=True)


def result_of(run: Path) -> dict:
    """Read the result of a run that has ended, and the versions that it was begun with.

    Checkpoints that it was killed before removing are removed.
    """
    begun = _read_json(run / RUN_FILE) if (run / RUN_FILE).is_file() else {}
    known = {"versions": begun["versions"]} if "versions" in begun else {}
    result = known | _read_json(run / RESULT_FILE)
    if not result.pop(KEEP_KEY, True):  # results of before do not say
        shutil.rmtree(run / CHECKPOINTS_FOLDER, ignore_errors=True)
    return result


def do_runs(
    runs: Iterable[Run], folder: Path, processes: int, threads: int, keep: bool, say: Callable[[str], None]
) -> dict[str, dict]:
    """Do the runs that are not done yet, and resume those that were stopped.

    Returns:
        the result of each run by its name.

    Raises:
        InputError: a run failed, or its folder is that of another run.
    """
    results: dict[str, dict] = {}
    missing: dict[str, Run] = {}
    for run in runs:
        run_file, result_file = folder / run.name / RUN_FILE, folder / run.name / RESULT_FILE
        if run_file.is_file():
            before = _read_json(run_file)
            differs = [key for key, value in run.record.items() if before.get(key) != value]
            if differs:
                raise InputError(
                    f"{run_file.parent} was begun with other {' and '.join(differs)}; remove it, or give"
                    " another --output"
                )
        if result_file.is_file():
            results[run.name] = run.record | result_of(folder / run.name)
        else:
            missing[run.name] = run
    without = [name for name in results if not (folder / name / CHECKPOINTS_FOLDER).is_dir()]
    if keep and without:
        say(
            f"--keep-checkpoints: none are left of runs done before, {listed(without)}; remove their folders"
            " to have them done again"
        )
    if missing:
        check_arguments(next(iter(missing.values())), folder)
    for name, run in missing.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        if not (folder / name / CHECKPOINTS_FOLDER).is_dir():  # else it goes on with what it was begun with
            _write_json(folder / name / RUN_FILE, run.record | {"versions": versions()})
    arguments = {name: run.arguments(folder) for name, run in missing.items()}
    failed, done = [], 0
    for name, trouble, _ in train_all(arguments, folder, processes, threads, ScoreRun(folder, missing, keep)):
        if trouble.startswith(DIVERGED):
            finish(folder / name, {"trouble": "diverged", "metrics": {}}, keep)
        elif trouble:
            failed.append(f"run {name} failed: {trouble}; its log is {folder / name}.log")
            continue
        results[name] = missing[name].record | result_of(folder / name)
        done += 1
        say(f"{done} of {len(missing)}: {name}: " + _figures(results[name]))
    if failed:
        raise InputError(failed[0] + (f" (and {len(failed) - 1} more)" if failed[1:] else ""))
    return results


def check_arguments(run: Run, folder: Path) -> None:
    """Refuse further arguments that fairseq-train does not know, before anything is written."""
    from fairseq import options

    try:
        options.parse_args_and_arch(
            options.get_training_parser(), input_args=[*run.arguments(folder), "--user-dir", USER_DIR]
        )
    except InputError as error:
        raise InputError(f"fairseq-train refuses what stands behind --: {error}") from error


def check_extra(extra: Sequence[str]) -> None:
    """Refuse further arguments that a study sets itself."""
    for word in extra:
        name = word.partition("=")[0]
        if name in SET_BY_STUDY:
            raise InputError(f"{name} behind --: a study sets it itself; take it out")
        if name in SCHEDULE:
            raise InputError(
                f"{name} behind --: a study works the schedule out from epochs and batch size; take it out,"
                " and give --epochs or --batch-size before --"
            )


def _write_json(path: Path, values: dict) -> None:
    with atomic_write(path) as stream:
        stream.write(json.dumps(values, indent=2) + "\n")


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(
            f"{path} is damaged ({error}); remove its folder, and the run is done again"
        ) from error


def _figures(result: dict) -> str:
    figures = [
        f"{split} " + " ".join(f"{k} {v:.1f}" for k, v in metrics.items())
        for split, metrics in result["metrics"].items()
    ]
    return "   ".join([*figures, *([result["trouble"]] if result["trouble"] else [])])


def first_runs(
    nets: Sequence[Net], folders: Sequence[Path], settings: Settings, rates: Sequence[float] | None, seed: int
) -> dict[tuple[str, Path], list[Run]]:
    """Plan the first runs of each model on each task; the largest tasks come first.

    Args:
        nets: models to fine-tune.
        folders: folders of the tasks.
        settings: what is changed in the recipes.
        rates: as of :func:`study`. Several: a run at each, with the seed that chooses. Else one run, at this
            rate or the recipe's.
        seed: of that one run.

    Raises:
        InputError: two folders hold tasks of one name, one does not fit a model or the diagnostic set beside
            it, the settings speak of a task that is not there, or a further argument is one that a study sets
            itself.
    """
    check_extra(settings.extra)
    tasks = [trainable(folder) for folder in folders]
    names = [task.info.name for task in tasks]
    if len(set(names)) < len(names):
        raise InputError(
            f"--data: the tasks' names {', '.join(names)} must differ; prepare one of them under another name"
        )
    for net, task in itertools.product(nets, tasks):
        if net.dictionary and net.dictionary != dictionary_digest(
            load_dictionary(task.folder / "input0").symbols
        ):
            raise InputError(
                f"{task.folder} was prepared with another vocabulary than that of {net.checkpoint}; prepare"
                " it again with the checkpoint's"
            )
    unknown = [name for name in settings.epochs if name and name not in names]
    if unknown:
        raise InputError(f"--epochs {unknown[0]}=...: no such task; there are {', '.join(names)}")
    # else the longest run would keep one process busy alone at the end
    tasks.sort(key=lambda task: -task.info.examples["train"])
    planned = {}
    for task, net in itertools.product(tasks, nets):
        grid = list(dict.fromkeys(recipes.GRID[net.size] if rates is None else rates))
        chooses = len(grid) > 1
        planned[net.name, task.folder] = [
            settings.run(net, task, lr, CHOICE_SEED if chooses else seed) for lr in grid or (None,)
        ]
    return planned


def study(
    nets: Sequence[Net],
    folders: Sequence[Path],
    output: Path,
    settings: Settings,
    *,
    rates: Sequence[float] | None = (),
    seeds: Sequence[int],
    processes: int = 1,
    threads: int = 1,
    keep_checkpoints: bool = False,
    say: Callable[[str], None] = print,
) -> dict:
    """Fine-tune every model on every task.

    Args:
        nets: models to compare.
        folders: of tasks, as ``fairseq-electra prepare`` makes them.
        output: folder for the runs; those that are there are not done again.
        settings: what is changed in the recipes.
        rates: learning rates to try, for each model and task, with a seed of their own; all others use the
            one that is best on valid. With one rate there is nothing to choose. Empty: the recipe's; None:
            the grid of the model's size (``recipes.GRID``).
        seeds: of the runs that are reported.
        processes: runs at a time.
        threads: of each.
        keep_checkpoints: leave them in the runs' folders.
        say: takes a line of progress.

    Returns:
        the results: ``nets``, ``versions``, ``summary``, ``runs``. A line of the summary whose learning rate
        was chosen has a ``choice``: the ``seed`` that chose, the ``rates`` it tried, and the ``edge`` of
        these that the chosen one is (lowest, highest, or empty).

    Raises:
        InputError: the seed that chooses is among those to report, a plan cannot be, or a run failed.
    """
    tried = first_runs(nets, folders, settings, rates, seeds[0])
    if CHOICE_SEED in seeds and any(len(runs) > 1 for runs in tried.values()):
        raise InputError(
            f"seed {CHOICE_SEED} chooses the learning rates and cannot be reported as well; take others"
        )
    results = do_runs(
        [each for runs in tried.values() for each in runs], output, processes, threads, keep_checkpoints, say
    )
    chosen = {
        key: max(runs, key=lambda each: deciding_score(results[each.name], each.task.info))
        for key, runs in tried.items()
    }
    rest = [replace(best, seed=seed) for best in chosen.values() for seed in seeds]
    results |= do_runs(
        [run for run in rest if run.name not in results], output, processes, threads, keep_checkpoints, say
    )
    summary = []
    for key in itertools.product([net.name for net in nets], folders):
        best, grid = chosen[key], sorted(run.recipe.lr for run in tried[key])
        line = summarize(
            [results[replace(best, seed=seed).name] for seed in seeds],
            best.task.info,
            best.task.folder,
            output,
        )
        summary.append(line | ({"choice": choice(best.recipe.lr, grid)} if grid[1:] else {}))
    return {
        "nets": [net.description for net in nets],
        "versions": versions(),
        "summary": summary,
        "runs": list(results.values()),
    }


def choice(lr: float, grid: Sequence[float]) -> dict:
    """Return how a learning rate was chosen from a sorted grid; beyond an edge of it a better one may lie."""
    return {
        "seed": CHOICE_SEED,
        "rates": list(grid),
        "edge": {grid[0]: "lowest", grid[-1]: "highest"}.get(lr, ""),
    }


def deciding_score(result: dict, info: TaskInfo) -> float:
    """Return what a run is chosen by: the task's first metric on valid."""
    return result["metrics"]["valid"][info.metrics[0]] if has_scores(result) else -math.inf
