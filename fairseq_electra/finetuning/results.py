"""Results of many runs: median, mean and spread of their scores, the ensemble of models, and a table."""

import statistics
import subprocess
import zipfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.kinds import KINDS, evaluation_of
from fairseq_electra.versions import installed_versions

RUN_FILE, RESULT_FILE, LOGITS_FILE = "run.json", "result.json", "logits.npz"  # of a run
RESULTS_FILE = "results.json"  # of a study
FAILED = ("diverged", "not finite")  # what went wrong with runs whose scores are not there, or no numbers
SPREAD = "spreads are of fine-tuning alone: all seeds of a pre-trained net start from one checkpoint"


def summarize(results: list[dict], info: TaskInfo, data: Path, folder: Path) -> dict:
    """Sum up the seeds of one model on one task.

    The summary has the median, mean and standard deviation of each metric, its value for the seeds' merged
    scores, and the runs that went wrong.

    Args:
        results: of its runs; those without usable scores count as gone wrong alone.
        info: what the task is.
        data: the task's folder.
        folder: of the runs.
    """
    from fairseq_electra.finetuning.evaluation import VALID

    evaluation, further = evaluation_of(data, info), KINDS[info.kind].further_metrics
    scored = [result for result in results if has_scores(result)]
    metrics: dict[str, dict[str, dict]] = {}
    merged = merged_scores(scored, folder, evaluation.merge) if scored else {}
    for split in scored[0]["metrics"] if scored else ():
        ensemble = evaluation.metrics(split, merged[split], merged[VALID])
        assert ensemble is not None  # it has been scored
        metrics[split] = {}
        for name in (*info.metrics, *(name for name in further if name in ensemble)):
            values = [result["metrics"][split][name] for result in scored]
            metrics[split][name] = {
                "median": statistics.median(values),
                "mean": statistics.fmean(values),
                "standard_deviation": statistics.stdev(values) if len(values) > 1 else None,
                "values": values,
                "ensemble": ensemble[name],
            }
    return {
        "net": results[0]["net"],
        "task": info.name,
        "labels": list(info.labels),
        "lr": results[0]["lr"],
        "seeds": [result["seed"] for result in results],
        "degenerate_seeds": {
            str(result["seed"]): result["trouble"] for result in results if result["trouble"]
        },
        "metrics": metrics,
    }


def has_scores(result: Mapping[str, Any]) -> bool:
    """Tell whether a run has scores, and these are numbers."""
    return bool(result["metrics"]) and result["trouble"] not in FAILED


def merged_scores(
    results: list[dict], folder: Path, merge: Callable[[list[np.ndarray]], np.ndarray]
) -> dict[str, np.ndarray]:
    """Merge the scores of several runs, by split.

    Raises:
        InputError: the scores of a run are not there, damaged, or of other splits than those of the others.
    """
    runs = [folder / run_name(result) for result in results]
    scores_of_runs = [scores_of_run(run) for run in runs]
    for run, scores in zip(runs, scores_of_runs, strict=True):
        if scores.keys() != scores_of_runs[0].keys():
            raise InputError(
                f"{run} has scores of {', '.join(scores)}, and {runs[0]} of {', '.join(scores_of_runs[0])};"
                " remove the one that lacks some, and run fairseq-electra finetune again"
            )
    return {split: merge([scores[split] for scores in scores_of_runs]) for split in scores_of_runs[0]}


def run_name(result: Mapping[str, Any]) -> str:
    """Return the name of a run's folder from its result or record."""
    return f"{result['net']}/{result['task']}/lr{result['lr']:g}-seed{result['seed']}"


def scores_of_run(run: Path) -> dict[str, np.ndarray]:
    """Read the scores that a run's model has given, by split.

    Args:
        run: the folder of the run.

    Raises:
        InputError: they are not there, or damaged.
    """
    try:
        with np.load(run / LOGITS_FILE) as saved:
            return dict(saved)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"cannot read {run / LOGITS_FILE} ({error}); remove {run} and run fairseq-electra finetune again"
        ) from error


def versions() -> dict[str, str]:
    """Name the versions that results depend on, and the commit where this is a checkout."""
    installed = installed_versions(
        (
            "fairseq_electra",
            "fairseq-fixed",
            "fairseq",
            "torch",
            "numpy",
            "tokenizers",
            "scikit-learn",
            "scipy",
            "seqeval",
        )
    )
    commit = commit_of(Path(__file__).parents[1])
    return installed | ({"commit": commit} if commit else {})


