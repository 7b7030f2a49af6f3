"""The tables of a comparison, from whatever cells are done."""

import statistics
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fairseq_electra.comparison import minimal_pairs
from fairseq_electra.comparison.bootstrap import Examples, FineTunings, Gap, differences
from fairseq_electra.comparison.choice import deciding_figure, quality
from fairseq_electra.comparison.plan import Plan
from fairseq_electra.errors import InputError

BLIMP = "BLiMP, "  # before the name of a score
ON_TEXT = ("fixed_auc", "fixed_generator_auc", "masked_lm_loss")  # figures of held-out text, as in the log

NOTE = (
    "Mean ± standard deviation over seeds of pre-training, of each the mean of its fine-tunings; per cent, on"
    " development sets, but for fixed_auc and fixed_generator_auc, which are areas on held-out text, and"
    " masked_lm_loss, which is the generator's there, or the masked language model's, in nats. In brackets"
    " the 95 % interval of a difference by bootstrap over the seeds of pre-training that both have, seeds of"
    " fine-tuning, and examples (of tasks that give each example one label or number) or minimal pairs. One"
    " seed has no interval, and that of few seeds is too narrow: where only the seeds of pre-training matter,"
    " it holds the truth one time in two with two of them, and three times in four with three. The mean is"
    " over the tasks that all cells have, and BLiMP is compared between scores of one kind alone."
)


class Difference(NamedTuple):
    """How far an objective is from another one, by the seeds of pre-training that both have.

    Args:
        mean: of the differences.
        low, high: bounds of its 95 % interval; None for one seed, which says nothing of other seeds.
        seeds: number of seeds.
    """

    mean: float
    low: float | None
    high: float | None
    seeds: int

    def __str__(self) -> str:
        """Format as ``mean (low to high; seeds)``."""
        if self.low is None:
            return f"{self.mean:+.1f} (1 seed)"
        return f"{self.mean:+.1f} ({self.low:+.1f} to {self.high:+.1f}; {self.seeds} seeds)"


class Figure(NamedTuple):
    """A score over the seeds of pre-training.

    Args:
        mean: over seeds of pre-training; of each seed, the mean over its fine-tunings.
        deviation: standard deviation between seeds of pre-training; None for one seed.
        seeds: how many seeds are done.
    """

    mean: float
    deviation: float | None
    seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Figure":
        """Sum up the values of the seeds."""
        return cls(
            statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values)
        )

    def text(self, digits: int = 1) -> str:
        """Format as ``mean ± deviation``."""
        spread = "" if self.deviation is None else f" ± {self.deviation:.{digits}f}"
        return f"{self.mean:.{digits}f}{spread}"


def scores_of(result: dict[str, Any]) -> dict[str, list[float]]:
    """Return the first metric of each task of a cell, for each seed of fine-tuning."""
    return {task: next(iter(metrics.values())) for task, metrics in result["finetuning"].items() if metrics}


def constant_runs(result: dict[str, Any], task: str) -> int:
    """Count the fine-tunings of a cell that predict the same for all examples, where predictions are kept."""
    return sum(len(set(line.split())) == 1 for line in result["predictions"].get(task, ()))


def tasks_of(results: Sequence[dict[str, Any]]) -> list[str]:
    """Return the tasks that all cells have scores of; one whose fine-tunings all diverged has none there."""
    scores = [scores_of(each) for each in results]
    return [name for name in scores[0] if all(name in each for each in scores)]


def mean_score(result: dict[str, Any], tasks: Sequence[str]) -> float:
    """Return the mean over tasks of the mean over fine-tunings."""
    return statistics.fmean(statistics.fmean(scores_of(result)[task]) for task in tasks)


def fine_tunings(result: dict[str, Any]) -> dict[str, FineTunings]:
    """Return the fine-tunings of a cell by task."""
    found = {}
    for task, values in scores_of(result).items():
        lines = result["predictions"].get(task)
        predictions = np.array([[float(word) for word in line.split()] for line in lines]) if lines else None
        found[task] = FineTunings(np.array(values), predictions)
    return found


