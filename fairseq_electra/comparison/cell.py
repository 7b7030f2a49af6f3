"""Makes one cell: chooses the learning rate, pre-trains up to the budget, fine-tunes, writes its file."""

import contextlib
import functools
import math
import shlex
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from fairseq_electra.checkpoints import read_checkpoint, sha256_of
from fairseq_electra.comparison.choice import deciding_figure, quality
from fairseq_electra.comparison.compute import (
    Cost,
    cost_of,
    has_own_schedule,
    pretraining_options,
    updates_for,
)
from fairseq_electra.comparison.files import check_same, only_one, read_json, write_json
from fairseq_electra.comparison.minimal_pairs import written
from fairseq_electra.comparison.plan import CHOICE_SEED, STARTS, Cell, Plan, with_start
from fairseq_electra.comparison.tuning import Tuner, best_rate
from fairseq_electra.compat.same_run import digests
from fairseq_electra.errors import DivergedError, InputError
from fairseq_electra.finetuning.results import versions
from fairseq_electra.finetuning.trainable import trainable
from fairseq_electra.originals import value_of
from fairseq_electra.pretraining.log import read_log
from fairseq_electra.speedrun.machine import this_cpu, this_machine
from fairseq_electra.speedrun.one_run import follow

CELLS, RUNS, LOGS = "cells", "runs", "logs"
SETTINGS_FILE = "settings.json"  # of a run
NO_OUTCOME: dict[str, Any] = {"valid": {}, "blimp": {}, "finetuning": {}, "predictions": {}}
SAVE_EVERY = 2000  # updates between two checkpoints of a run, which resumes from them


