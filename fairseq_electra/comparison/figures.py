"""The figures of a comparison: scores against FLOPs and against tokens, or of one budget side by side."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fairseq_electra.comparison.report import Figure
from fairseq_electra.files.text import atomic_write

MARKERS = "osD^v<>PX*"  # so that objectives can be told apart without colours


def can_draw() -> bool:
    """Tell whether matplotlib is installed, which belongs to the extra ``plot``."""
    return importlib.util.find_spec("matplotlib") is not None


def scores_in(lines: Sequence[dict[str, Any]]) -> list[str]:
    """Return the scores worth a panel: the mean over tasks, BLiMP and detection, as far as they are there."""
    names = dict.fromkeys(name for line in lines for name, value in line.items() if isinstance(value, Figure))
    return [
        name for name in names if name in ("mean", "fixed_generator_auc") or name.startswith("BLiMP")
    ] or list(names)[:1]


def draw(lines: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the lines of :func:`~fairseq_electra.comparison.report.summarize` as a PNG.

    With several budgets each score has a panel against FLOPs and one against the tokens that were read; with
    one budget, a panel over the objectives. Bars show the standard deviation between seeds of pre-training.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    budgets, scores = {line["budget"] for line in lines}, scores_in(lines)
    axes_of = ["flops", "tokens"] if len(budgets) > 1 else ["objective"]
    figure, axes = pyplot.subplots(
        len(scores), len(axes_of), figsize=(5.5 * len(axes_of), 3.2 * len(scores)), squeeze=False
    )
    for row, score in zip(axes, scores, strict=True):
        for axis, x in zip(row, axes_of, strict=True):
            _panel(axis, lines, score, x)
    axes[0][0].legend(fontsize=7)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, "wb") as stream:
        figure.savefig(stream, dpi=100, format="png")
    pyplot.close(figure)


def _panel(axis, lines: Sequence[dict[str, Any]], score: str, x: str) -> None:
    for number, objective in enumerate(dict.fromkeys(line["objective"] for line in lines)):
        here = [line for line in lines if line["objective"] == objective and score in line]
        axis.errorbar(
            [line[x] for line in here],
            [line[score].mean for line in here],
            [line[score].deviation or 0.0 for line in here],
            marker=MARKERS[number % len(MARKERS)],
            markersize=5,
            linewidth=1,
            capsize=3,
            label=objective,
        )
    if x == "objective":
        axis.tick_params(axis="x", rotation=60)
    else:
        axis.set_xscale("log")
        axis.set_xlabel({"flops": "FLOPs of pre-training", "tokens": "tokens read"}[x])
    axis.set_ylabel("mean over tasks" if score == "mean" else score)
    axis.grid(alpha=0.3)
