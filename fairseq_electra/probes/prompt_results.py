"""The results of prompting: what a JSON file holds, and the table."""

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.results import versions
from fairseq_electra.finetuning.sentences.metrics import score as metrics_of
from fairseq_electra.probes.few_shot import BATCH_SIZE, Run
from fairseq_electra.probes.prompting import Outcome
from fairseq_electra.probes.templates import text_fields

SAMPLES = 1000  # of the bootstrap
INTERVAL = (2.5, 97.5)  # per cent


def results(outcome: Outcome, net: dict[str, Any]) -> dict[str, Any]:
    """Put together what a JSON file says; metrics and their spreads are in per cent.

    Args:
        outcome: result of :func:`fairseq_electra.probes.prompting.prompt`.
        net: result of :func:`fairseq_electra.probes.results.described`.
    """
    info, target, template = outcome.info, outcome.target, outcome.template
    fields = {part.field for part in template.parts}
    most_frequent = int(np.bincount(target).argmax())
    constant = np.tile(np.arange(len(info.labels)) == most_frequent, (len(target), 1)).astype(float)
    found = {
        "probe": "prompt",
        "net": net,
        "task": {
            "name": info.name,
            "split": outcome.split,
            "examples": len(target),
            "shortened": outcome.shortened,
            "most_frequent_label": info.labels[most_frequent],
            "metrics_of_most_frequent_label": metrics_of(info.metrics, constant, target),
        },
        "template": {
            "text": template.text,
            "verbalizers": dict(template.verbalizers),
            "leaves_out": [name for name in text_fields(info) if name not in fields],
        },
        "zero_shot": {
            score: {
                "metrics": with_intervals(info.metrics, scores, target),
                "predicted": _predicted(info, scores),
            }
            for score, scores in outcome.zero_shot.items()
        },
    }
    if outcome.settings is not None:
        found["few_shot"] = {
            "shots": outcome.settings.shots,
            "updates": outcome.settings.updates,
            "batch_size": BATCH_SIZE,
            "rates": list(outcome.settings.rates),
            "scores": {score: _of_runs(info, runs, target) for score, runs in outcome.runs.items()},
        }
    return found | {"versions": versions()}


def _of_runs(info: TaskInfo, runs: Sequence[Run], target: np.ndarray) -> dict[str, Any]:
    each = [metrics_of(info.metrics, run.scores, target) for run in runs]
    return {
        "metrics": {
            name: {
                "mean": statistics.fmean(metrics[name] for metrics in each),
                "standard_deviation": (
                    statistics.stdev(metrics[name] for metrics in each) if len(each) > 1 else None
                ),
            }
            for name in info.metrics
        },
        "runs": [
            {
                "seed": run.seed,
                "lr": run.lr,
                "metrics": metrics,
                "predicted": _predicted(info, run.scores),
            }
            for run, metrics in zip(runs, each, strict=True)
        ],
    }


def _predicted(info: TaskInfo, scores: np.ndarray) -> dict[str, int]:
    """Count how often each label is predicted."""
    counts = np.bincount(scores.argmax(1), minlength=len(info.labels))
    return dict(zip(info.labels, counts.tolist(), strict=True))


def with_intervals(
    metrics: Sequence[str], scores: np.ndarray, target: np.ndarray
) -> dict[str, dict[str, float | list[float]]]:
    """Compute metrics, each with the 95 % interval of a bootstrap over examples.

    Args:
        metrics: names of :func:`fairseq_electra.finetuning.sentences.metrics.score`.
        scores: Shape: (examples, labels).
        target: the number of each example's label. Shape: (examples,).
    """
    rng = np.random.default_rng(0)
    drawn = [rng.integers(len(target), size=len(target)) for _ in range(SAMPLES)]
    of_samples = [metrics_of(metrics, scores[chosen], target[chosen]) for chosen in drawn]
    return {
        name: {
            "value": value,
            "interval": np.percentile([each[name] for each in of_samples], INTERVAL).tolist(),
        }
        for name, value in metrics_of(metrics, scores, target).items()
    }


def table(found: dict[str, Any]) -> str:
    """Return a Markdown table of :func:`results`: a column for each metric."""
    task = found["task"]
    of_constant = task["metrics_of_most_frequent_label"]
    rows = [("most frequent label", [f"{value:.1f}" for value in of_constant.values()])]
    for score, each in found["zero_shot"].items():
        cells = [
            "{:.1f} [{:.1f}, {:.1f}]".format(metric["value"], *metric["interval"])
            for metric in each["metrics"].values()
        ]
        rows.append((f"{score}, zero-shot", cells))
    few_shot = found.get("few_shot", {"scores": {}})
    for score, each in few_shot["scores"].items():
        cells = [_spread(metric) for metric in each["metrics"].values()]
        rows.append((f"{score}, {few_shot['shots']} examples per label", cells))
    title = f"{task['name']}, {task['split']}, {task['examples']:,} examples"
    return "\n".join(
        [
            f"| {title} | {' | '.join(of_constant)} |",
            "|---|" + "---:|" * len(of_constant),
            *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows),
        ]
    )


def _spread(metric: dict[str, Any]) -> str:
    deviation = metric["standard_deviation"]
    return f"{metric['mean']:.1f}" + ("" if deviation is None else f" ± {deviation:.1f}")


def in_words(found: dict[str, Any]) -> str:
    """Say which template was used, how many texts were cut, and what stands behind the spreads."""
    task, template = found["task"], found["template"]
    verbalizers = ", ".join(f"{label} {word!r}" for label, word in template["verbalizers"].items())
    sentences = [
        f"template {template['text']!r}; {verbalizers}",
        f"{task['shortened']:,} of {task['examples']:,} examples have texts that were cut to fit a row",
    ]
    if template["leaves_out"]:
        fields = " and ".join(f"{{{name}}}" for name in template["leaves_out"])
        sentences.append(f"the template leaves out {fields}")
    predicted = ", ".join(
        f"{score} {' : '.join(f'{number:,}' for number in each['predicted'].values())}"
        for score, each in found["zero_shot"].items()
    )
    sentences.append(f"predictions of each label, zero-shot: {predicted}")
    sentences.append("[ , ]: 95 % interval over samples of the examples")
    if "few_shot" in found:
        few_shot = found["few_shot"]
        runs = len(next(iter(few_shot["scores"].values()))["runs"])
        spread = f"±: standard deviation over {runs} samples" if runs > 1 else "few-shot: one sample"
        sentences.append(
            f"{spread} of the training examples, {few_shot['updates']} updates of {few_shot['batch_size']}"
            " examples each"
        )
    return "\n".join(sentences)