class Maker:
    """Makes cells of a plan.

    Args:
        plan: the plan.
        output: the folder of the comparison: ``cells`` has a file for each cell that is done, ``runs`` the
            checkpoints and logs.
        on_cpu: train on the CPU also where there is a GPU.
        say: takes a line of progress.
    """

    def __init__(self, plan: Plan, output: Path, on_cpu: bool = False, say: Callable[[str], None] = print):
        self.plan, self.output, self.say = plan, output, say
        self.machine = this_cpu() if on_cpu else this_machine()
        self.tuner = Tuner(plan, self.machine, say)
        self._costs: dict[str, Cost] = {}

    def pretraining_settings(self, objective: str) -> dict[str, Any]:
        """Return what decides the pre-trainings of an objective, beside budget, rate and seed."""
        line, content = pretraining_options(self.plan, objective)[1:], dict[str, Any]()
        if objective in self.plan.flops_before:
            content["flops before"] = self.plan.flops_before[objective]
        options, start = portable(line)
        if start is not None:
            content["start"] = start
        reference, start = portable(self.plan.objectives[self.plan.reference])
        if start is not None:
            content["start of the reference"] = start
        return {
            "options": options,
            **content,
            "reference": reference,
            "data": digests(str(self.plan.data), "train"),
            "held-out text": digests(str(self.plan.data), "valid"),  # and a generator's corruption of it
            "decay": self.plan.decay,
        }

    def settings(self, cell: Cell) -> dict[str, Any]:
        """Return what decides the content of a cell's file, beside its name."""
        settings = self.pretraining_settings(cell.objective)
        if cell.lr is not None:
            return settings
        settings |= {
            "rates": self.plan.rates_for(cell.objective),
            "budget of the choice": self.plan.choice_budget,
        }
        if self.plan.finetuning_rates:
            settings["finetuning_rates"] = sorted(self.plan.finetuning_rates)
        if self.plan.chooses_finetuning_rates:
            settings["finetuning_rates_on"] = {
                folder.name: trainable(folder).sha256 for folder in self.plan.finetuning_rates_on
            }
        if cell == self.plan.tuning_cell(cell.objective):
            return settings | {"finetuning_options": shlex.join(self.plan.finetuning_line(cell.objective))}
        return settings | {
            "tasks": {folder.name: trainable(folder).sha256 for folder in self.plan.tasks},
            "finetuning_seeds": {
                folder.name: len(self.plan.finetuning_seeds_on(folder)) for folder in self.plan.tasks
            },
            "finetuning_options": shlex.join(self.plan.finetuning_line(cell.objective)),
            "blimp": self.minimal_pairs,
            "blimp_pairs": self.plan.pairs_at(cell.budget),
        }

    @functools.cached_property
    def minimal_pairs(self) -> str | None:
        """The SHA-256 of the minimal pairs, however their file is compressed; None: there are none."""
        from fairseq_electra.probes.pairs import digest_of, read_pairs

        return None if self.plan.blimp is None else digest_of(read_pairs(self.plan.blimp))

    def read(self, cell: Cell) -> dict[str, Any]:
        """Read the file of a cell.

        Raises:
            InputError: it is damaged, is of another cell, or was made by another plan or at another rate.
        """
        path = self.file(cell)
        result = read_json(path)
        check_same(path, result.get("settings", {}), self.settings(cell))
        if result.get("cell") != cell.name:
            raise InputError(
                f"{path} holds the cell {result.get('cell')}; give the file that name, or remove it"
            )
        if result.get("budget", cell.budget) != cell.budget:  # a run that diverged has none
            raise InputError(
                f"{path} was made with a budget of {result['budget']!r} tokens, and the plan has"
                f" {cell.budget!r}; remove the file, or give the plan that budget"
            )
        self.check_finetuning_rates(cell, result)
        if any("points" not in score for score in result.get("blimp", {}).values()):
            raise InputError(
                f"{path} does not say which minimal pairs were scored right, as it was made by an older"
                " version; remove it, and it is made again, with the fine-tunings that are in its run"
            )
        if cell.lr is None and all(map(self.is_done, self.choosing(cell.objective))):
            chosen = self.chosen_rate(cell.objective)
            if result["lr"] != chosen:
                raise InputError(
                    f"{path} was trained with the learning rate {result['lr']:g}, and the runs that choose it"
                    f" say {chosen:g}; remove the cell, and it is made again"
                )
        return result

    def check_finetuning_rates(self, cell: Cell, result: dict[str, Any]) -> None:
        """Refuse a cell that was fine-tuned at other rates than the chosen ones."""
        tuning = self.plan.tuning_cell(cell.objective)
        if (
            "finetuning_lr" not in result
            or not self.plan.chooses_finetuning_rates
            or not self.is_done(tuning)
        ):
            return
        chosen = self.chosen_finetuning_rates(cell.objective)
        for task, rate in result["finetuning_lr"].items():
            if rate != chosen[task]:
                raise InputError(
                    f"{self.file(cell)} was fine-tuned on {task} with the learning rate {rate:g}, and"
                    f" {tuning.name} chose {chosen[task]:g}; remove the cell, and it is made again"
                )

    def check(self, cells: Iterable[Cell]) -> None:
        """Refuse what would otherwise be seen after hours of pre-training.

        Raises:
            InputError: options of pre-training or fine-tuning, a budget, a task, the held-out text or the
                minimal pairs cannot be used.
        """
        cells = list(cells)
        for cell in cells:
            if has_own_schedule(self.plan, cell.objective):
                self.updates(cell)
            else:
                self.parts(cell)
        for objective in dict.fromkeys(cell.objective for cell in cells):
            if not self.pretraining_settings(objective)["held-out text"]:
                raise InputError(
                    f"{self.plan.data} has no held-out text; encode some with --validpref, and call"
                    " fairseq-electra corrupt"
                )
            self.tuner.check(objective, self.output)
        _ = self.minimal_pairs

    def choosing(self, objective: str) -> list[Cell]:
        """Return the runs that choose the learning rate of an objective; none if there is one rate."""
        return [cell for cell in self.plan.choosing_cells() if cell.objective == objective]

    def is_done(self, cell: Cell) -> bool:
        """Tell whether a cell has its file."""
        return self.file(cell).is_file()

    def file(self, cell: Cell) -> Path:
        """Return the file of a cell."""
        return self.output / CELLS / f"{cell.name}.json"

    def cost(self, objective: str) -> Cost:
        """Return what an objective costs; it is counted once."""
        if objective not in self._costs:
            self._costs[objective] = cost_of(self.plan, objective)
        return self._costs[objective]

    def updates(self, cell: Cell) -> int:
        """Return the number of updates of a cell."""
        reference = self.cost(self.plan.reference)
        return updates_for(cell.budget, self.cost(cell.objective), reference)

    def parts(self, cell: Cell) -> tuple[int, int]:
        """Return the updates of a cell before its learning rate falls, and those in which it falls.

        Raises:
            InputError: they are too few for the warm-up.
        """
        constant, decay = self.divided(cell)
        if constant < self.least_constant:
            raise InputError(
                f"{cell.name} has {constant + decay} updates, of which {decay} are the decay: too few for a"
                f" warm-up of {self.plan.warmup_updates}; give larger budgets or a smaller warmup_updates"
            )
        return constant, decay

    @property
    def least_constant(self) -> int:
        """The fewest updates that a cell needs before its learning rate falls."""
        return max(1, self.plan.warmup_updates)

    def divided(self, cell: Cell) -> tuple[int, int]:
        """Return the parts of a cell as :meth:`parts` does, however few updates they are."""
        updates = self.updates(cell)
        decay = max(1, round(updates * self.plan.decay))
        return updates - decay, decay

    def chosen_rate(self, objective: str) -> float:
        """Return the learning rate of an objective: of the runs that choose, that of the best.

        Raises:
            InputError: not all of them are done, or none of them learnt anything.
        """
        cells = self.choosing(objective)
        if not cells:
            return self.plan.rates_for(objective)[0]
        missing = [cell.name for cell in cells if not self.is_done(cell)]
        if missing:
            raise InputError(f"the learning rate of {objective} is chosen by {', '.join(missing)}: make them")
        results = [self.read(cell) for cell in cells]
        figures = {deciding_figure(each)[0]: each["cell"] for each in results if "trouble" not in each}
        if len(figures) > 1:
            held = ", ".join(f"{cell} has {figure}" for figure, cell in figures.items())
            raise InputError(
                f"the learning rate of {objective} is chosen by one figure, and {held}, as versions differ;"
                " remove the older file, and it is made again"
            )
        best = max(results, key=quality)
        if quality(best) == -math.inf:
            raise InputError(f"{objective} diverged at every learning rate of the plan; give smaller rates")
        return best["lr"]

    def chosen_finetuning_rates(self, objective: str) -> dict[str, float | None]:
        """Return the rate of fine-tuning of an objective on each task; None: that of the recipe.

        Raises:
            InputError: the run that chooses is not done, or learnt nothing at any rate.
        """
        rates = self.plan.finetuning_rates
        if not self.plan.chooses_finetuning_rates:
            return {task.name: rates[0] if rates else None for task in self.plan.tasks}
        cell = self.plan.tuning_cell(objective)
        if not self.is_done(cell):
            raise InputError(f"the rates of fine-tuning of {objective} are chosen by {cell.name}: make it")
        result = self.read(cell)
        if "trouble" in result:
            raise InputError(f"{cell.name} chooses rates of fine-tuning, and diverged: {result['trouble']}")
        return {task: best_rate(scores, cell.name, task) for task, scores in result["choice"].items()}

    def make(self, cell: Cell) -> dict[str, Any]:
        """Make a cell, unless it is done, and return the content of its file."""
        if self.is_done(cell):
            return self.read(cell)
        start = time.monotonic()
        self.check([cell])
        lr = self.chosen_rate(cell.objective) if cell.lr is None else cell.lr
        if cell.lr is None and cell.seed != CHOICE_SEED:
            self.chosen_finetuning_rates(cell.objective)  # else it would be missed after the pre-training
        folder = self.run_folder(cell, lr)
        folder.mkdir(parents=True, exist_ok=True)
        with only_one(folder / ".lock"):
            self.keep_settings(cell, folder / SETTINGS_FILE)
            outcome, checkpoint = NO_OUTCOME, None
            try:
                checkpoint = self.pretrain(cell, lr, folder)
            except DivergedError as error:
                outcome = {**NO_OUTCOME, "trouble": str(error)}  # which would be the same a second time
        if checkpoint is not None:  # other budgets of the run may go on meanwhile
            outcome = self.outcome(cell, checkpoint)
        cost, updates = self.cost(cell.objective), self.updates(cell)
        result = {
            "cell": cell.name,
            "objective": cell.objective,
            "settings": self.settings(cell),
            "budget": cell.budget,
            "seed": cell.seed,
            "lr": lr,
            "updates": updates,
            "tokens": round(updates * cost.rows * cost.tokens),
            "flops": cost.of_run(updates),
            "has_discriminator": cost.has_discriminator,
            **outcome,
            "device": self.machine.description,
            "seconds": round(time.monotonic() - start),  # of the last start, if the cell was interrupted
            "versions": versions(),
        }
        write_json(self.file(cell), result)
        if cell.seed == CHOICE_SEED:
            self.remove_runs_of(cell)
        return result

    def remove_runs_of(self, cell: Cell) -> None:
        """Remove the checkpoints of the runs that choose, when they serve nothing any more.

        Where rates of fine-tuning are chosen, those of all learning rates stay until then, and the best for
        longer: further rates may be tried.
        """
        if cell.lr is None:
            best = self.chosen_rate(cell.objective)
            rates = [lr for lr in self.plan.rates_for(cell.objective) if lr != best]
        else:
            rates = [] if self.plan.chooses_finetuning_rates else [cell.lr]
        for lr in rates:
            shutil.rmtree(self.run_folder(cell, lr), ignore_errors=True)

    def has_run(self, cell: Cell) -> bool:
        """Tell whether the run of a cell without a rate of its own is there, of whatever learning rate."""
        return any(self.run_folder(cell, lr).is_dir() for lr in self.plan.rates_for(cell.objective))

    def run_folder(self, cell: Cell, lr: float) -> Path:
        """Return the folder of the run that a cell is of, with its learning rate."""
        return self.output / RUNS / f"{cell.objective}-lr{lr:g}-seed{cell.seed}"

    def outcome(self, cell: Cell, checkpoint: Path) -> dict[str, Any]:
        """Return what a pre-trained cell reaches; one that chooses its learning rate fine-tunes nothing."""
        log = read_log(checkpoint.with_name("train.log"))
        valid = [each for each in log if each["subset"] == "valid"]
        outcome = {**NO_OUTCOME, "valid": valid[-1] if valid else {}}
        if cell.lr is not None:
            return outcome
        part = "discriminator" if self.cost(cell.objective).has_discriminator else "generator"
        if cell.seed == CHOICE_SEED:
            return {**outcome, **self.tuner.try_rates(cell, checkpoint, part)}
        rates = self.chosen_finetuning_rates(cell.objective)
        finetuning, predictions = self.tuner.tune(cell, checkpoint, part, rates)
        tuned = {"finetuning": finetuning, "predictions": predictions}
        if self.plan.finetuning_rates:
            tuned["finetuning_lr"] = rates
        return {**outcome, "blimp": self.probe(cell, checkpoint), **tuned}

    def keep_settings(self, cell: Cell, path: Path) -> None:
        """Write the settings of a run, or refuse a run that was begun with others."""
        settings = self.pretraining_settings(cell.objective)
        if path.is_file():
            check_same(path, read_json(path), settings)
        else:
            write_json(path, settings)

    def pretrain(self, cell: Cell, lr: float, folder: Path) -> Path:
        """Pre-train up to a cell's budget; returns the checkpoint.

        The constant part is shared by all budgets of an objective, a seed and a rate, and keeps a start for
        each of them that it passes; so they can be made in any order. An objective with another schedule has
        no such part, and a run of its own for each budget.
        """
        updates, branch = self.updates(cell), folder / f"{cell.budget:g}"
        common = [
            *pretraining_options(self.plan, cell.objective),
            *("--lr", f"{lr:g}", "--seed", str(cell.seed), "--save-interval-updates", str(SAVE_EVERY)),
            *("--keep-interval-updates", "1", "--log-interval", "100"),
            *self.machine.pretraining_options,
        ]
        ended, start = branch / "checkpoint_last.pt", branch / "start.pt"
        if has_own_schedule(self.plan, cell.objective):
            whole = [*common, "--max-update", str(updates), "--save-dir", str(branch)]
            self.train(cell, whole, branch / "train.log")
            return self.whole(cell, ended)
        _, decay = self.parts(cell)
        if not start.is_file():
            for each in self.up_to(cell):
                self.make_start(each, common, folder, needed=each == cell)
        falling = ["--start-decay", "--decay-updates", str(decay), "--continue-once", str(start)]
        self.train(cell, [*common, *falling, "--save-dir", str(branch)], branch / "train.log")
        return self.whole(cell, ended)

    def up_to(self, cell: Cell) -> list[Cell]:
        """Return the cells that share the run of a cell, in the order of their budgets, up to itself."""
        if cell.seed == CHOICE_SEED:
            return [cell]
        shared = [each for each in self.plan.cells() if each._replace(budget=cell.budget) == cell]
        return sorted((each for each in shared if each.budget <= cell.budget), key=lambda each: each.budget)

    def make_start(self, cell: Cell, common: Sequence[str], folder: Path, needed: bool) -> None:
        """Pre-train the constant part of a run up to where the decay of a cell starts, and keep that start.

        Args:
            cell: the cell.
            common: the options of the whole run.
            folder: that of the run.
            needed: refuse a run that is past that start and has not kept it, as of a plan without this cell.
        """
        start, trunk = folder / f"{cell.budget:g}" / "start.pt", folder / "constant"
        constant, _ = self.divided(cell)
        last = trunk / "checkpoint_last.pt"
        if start.is_file():
            return
        if not needed and (
            constant < self.least_constant or (last.is_file() and updates_in(last) > constant)
        ):
            return
        limits = ["--decay-updates", "0", "--max-update", str(constant), "--disable-validation"]
        self.train(cell, [*common, *limits, "--save-dir", str(trunk)], trunk / "train.log")
        start.parent.mkdir(exist_ok=True)
        partial = start.with_suffix(".partial")
        shutil.copyfile(last, partial)
        done = updates_in(partial)
        if done != constant:
            partial.unlink()
            raise InputError(
                f"{trunk} is at {done:,} updates, and {cell.name} needs it at {constant:,}: remove that"
                " folder, and it is made again"
            )
        partial.replace(start)

    def whole(self, cell: Cell, checkpoint: Path) -> Path:
        """Return the last checkpoint of a cell's pre-training.

        Raises:
            InputError: it has not made all updates, as when an option ended it.
        """
        done, updates = updates_in(checkpoint), self.updates(cell)
        if done != updates:
            raise InputError(
                f"{cell.name} ended after {done:,} updates, and its budget is {updates:,}; take the option"
                " that ended it out of the plan"
            )
        return checkpoint

    def train(self, cell: Cell, arguments: Sequence[str], log: Path) -> None:
        """Run ``fairseq-train``, which resumes from its own checkpoint if there is one."""
        log.parent.mkdir(parents=True, exist_ok=True)
        self.say(f"{cell.name}: fairseq-train {shlex.join(arguments)}")
        with contextlib.closing(follow(arguments, log)) as lines:
            for _ in lines:
                pass

    def probe(self, cell: Cell, checkpoint: Path) -> dict[str, dict[str, Any]]:
        """Score minimal pairs, by each score that the model has."""
        if self.plan.blimp is None:
            return {}
        from fairseq_electra.hub.interface import from_pretrained
        from fairseq_electra.probes import blimp
        from fairseq_electra.probes.pairs import read_pairs
        from fairseq_electra.probes.results import summary_of

        model = from_pretrained(checkpoint)
        model.to("cuda" if self.machine.kind == "cuda" else "cpu")
        paradigms = blimp.probe(model, read_pairs(self.plan.blimp, self.plan.pairs_at(cell.budget)))
        return {
            score: {**found, "points": {each.name: written(each.points[score]) for each in paradigms}}
            for score, found in summary_of(paradigms).items()
        }


def portable(words: Sequence[str]) -> tuple[str, str | None]:
    """Return options whose file of :data:`STARTS` may lie elsewhere on another machine, and its SHA-256."""
    start = value_of(STARTS, words)
    if start is None:
        return shlex.join(words), None
    return shlex.join(with_start(words, start, Path(start).name)), sha256_of(start)


def updates_in(checkpoint: Path) -> int:
    """Return the number of updates that a checkpoint has."""
    return read_checkpoint(checkpoint)["optimizer_history"][-1]["num_updates"]
