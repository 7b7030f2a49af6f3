"""What a comparison will cost on this machine, before it is made."""

import contextlib
import statistics
import tempfile
from collections.abc import Sequence

from fairseq_electra.comparison.cell import LOGS, Maker
from fairseq_electra.comparison.compute import has_own_schedule, pretraining_options
from fairseq_electra.comparison.plan import Cell, Plan
from fairseq_electra.pretraining.log import read_record
from fairseq_electra.speedrun.measuring import pace_of
from fairseq_electra.speedrun.one_run import follow

UPDATES = 30  # of the run that measures the speed


def seconds_of_update(plan: Plan, maker: Maker, objective: str, threads: int) -> float:
    """Train an objective for a few updates with a number of threads, and return the seconds of one."""
    with tempfile.TemporaryDirectory() as folder:
        line = [*pretraining_options(plan, objective), "--lr", f"{plan.rates_for(objective)[0]:g}"]
        line += [] if has_own_schedule(plan, objective) else ["--decay-updates", "0"]
        line += ["--max-update", str(plan.warmup_updates + UPDATES), "--stop-time-hours", str(60 / 3600)]
        line += ["--no-save", "--disable-validation", "--log-interval", "5", "--save-dir", folder]
        times, seconds = list[tuple[int, float]](), 0.0
        line += maker.machine.pretraining_options
        log = maker.output / LOGS / f"dry-run-{objective}.log"
        with contextlib.closing(follow(line, log, threads=threads)) as lines:  # closing ends the training
            for seconds, text in lines:
                record = read_record(text)
                if record is not None and record["subset"] == "train_inner":
                    times.append((int(record["num_updates"]), seconds))
                    if len(times) == UPDATES // 5:
                        break
    return pace_of(times, seconds).update


def updates_left(plan: Plan, maker: Maker, cells: Sequence[Cell]) -> float:
    """Return the updates that cells of one objective still need.

    All budgets of a seed and a rate share the constant part of the largest, unless the schedule has none.
    What a cell that was broken off has made is not counted.
    """
    left = 0.0
    for run in {cell._replace(budget=0) for cell in cells}:
        own = [cell for cell in cells if cell._replace(budget=0) == run]
        missing = [maker.updates(cell) for cell in own if not maker.is_done(cell)]
        if has_own_schedule(plan, run.objective):
            left += sum(missing)
            continue
        done = [maker.updates(cell) for cell in own if maker.is_done(cell)]
        constant = max(missing, default=0) - max(done, default=0)
        left += max(constant, 0) * (1 - plan.decay) + sum(missing) * plan.decay
    return left


def cost_table(plan: Plan, maker: Maker, processes: int, threads: int) -> str:
    """Measure each objective, and tell the updates, FLOPs and hours of the pre-trainings that are missing.

    Args:
        plan: the plan.
        maker: knows the cells that are done.
        processes: the number of cells at a time.
        threads: CPU threads of each.
    """
    lines = [
        "| objective | FLOPs a row | updates by budget | seconds an update | hours of pre-training |",
        "|---|---|---|---|---|",
    ]
    total, choosing, tuning, cells = 0.0, plan.choosing_cells(), plan.tuning_cells(), list(plan.cells())
    for objective in plan.objectives:
        update = seconds_of_update(plan, maker, objective, threads)
        by_budget = {cell.budget: maker.updates(cell) for cell in cells if cell.objective == objective}
        own = [cell for cell in (*choosing, *cells) if cell.objective == objective]
        if all(map(maker.is_done, maker.choosing(objective))):  # else it goes on from the best of those
            own += [cell for cell in tuning if cell.objective == objective and not maker.has_run(cell)]
        hours = updates_left(plan, maker, own) * update / 3600
        total += hours
        lines.append(
            f"| {objective} | {maker.cost(objective).flops:.3g} | "
            f"{', '.join(f'{number:,}' for number in by_budget.values())} | {update:.3f} | {hours:.1f} |"
        )
    missing = [cell for cell in cells if not maker.is_done(cell)]
    count = len(missing) * sum(len(plan.finetuning_seeds_on(task)) for task in plan.tasks)
    untuned = [cell for cell in tuning if not maker.is_done(cell)]
    count += len(untuned) * len(plan.tasks) * len(plan.finetuning_rates)
    lines += [
        "",
        f"Missing are {sum(not maker.is_done(cell) for cell in choosing)} of {len(choosing)} runs that choose"
        f" learning rates, {len(untuned)} of {len(tuning)} that choose rates of fine-tuning, and"
        f" {len(missing)} of {len(cells)} cells; pre-training takes {total:.1f} hours on"
        f" {maker.machine.name} with {threads} thread{'s' * (threads > 1)} one at a time,"
        f" {total / processes:.1f} with {processes} at a time if they do not slow each other down; then"
        f" {count} fine-tunings{' and minimal pairs' if plan.blimp else ''}, which are not measured",
    ]
    done = [maker.read(cell) for cell in cells if maker.is_done(cell)]
    minutes = [each["seconds"] / 60 for each in done if "trouble" not in each]  # which ended early
    if minutes:
        lines.append(
            f"A cell that is done took {statistics.fmean(minutes):.0f} minutes on average, all in all"
        )
    return "\n".join(lines)
