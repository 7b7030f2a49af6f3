"""What many runs come to: median, mean and spread of their scores, the ensemble of their nets, and a table."""

import statistics
import subprocess
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np

from fairseq_electra.data.task_folder import TaskInfo
from fairseq_electra.errors import InputError
from fairseq_electra.evaluation.sentence_metrics import score

RESULT_FILE, LOGITS_FILE = "result.json", "logits.npz"  # of a run
RESULTS_FILE = "results.json"  # of a study


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
    """Average the scores of runs. Shape, by split: (N, number of classes).

    Raises:
        InputError: those of a run are not there, or damaged.
    """
    each = [_logits(folder / result["net"] / result["task"] / f"lr{result['lr']:g}-seed{result['seed']}") for result in results]
    return {split: np.mean([logits[split] for logits in each], axis=0) for split in each[0]}


def _logits(run: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(run / LOGITS_FILE) as saved:
            return dict(saved)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"cannot read {run / LOGITS_FILE} ({error}); remove {run} and run fairseq-electra finetune again") from error


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
