"""Fine-tune nets on tasks with many seeds: every run leaves its scores behind, so that it is done once."""

import hashlib
import json
import math
import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import numpy as np

from fairseq_electra.data.task_folder import TaskInfo, read_task_info
from fairseq_electra.data.text import written_whole
from fairseq_electra.errors import InputError
from fairseq_electra.evaluation import recipes
from fairseq_electra.evaluation.recipes import Recipe
from fairseq_electra.evaluation.sentence_metrics import is_constant, score
from fairseq_electra.many_runs import train_all

RESULT_FILE, LOGITS_FILE = "result.json", "logits.npz"  # of a run
RESULTS_FILE = "results.json"  # of a study
DIAGNOSTIC = "AX"  # has no training set: GLUE asks for what a net that was trained on MNLI says of it


@dataclass(frozen=True)
class Net:
    """Where a net comes from.

    Args:
        name: in the table.
        checkpoint: to start from; empty: from nothing.
        size: row of the size table.
        network: the checkpoint's discriminator, or its generator.
    """

    name: str
    checkpoint: str
    size: str
    network: str = "discriminator"

    @property
    def start(self) -> list[str]:
        """Arguments of ``fairseq-train``."""
        if not self.checkpoint:
            return ["--model-size", self.size]
        return ["--finetune-from-model", self.checkpoint, *(["--network", self.network] if self.network != "discriminator" else [])]


def read_net(text: str) -> Net:
    """Read ``NAME=CHECKPOINT``, ``NAME=generator:CHECKPOINT`` or ``NAME=scratch:SIZE``.

    Raises:
        InputError: it is none of these, or the checkpoint is not there or not ours.
    """
    from fairseq import checkpoint_utils

    from fairseq_electra.modules.sizes import MODEL_SIZES

    name, _, source = text.partition("=")
    kind, _, rest = source.partition(":")
    if not name or not source or "/" in name:
        raise InputError(f"--net {text}: give NAME=CHECKPOINT, NAME=generator:CHECKPOINT or NAME=scratch:SIZE")
    if kind == "scratch":
        if rest not in MODEL_SIZES:
            raise InputError(f"--net {text}: no size {rest!r}; choose from {', '.join(MODEL_SIZES)}")
        return Net(name, "", rest)
    checkpoint = rest if kind == "generator" else source
    saved = checkpoint_utils.load_checkpoint_to_cpu(checkpoint).get("cfg")
    size = saved.model.get("model_size") if saved is not None and "model" in saved else None
    if size is None:
        raise InputError(
            f"--net {text}: {checkpoint} holds no ELECTRA; give a checkpoint that --arch electra_* or electra_encoder has saved"
        )
    return Net(name, checkpoint, str(size), "generator" if kind == "generator" else "discriminator")


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
        return [*own, "--save-dir", str(folder / self.name / "checkpoints"), *self.extra]


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
        InputError: a run failed, or was done before with other arguments.
    """
    found: dict[str, dict] = {}
    missing: dict[str, Run] = {}
    for run in runs:
        path = folder / run.name / RESULT_FILE
        if not path.is_file():
            missing[run.name] = run
            continue
        found[run.name] = json.loads(path.read_text(encoding="utf-8"))
        if found[run.name]["arguments"] != run.arguments(folder):
            raise InputError(f"{path.parent} was done with other arguments; remove it, or give another --output")
    arguments = {name: run.arguments(folder) for name, run in missing.items()}
    for name, _ in train_all(arguments, folder, processes, threads, Predict(folder, missing, keep)):
        found[name] = json.loads((folder / name / RESULT_FILE).read_text(encoding="utf-8"))
        say(f"{name}: " + _figures(found[name]))
    return found


def _figures(result: dict) -> str:
    figures = "   ".join(f"{split} " + " ".join(f"{k} {v:.1f}" for k, v in found.items()) for split, found in result["metrics"].items())
    return figures + ("   predictions are constant" if result["constant"] else "")


def study(
    nets: Sequence[Net],
    folders: Sequence[Path],
    output: Path,
    *,
    rates: Sequence[float] = (),
    seeds: Sequence[int],
    epochs: Mapping[str, int] | None = None,
    batch_size: int | None = None,
    extra: Sequence[str] = (),
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
        rates: learning rates to try with the first seed; the one that is best on valid is used for all. None: the recipe's.
        seeds: of the runs.
        epochs: instead of the recipe's, by task; that of the name "" is for all others.
        batch_size: instead of the recipe's.
        extra: further arguments of ``fairseq-train``.
        processes: runs at a time.
        threads: of each.
        keep_checkpoints: leave them in the runs' folders.
        say: takes a line of progress.

    Returns:
        the results: ``nets``, ``runs``, ``summary``, ``versions``.
    """
    tasks = [(folder, trainable(folder)) for folder in folders]

    def run(net: Net, data: Path, info: TaskInfo, lr: float | None, seed: int) -> Run:
        recipe = recipes.recipe_for(net.size, info.name)
        changes = {"lr": lr, "epochs": (epochs or {}).get(info.name, (epochs or {}).get("")), "batch_size": batch_size}
        recipe = replace(recipe, **{name: value for name, value in changes.items() if value is not None})  # type: ignore[arg-type]
        if not net.checkpoint:  # layers that have learned nothing have nothing to keep
            recipe = replace(recipe, layer_decay=1.0)
        return Run(net, data, info, recipe, seed, tuple(extra))

    # the longest first: else the last of them would keep one process busy alone
    pairs = sorted(((net, *task) for net in nets for task in tasks), key=lambda each: -each[2].examples["train"])
    tried = {(net, data): [run(net, data, info, lr, seeds[0]) for lr in (rates or (None,))] for net, data, info in pairs}
    found = do([each for runs in tried.values() for each in runs], output, processes, threads, keep_checkpoints, say)
    chosen = {key: max(runs, key=lambda each: _decisive(found[each.name], each.info)) for key, runs in tried.items()}
    rest = [replace(best, seed=seed) for best in chosen.values() for seed in seeds[1:]]
    found |= do(rest, output, processes, threads, keep_checkpoints, say)
    summary = [
        summarize([found[replace(best, seed=seed).name] for seed in seeds], best.info, best.data, output)
        for net in nets
        for data, _ in tasks
        for best in [chosen[net, data]]
    ]
    return {"nets": [describe(net) for net in nets], "versions": versions(), "summary": summary, "runs": list(found.values())}