def less_reference(
    results: Sequence[dict[str, Any]],
    reference: Sequence[dict[str, Any]],
    examples: Mapping[str, Examples | None],
    averaged: Collection[str] | None = None,
) -> dict[str, Difference]:
    """Compare an objective with another one at one budget, by the seeds of pre-training that both have.

    Args:
        results, reference: the cells of both, those of the other one behind.
        examples: of each task.
        averaged: the tasks of the mean; None: all that those cells have.

    Returns:
        the difference of each task, of their ``mean``, and of BLiMP by each score that is computed alike, as
        far as all of those cells have them.
    """
    pairs = [(a, b) for a in results for b in reference if a["seed"] == b["seed"]]
    if not pairs:
        return {}
    cells = [each for pair in pairs for each in pair]
    tasks = tasks_of(cells)
    tuned = [(fine_tunings(a), fine_tunings(b)) for a, b in pairs]
    gaps = differences(tuned, {task: examples.get(task) for task in tasks})
    if of_mean := [gap for task, gap in gaps.items() if averaged is None or task in averaged]:
        gaps["mean"] = Gap.mean(of_mean)
    for score in cells[0]["blimp"]:
        if (
            all(score in each["blimp"] for each in cells)
            and len({kind_of(score, each) for each in cells}) == 1
        ):
            points = [each["blimp"][score]["points"] for each in cells]
            models = list(zip(points[::2], points[1::2], strict=True))
            gaps[f"{BLIMP}{score}"] = minimal_pairs.difference(models)
    seeds, found = len(pairs), dict[str, Difference]()
    for name, gap in gaps.items():
        low, high = (None, None) if seeds == 1 else gap.interval()
        found[name] = Difference(gap.exact, low, high, seeds)
    return found


def kind_of(score: str, result: dict[str, Any]) -> str:
    """Return what a score of minimal pairs is of; scores of different kinds are not compared."""
    if score == "generator":
        return "a smaller network beside it" if result["has_discriminator"] else "the whole model"
    return "it predicts tokens" if "main_lm_loss" in result["valid"] else "it detects replaced ones"


def check_rates(cells: Sequence[dict[str, Any]]) -> None:
    """Refuse cells of one objective that were trained at different learning rates, as of several machines."""
    rates: dict[str, dict[str, Any]] = {}
    for cell in cells:
        first = rates.setdefault(cell["objective"], cell)
        if first.get("finetuning_lr") != cell.get("finetuning_lr"):
            raise InputError(
                f"the cells {cell['cell']} and {first['cell']} were fine-tuned at different learning rates,"
                f" {cell.get('finetuning_lr')} and {first.get('finetuning_lr')}; remove one of them"
            )
        if first["lr"] != cell["lr"]:
            raise InputError(
                f"the cell {cell['cell']} was trained with the learning rate {cell['lr']:g}, and"
                f" {first['cell']} with {first['lr']:g}; remove one of them"
            )


