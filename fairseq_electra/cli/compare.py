"""Compare objectives at equal compute: same FLOPs, same text, same encoder, several seeds.

fairseq-electra compare plan.yaml --output runs/compare --dry-run      # what it will cost
fairseq-electra compare plan.yaml --output runs/compare --processes 2

A plan names objectives, budgets, seeds and tasks. Each of their combinations is a cell: pre-training up to
the budget's FLOPs, then fine-tuning. The same command line continues with the cells that are not done, so a
comparison can take days. A cell that is done is one small file in OUTPUT/cells; files made on other machines
can be put beside it. Tables, and with the extra "plot" figures, are those of the cells that are there. All
entries of a plan are in examples/comparison/README.md.
"""

import argparse
import logging
from pathlib import Path

from fairseq_electra.errors import InputError
from fairseq_electra.paths import require


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("plan", type=Path, metavar="PLAN.yaml", help="what to compare")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for all output")
    parser.add_argument(
        "--processes", type=int, default=1, metavar="N", help="cells at a time (default %(default)s)"
    )
    parser.add_argument("--cell", metavar="NAME", help="make this cell alone, for a cluster's queue")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="measure the speed, print what missing cells cost, and stop",
    )
    parser.add_argument("--report", action="store_true", help="print the tables of the cells that are done")
    parser.add_argument("--cpu", action="store_true", help="train on the CPU also where there is a GPU")


def run(args: argparse.Namespace) -> None:
    """Make the cells that are missing, and print the tables."""
    require("plan", args.plan)
    if args.processes < 1:
        raise InputError(f"--processes must be 1 or more, got {args.processes}")
    import torch

    import fairseq_electra

    fairseq_electra.register()
    for name in ("fairseq", "fairseq_electra", "matplotlib"):
        logging.getLogger(name).setLevel(logging.WARNING)
    from fairseq_electra.comparison import figures, report
    from fairseq_electra.comparison.cell import Maker
    from fairseq_electra.comparison.dry_run import cost_table
    from fairseq_electra.comparison.files import write_json
    from fairseq_electra.comparison.plan import read_plan
    from fairseq_electra.comparison.schedule import Schedule
    from fairseq_electra.files.text import atomic_write

    plan = read_plan(args.plan)
    maker = Maker(plan, args.output, args.cpu, lambda line: print(line, flush=True))
    if args.cell is not None:
        maker.make(plan.cell(args.cell))
        return
    threads = max(1, torch.get_num_threads() // args.processes)
    if args.dry_run:
        print(cost_table(plan, maker, args.processes, threads))
        return
    if not args.report:
        maker.check(plan.all_cells())
        schedule = Schedule(args.plan, maker, args.processes, threads, maker.say)
        for cells in (plan.choosing_cells(), plan.tuning_cells(), plan.cells()):
            schedule.make(cells, args.cpu)
    read = [maker.read(cell) for cell in plan.cells() if maker.is_done(cell)]
    done = [each for each in read if "trouble" not in each]
    choices = [maker.read(cell) for cell in plan.choosing_cells() if maker.is_done(cell)]
    tuned = [maker.read(cell) for cell in plan.tuning_cells() if maker.is_done(cell)]
    if not read and not choices and not tuned:
        raise InputError(f"{args.output} has no cell of this plan yet")
    lines = report.summarize(plan, done)
    report.check_rates(done)
    rates = {
        objective: {f"{each['lr']:g}": each["valid"] for each in choices if each["objective"] == objective}
        for objective in plan.objectives
    }
    finetuning_rates = {each["objective"]: each.get("choice", {}) for each in tuned}
    contents = {
        "lines": report.named(lines),
        "rates": rates,
        "finetuning_rates": finetuning_rates,
        "cells": read,
    }
    write_json(args.output / "results.json", contents)
    if figures.can_draw() and figures.scores_in(lines):
        figures.draw(lines, args.output / "results.png")
    tables = report.markdown(plan, lines) if lines else ""
    parts = [tables, report.rates_table(plan, choices), *report.edges(plan, lines)]
    parts.append(report.finetuning_rates_table(plan, tuned))
    parts += [f"{each['cell']} is in no table: {each['trouble']}" for each in read if "trouble" in each]
    parts += report.troubles(plan, done)
    text = "\n\n".join(filter(None, parts))
    with atomic_write(args.output / "results.md") as stream:
        stream.write(text + "\n")
    print(text)
