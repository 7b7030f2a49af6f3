"""The tables at the end of a speedrun: scores and costs, next to the nearest published ones."""

import statistics
from typing import Any

from fairseq_electra.finetuning.results import spread_of
from fairseq_electra.pretraining.recipes import TOKENS
from fairseq_electra.speedrun.pretraining import figures
from fairseq_electra.speedrun.published import PAPER, Published, nearest_mean, nearest_published


def markdown(results: dict[str, Any]) -> str:
    """Format the tables in Markdown.

    Args:
        results: The content of ``results.json``.
    """
    published = nearest_published(results["size"])
    parts = [
        f"electra_{results['size']}, pre-trained for {results['minutes']:g} minutes on {results['device']}.",
        *([scores(results["glue"], published)] if results.get("glue") else []),
        costs(results, published),
        f"On held-out text, at the end: {held_out(results['valid'])}.",
        sources(results, published),
    ]
    return "\n\n".join(parts)


def held_out(record: dict[str, float]) -> str:
    """Format the results on the validation set."""
    fixed = [f"fixed_auc {record['fixed_auc']:.3f}"] if "fixed_auc" in record else []
    return ", ".join([*figures(record).split("   "), *fixed])


def scores(study: dict[str, Any], published: Published) -> str:
    """Format the scores on the dev set of each task, and the mean over the tasks that the paper reports."""
    seeds = max(len(line["seeds"]) for line in study["summary"])
    lines = [
        f"| GLUE, dev: median of {seeds} seeds (mean ± standard deviation) | this run | {published.name} |",
        "|---|---|---|",
    ]
    ours: list[float] = []
    theirs: list[float] = []
    for line in study["summary"]:
        task = line["task"]
        failures = ", ".join(f"seed {seed} {kind}" for seed, kind in line["degenerate_seeds"].items())
        if not line["metrics"]:
            lines.append(f"| {task} | {failures} | |")
            continue
        for i, (metric, score) in enumerate(line["metrics"]["valid"].items()):
            known = published.scores.get(task) if i == 0 else None
            if known is not None:
                ours.append(score["median"])
                theirs.append(known)
            notes = f"; {failures}" if failures else ""
            shown = "" if known is None else f"{known:.1f}"
            lines.append(
                f"| {task}, {metric} | {score['median']:.1f} ({spread_of(score)}{notes}) | {shown} |"
            )
    if len(ours) > 1:
        lines.append(
            f"| mean of these {len(ours)} tasks | {statistics.fmean(ours):.1f} |"
            f" {statistics.fmean(theirs):.1f} |"
        )
    return "\n".join(lines)


def costs(results: dict[str, Any], published: Published) -> str:
    """Format the cost of pre-training. FLOPs are given in two conventions, each the same for both columns."""
    counted, unknown, seconds = published.flops, "not published", results["seconds"]
    rows = [
        (
            "FLOPs, as the paper counts",
            f"{results['flops']['paper']:.2e}",
            f"{counted['paper']:.2e}" if counted else unknown,
        ),
        (
            "FLOPs, matrix products, a step as three forward passes",
            f"{results['flops']['products']:.2e}",
            f"{counted['products']:.2e}" if counted else unknown,
        ),
        (
            "tokens, padding counted",
            f"{results['padded_tokens']:,}",
            f"{published.tokens:,}" if counted else unknown,
        ),
        ("tokens of text", f"{results['tokens']:,}", ""),
        (
            "updates x rows x tokens of a row",
            f"{results['updates']:,} x {results['rows']} x {TOKENS}",
            f"{published.updates:,} x {published.rows} x {published.row_length}" if counted else unknown,
        ),
        ("parameters of the discriminator", f"{results['parameters']:,}", ""),
        ("device-seconds of pre-training", f"{seconds['pretraining']:,.0f}", ""),
        *(
            [("device-seconds of fine-tuning", f"{seconds['finetuning']:,.0f}", "")]
            if "finetuning" in seconds
            else []
        ),
    ]
    lines = [f"| pre-training | this run | {published.name} |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {ours} | {theirs} |" for name, ours, theirs in rows)])


def sources(results: dict[str, Any], published: Published) -> str:
    """Name the sources of the published scores, and the published mean score with the nearest FLOPs."""
    nearest = nearest_mean(results["flops"]["paper"])
    ratio = nearest.flops / results["flops"]["paper"]
    lines = [
        f"{published.name}: {published.source}. {published.note}".rstrip(),
        (
            f"The published mean of eight GLUE tasks with the nearest FLOPs: {nearest.name}, "
            f"{nearest.score} with {nearest.flops:.1e} FLOPs, "
            f"{ratio:,.{0 if ratio > 10 else 1}f} times those of this run ({PAPER})."
        ),
    ]
    return "\n\n".join(lines)
