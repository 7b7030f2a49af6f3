"""What a comparison will cost on this machine, before it is made."""

import contextlib
import tempfile

from fairseq_electra.comparison.cell import LOGS, Maker
from fairseq_electra.comparison.compute import has_own_schedule, pretraining_options
from fairseq_electra.comparison.plan import Plan
from fairseq_electra.pretraining.log import read_record
from fairseq_electra.speedrun.measuring import pace_of
from fairseq_electra.speedrun.one_run import follow

UPDATES = 30  # of the run that measures the speed


def seconds_of_update(plan: Plan, maker: Maker, objective: str) -> float:
    """Train an objective for a few updates, and return the seconds of one."""
    with tempfile.TemporaryDirectory() as folder:
        line = [*pretraining_options(plan, objective), "--lr", f"{plan.rates[0]:g}"]
        line += [] if has_own_schedule(plan, objective) else ["--decay-updates", "0"]
        line += ["--max-update", str(plan.warmup_updates + UPDATES), "--stop-time-hours", str(60 / 3600)]
        line += ["--no-save", "--disable-validation", "--log-interval", "5", "--save-dir", folder]
        times, seconds = list[tuple[int, float]](), 0.0
        line += maker.machine.pretraining_options
        log = maker.output / LOGS / f"dry-run-{objective}.log"
        with contextlib.closing(follow(line, log)) as lines:  # closing ends the training
            for seconds, text in lines:
                record = read_record(text)
                if record is not None and record["subset"] == "train_inner":
                    times.append((int(record["num_updates"]), seconds))
                    if len(times) == UPDATES // 5:
                        break
    return pace_of(times, seconds).update


def cost_table(plan: Plan, maker: Maker, processes: int) -> str:
    """Measure each objective, and tell the updates, FLOPs and hours of its pre-trainings.

    All budgets of a seed share the constant part of the largest, unless the schedule has none. Fine-tuning is
    not measured.
    """
    lines = [
        "| objective | FLOPs a row | updates by budget | seconds an update | hours of pre-training |",
        "|---|---|---|---|---|",
    ]
    total, cells = 0.0, list(plan.cells())
    for objective in plan.objectives:
        update = seconds_of_update(plan, maker, objective)
        own = [cell for cell in cells if cell.objective == objective]
        by_budget = {cell.budget: maker.updates(cell) for cell in own}
        seeds = len({cell.seed for cell in own})
        total_updates = sum(by_budget.values())
        constant = max(by_budget.values()) * (1 - plan.decay)
        shared = not has_own_schedule(plan, objective)
        updates = seeds * (constant + plan.decay * total_updates if shared else total_updates)
        updates += sum(maker.updates(cell) for cell in plan.choosing_cells() if cell.objective == objective)
        hours = updates * update / 3600
        total += hours
        lines.append(
            f"| {objective} | {maker.cost(objective).flops:.3g} | "
            f"{', '.join(f'{number:,}' for number in by_budget.values())} | {update:.3f} | {hours:.1f} |"
        )
    count = len(cells) * sum(len(plan.finetuning_seeds_on(task)) for task in plan.tasks)
    lines += [
        "",
        f"{len(plan.choosing_cells())} runs that choose learning rates, {len(cells)} cells; pre-training"
        f" {total:.1f} hours on {maker.machine.description} one at a time, {total / processes:.1f} with"
        f" {processes} at a time if they do not slow each other down; then {count} fine-tunings",
    ]
    return "\n".join(lines)