def commit_of(package: Path) -> str:
    """Name the commit that a package's folder is checked out from; empty if it is not the repository's own.

    A package that is installed inside another repository is not that repository's own.
    """
    outputs = []
    for command in (["rev-parse", "--show-toplevel"], ["describe", "--always", "--dirty"]):
        try:
            done = subprocess.run(["git", *command], cwd=package, capture_output=True, text=True, check=False)
        except OSError:
            return ""
        outputs.append(done.stdout.strip() if done.returncode == 0 else "")
    return outputs[1] if outputs[0] and Path(outputs[0]).resolve() == package.resolve().parent else ""


def table(results: dict, metrics: Collection[str] = ()) -> str:
    """Return a Markdown table: a row for each task, split and (named) metric, a column for each model."""
    names = [net["name"] for net in results["nets"]]
    count = max(len(line["seeds"]) for line in results["summary"])
    lines = [
        f"| median of {count} seeds (mean ± standard deviation) | {' | '.join(names)} |",
        "|---|" + "---|" * len(names),
    ]
    for task in dict.fromkeys(line["task"] for line in results["summary"]):
        of_task = {line["net"]: line for line in results["summary"] if line["task"] == task}
        rows = dict.fromkeys(
            (split, metric)
            for line in of_task.values()
            for split in line["metrics"]
            for metric in line["metrics"][split]
        )
        for split, metric in rows:
            if metrics and metric not in metrics:
                continue
            title = task + {"valid": "", "valid1": ", mismatched"}.get(split, f", {split}") + f", {metric}"
            lines.append(f"| {title} | {' | '.join(_cell(of_task[name], split, metric) for name in names)} |")
    return "\n".join(lines)


def choices(results: dict) -> list[str]:
    """Return sentences on how learning rates were chosen, and which are at an edge of those tried.

    The list is empty if none was chosen.
    """
    made = [line for line in results["summary"] if "choice" in line]
    seeds = sorted({line["choice"]["seed"] for line in made})
    sentences = [
        f"learning rates were chosen on valid with seed {seed}, which is not among the seeds of the scores"
        for seed in seeds
    ]
    for line in made:
        if edge := line["choice"]["edge"]:
            rates = ", ".join(f"{rate:g}" for rate in line["choice"]["rates"])
            beyond = {"lowest": "lower", "highest": "higher"}[edge]
            sentences.append(
                f"{line['net']}, {line['task']}: {line['lr']:g} is the {edge} of {rates}; a {beyond} one may"
                " be better"
            )
    return sentences


def _learning_rate(line: dict) -> str:
    if "choice" not in line:
        return f"{line['lr']:g}"
    return f"{line['lr']:g} of {', '.join(f'{rate:g}' for rate in line['choice']['rates'])}"


def _cell(line: dict, split: str, metric: str) -> str:
    trouble = line["degenerate_seeds"].values()
    notes = [f"{list(trouble).count(kind)} {kind}" for kind in dict.fromkeys(trouble)]
    if not line["metrics"]:
        return ", ".join(notes)
    summary = line["metrics"][split][metric]
    return f"{summary['median']:.1f} ({', '.join([spread_of(summary), *notes])})"


def spread_of(summary: dict) -> str:
    """Format the mean and standard deviation of a metric over seeds, as :func:`summarize` gives them."""
    deviation = summary["standard_deviation"]
    return "one seed" if deviation is None else f"{summary['mean']:.1f} ± {deviation:.1f}"


def made_by(results: dict) -> list[dict[str, str]]:
    """Return the versions that the runs were made by, each once; of results of before, those of the end."""
    found = [run["versions"] for run in results["runs"] if run.get("versions")] or [results["versions"]]
    return [each for number, each in enumerate(found) if each not in found[:number]]


def provenance(results: dict) -> str:
    """Markdown of what stands behind the scores: learning rates, ensembles, checkpoints and versions."""
    lines = ["| net, task | learning rate | the mean of all seeds' scores, on valid |", "|---|---|---|"]
    for line in results["summary"]:
        ensemble_scores = ", ".join(
            f"{name} {metric['ensemble']:.1f}" for name, metric in line["metrics"].get("valid", {}).items()
        )
        lines.append(f"| {line['net']}, {line['task']} | {_learning_rate(line)} | {ensemble_scores} |")
    lines.append("")
    lines += [f"- {sentence}" for sentence in (*choices(results), SPREAD)]
    lines += [
        f"- {net['name']}: {net['size']}, {net['network']} {net['sha256']}".rstrip()
        for net in results["nets"]
    ]
    for each in made_by(results):
        lines.append("- " + ", ".join(f"{name} {version}" for name, version in each.items()))
    return "\n".join(lines)