def summarize(plan: Plan, cells: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sum up the cells that are done: a line for each budget and objective.

    Args:
        plan: the plan.
        cells: contents of the files of the cells that are reported.
    """
    lines, examples = [], {folder.name: Examples.of(folder) for folder in plan.tasks}
    common = tasks_of(cells) if cells else []  # of all budgets, or their means could not be compared
    for budget in sorted(plan.budgets):
        here = {
            name: [each for each in cells if each["objective"] == name and each["budget"] == budget]
            for name in plan.objectives
        }
        for name, results in here.items():
            if not results:
                continue
            line: dict[str, Any] = {
                "budget": budget,
                "objective": name,
                "seeds": [each["seed"] for each in results],
                "lr": results[0]["lr"],
                "updates": results[0]["updates"],
                "tokens": results[0]["tokens"],
                "flops": results[0]["flops"],
            }
            tasks = tasks_of(results)
            for task in tasks:
                line[task] = Figure.of([statistics.fmean(scores_of(each)[task]) for each in results])
            if common:
                line["mean"] = Figure.of([mean_score(each, common) for each in results])
            for score in results[0]["blimp"]:
                line[f"{BLIMP}{score}"] = Figure.of([each["blimp"][score]["mean"] for each in results])
            for figure in ON_TEXT:
                if all(figure in each["valid"] for each in results):
                    line[figure] = Figure.of([each["valid"][figure] for each in results])
            if name != plan.reference:
                line["compared_with"] = plan.compared_with.get(name, plan.reference)
                base = here[line["compared_with"]]
                line["differences"] = less_reference(results, base, examples, common)
            lines.append(line)
    return lines


def troubles(plan: Plan, cells: Sequence[dict[str, Any]]) -> list[str]:
    """Say of each cell which fine-tunings diverged, and which predict the same for all examples.

    The scores are those of the runs that did not diverge.
    """
    said = []
    for cell in cells:
        scores = scores_of(cell)
        for folder in plan.tasks:
            wanted = len(plan.finetuning_seeds_on(folder))
            lost = wanted - len(scores.get(folder.name, ()))
            if lost == wanted:
                said.append(
                    f"{cell['cell']}: all fine-tunings on {folder.name} diverged, so all means leave"
                    f" {folder.name} out"
                )
            elif lost:
                said.append(
                    f"{cell['cell']}: {lost} of {wanted} fine-tunings on {folder.name} diverged; the score is"
                    " that of the others"
                )
            if constant := constant_runs(cell, folder.name):
                said.append(
                    f"{cell['cell']}: {constant} of {wanted} fine-tunings on {folder.name} predict the same"
                    " for all examples"
                )
    return said


def named(line: Any) -> Any:
    """Return lines as JSON takes them: each part of a figure with its name."""
    if isinstance(line, (Figure, Difference)):
        return line._asdict()
    if isinstance(line, dict):
        return {key: named(value) for key, value in line.items()}
    return [named(each) for each in line] if isinstance(line, list) else line


def markdown(plan: Plan, lines: Sequence[dict[str, Any]]) -> str:
    """Format the tables, for each budget one of scores and one of differences."""
    parts = []
    for budget in sorted(plan.budgets):
        here = [line for line in lines if line["budget"] == budget]
        if not here:
            continue
        title = f"**{budget / 1e6:g} M tokens of {plan.reference}: {here[0]['flops']:.2e} FLOPs**"
        parts += [title, scores_table(here)]
        if any(line.get("differences") for line in here):
            parts += ["Differences:", differences_table(here)]
    return "\n\n".join([*parts, NOTE])


def scores_table(lines: Sequence[dict[str, Any]]) -> str:
    """Format the scores of one budget."""
    names = [name for name in names_in(lines, Figure) if name != "mean"]
    return table(
        ["objective", "updates", "lr", "seeds", *names, "mean"],
        [
            [
                line["objective"],
                f"{line['updates']:,}",
                f"{line['lr']:g}",
                str(len(line["seeds"])),
                *(line[name].text(3 if name in ON_TEXT else 1) if name in line else "" for name in names),
                line["mean"].text() if "mean" in line else "",
            ]
            for line in lines
        ],
    )


def differences_table(lines: Sequence[dict[str, Any]]) -> str:
    """Format the differences of one budget."""
    compared = [line for line in lines if line.get("differences")]
    names = names_in([line["differences"] for line in compared], Difference)
    names.sort(key=lambda name: name == "mean")
    return table(
        ["objective", *names],
        [
            [
                f"{line['objective']} less {line['compared_with']}",
                *(str(line["differences"].get(name, "")) for name in names),
            ]
            for line in compared
        ],
    )


def names_in(lines: Sequence[Mapping[str, Any]], kind: type) -> list[str]:
    """Return the names of the values of a kind, in the order in which they first come."""
    return list(
        dict.fromkeys(name for line in lines for name, value in line.items() if isinstance(value, kind))
    )


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table as Markdown."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [titles, ["---"] * len(titles), *rows])


def rates_table(plan: Plan, choices: Sequence[dict[str, Any]]) -> str:
    """Format what each learning rate reached in the runs that chose among them; empty if there are none.

    Args:
        plan: the plan.
        choices: contents of the files of the cells that choose.
    """
    if not choices:
        return ""
    rates = sorted({rate for objective in plan.objectives for rate in plan.rates_for(objective)})
    rows = []
    for objective in plan.objectives:
        results = {each["lr"]: each for each in choices if each["objective"] == objective}
        if not results:
            continue
        learnt = {rate: deciding_figure(each) for rate, each in results.items() if "trouble" not in each}
        names = dict.fromkeys(name for name, _ in learnt.values())
        values = {rate: f"{learnt[rate][1]:.3f}" if rate in learnt else "diverged" for rate in results}
        # a choice between some of them is none
        if learnt and len(results) == len(plan.rates_for(objective)):
            best = max(results, key=lambda rate: quality(results[rate]))
            values[best] = f"**{values[best]}**"
        rows.append([objective, ", ".join(names), *(values.get(rate, "") for rate in rates)])
    title = f"**Learning rates at {plan.choice_budget / 1e6:g} M tokens of {plan.reference}**"
    return f"{title}\n\n{table(['objective', 'held-out text', *(f'{rate:g}' for rate in rates)], rows)}"


def finetuning_rates_table(plan: Plan, choices: Sequence[dict[str, Any]]) -> str:
    """Format the scores of the rates of fine-tuning that were chosen from; empty if there are none.

    Args:
        plan: the plan.
        choices: contents of the files of the cells that choose rates of fine-tuning.
    """
    rates = [f"{rate:g}" for rate in sorted(plan.finetuning_rates)]
    rows, any_constant = [], False
    for result in choices:
        for task, scores in result.get("choice", {}).items():
            reached = {rate: score for rate in rates if (score := scores.get(rate)) is not None}
            best = max(reached, key=lambda rate: reached[rate], default=None)
            constant = result.get("constant", {}).get(task, ())
            any_constant = any_constant or bool(constant)
            cells = []
            for rate in rates:
                cell = f"{reached[rate]:.1f}" if rate in reached else "diverged"
                cell = f"**{cell}**" if rate == best else cell
                cells.append(f"{cell} (constant)" if rate in constant else cell)
            rows.append([result["objective"], task, *cells])
    if not rows:
        return ""
    title = (
        "**Learning rates of fine-tuning**, by the score on held-out training examples, after"
        f" {plan.choice_budget / 1e6:g} M tokens of {plan.reference}; where the best is the lowest or the"
        " highest, a better one may lie outside"
    )
    if any_constant:
        title += "; constant: it predicts the same for all examples"
    return f"{title}\n\n{table(['objective', 'task', *rates], rows)}"


def edges(plan: Plan, lines: Sequence[dict[str, Any]]) -> list[str]:
    """Say for each objective how its learning rate was chosen, and whether a better one may lie outside."""
    said = []
    for objective, lr in {line["objective"]: line["lr"] for line in lines}.items():
        rates = plan.rates_for(objective)
        if len(rates) == 1:
            continue
        edge = {rates[0]: "the lowest", rates[-1]: "the highest"}.get(lr)
        outside = f", {edge} of them: a better one may lie outside" if edge else ""
        said.append(
            f"{objective}: learning rate {lr:g}, chosen from {', '.join(f'{rate:g}' for rate in rates)}"
            f" at {plan.choice_budget / 1e6:g} M tokens by held-out text{outside}"
        )
    return said