def trainable(folder: Path) -> TaskInfo:
    """Read a task that has something to train and something to score on."""
    info = read_task_info(folder)
    lacking = [split for split in ("train", "valid") if split not in info.examples]
    if lacking:
        raise InputError(f"{folder} has no {' and no '.join(lacking)}; a task to fine-tune on needs both")
    return info


def _decisive(result: dict, info: TaskInfo) -> float:
    value = result["metrics"]["valid"][info.metrics[0]]
    return -math.inf if math.isnan(value) else value


def summarize(results: list[dict], info: TaskInfo, data: Path, folder: Path) -> dict:
    """Sum up the seeds of one net on one task: median, mean and standard deviation, runs gone wrong, and the mean of their scores."""
    from fairseq_electra.evaluation.predictions import targets_of

    metrics: dict[str, dict[str, dict]] = {}
    for split in results[0]["metrics"]:
        ensemble = score(info.metrics, ensemble_logits(results, folder)[split], targets_of(data, info, split))
        metrics[split] = {}
        for name in info.metrics:
            values = [result["metrics"][split][name] for result in results]
            metrics[split][name] = {
                "median": statistics.median(values),
                "mean": statistics.fmean(values),
                "standard_deviation": statistics.stdev(values) if len(values) > 1 else 0.0,
                "values": values,
                "ensemble": ensemble[name],
            }
    return {
        "net": results[0]["net"],
        "task": info.name,
        "lr": results[0]["lr"],
        "seeds": [result["seed"] for result in results],
        "degenerate_seeds": [result["seed"] for result in results if result["constant"]],
        "metrics": metrics,
    }


def ensemble_logits(results: list[dict], folder: Path) -> dict[str, np.ndarray]:
    """Average the scores of runs. Shape, by split: (N, number of classes)."""
    each = [
        np.load(folder / result["net"] / result["task"] / f"lr{result['lr']:g}-seed{result['seed']}" / LOGITS_FILE) for result in results
    ]
    return {split: np.mean([logits[split] for logits in each], axis=0) for split in each[0].files}


def describe(net: Net) -> dict:
    """Say which net it was, to the byte."""
    found = {"name": net.name, "size": net.size, "network": net.network if net.checkpoint else "none: from scratch"}
    if net.checkpoint:
        with open(net.checkpoint, "rb") as stream:
            found["sha256"] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def versions() -> dict[str, str]:
    """Name the versions that results depend on, and the commit where this is a checkout."""
    found = {name: metadata.version(name) for name in ("fairseq_electra", "torch", "numpy", "tokenizers")}
    here = Path(__file__).parent
    try:
        commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True, check=False)
    except OSError:
        return found
    return found | ({"commit": commit.stdout.strip()} if commit.returncode == 0 else {})


def table(results: dict) -> str:
    """Markdown table of the results on valid: a row for each task and metric, a column for each net."""
    names = [net["name"] for net in results["nets"]]
    count = max(len(line["seeds"]) for line in results["summary"])
    lines = [f"| median of {count} seeds (mean ± standard deviation) | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    tasks = list(dict.fromkeys(line["task"] for line in results["summary"]))
    for task in tasks:
        of_task = {line["net"]: line for line in results["summary"] if line["task"] == task}
        first = next(iter(of_task.values()))
        for split, metrics in first["metrics"].items():
            for metric in metrics:
                title = f"{task}{', mismatched' if split == 'valid1' else ''}, {metric}"
                lines.append(f"| {title} | {' | '.join(_cell(of_task[name], split, metric) for name in names)} |")
    return "\n".join(lines)


def _cell(line: dict, split: str, metric: str) -> str:
    found = line["metrics"][split][metric]
    constant = len(line["degenerate_seeds"])
    note = f", {constant} constant" if constant else ""
    return f"{found['median']:.1f} ({found['mean']:.1f} ± {found['standard_deviation']:.1f}{note})"
