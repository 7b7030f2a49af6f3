"""The plan of a comparison: what a YAML file may say, and the cells that follow from it."""

import math
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from fairseq_electra.errors import InputError
from fairseq_electra.originals import value_of

# options of fairseq-train that the entries of a plan decide, that would change what an update costs or which
# text is read, end a run before its budget is used, begin it with weights that another one has learnt, or
# leave it without the figures and checkpoints that a cell is made of
SET_BY_PLAN = (
    *("--checkpoint-suffix", "--disable-validation", "--log-format", "--no-last-checkpoints", "--no-save"),
    *("--no-save-optimizer-state", "--required-batch-size-multiple", "--validate-after-updates"),
    "--warmup-updates",
    *("--finetune-from-model", "--train-subset", "--valid-subset"),
    *("--reset-dataloader", "--reset-lr-scheduler", "--reset-meters", "--reset-optimizer"),
    *("-a", "--arch", "--batch-size", "--continue-once", "--criterion", "--decay-updates", "--lr"),
    *(
        "--max-epoch",
        "--max-sentences",
        "--max-tokens",
        "--max-update",
        "--patience",
        "--restore-file",
        "--save-dir",
        "--seed",
    ),
    *("--start-decay", "--stop-min-lr", "--stop-time-hours", "--task", "--update-freq", "--user-dir"),
)
STARTS = "--generator-from"  # what another run has learnt
CHOICE_SEED = 0  # of the runs that choose a learning rate; they are not reported


class Cell(NamedTuple):
    """One pre-training with its fine-tunings.

    Args:
        objective: its name in the plan.
        budget: the FLOPs to use, as tokens that the plan's first objective reads with them.
        seed: the random seed of the pre-training.
        lr: the learning rate; None: the one that was chosen for the objective.
    """

    objective: str
    budget: float
    seed: int
    lr: float | None = None

    @property
    def name(self) -> str:
        """The name of its file, without the ending; ``--cell`` takes it."""
        rate = "" if self.lr is None else f"-lr{self.lr:g}"
        return f"{self.objective}-{self.budget:g}{rate}-seed{self.seed}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is compared.

    Args:
        data: the folder of binarized text, with ``train`` and ``valid``.
        arch: the size, such as ``electra_tiny``.
        objectives: options of ``fairseq-train`` for each objective by name; the first is the reference.
        compared_with: by name, of objectives whose differences are taken from another one than the reference.
        budgets: FLOPs to compare at, as tokens (padding left out) that the reference reads with them.
        only: budgets of objectives that are not compared at all of them.
        seeds: seeds of the pre-trainings.
        seeds_of: of objectives that have others, by name.
        rates: peak learning rates to choose from, for each objective; one: no choice.
        rates_of: of objectives that have others, by name.
        rates_at: the budget that they are chosen at; None: the smallest of ``budgets``.
        batch_size: rows of an update.
        tokens_per_sample: longest row in tokens.
        warmup_updates: updates in which the learning rate rises.
        flops_before: FLOPs that an objective has used before its run, as for the generator of
            ``--generator-from``, by name; the run uses what its budget leaves.
        decay: share of a budget in which the learning rate falls to 0; before it, all budgets share a run.
        options: further options of ``fairseq-train`` for all pre-trainings.
        tasks: folders of the tasks to fine-tune on, as ``fairseq-electra prepare`` makes them.
        finetuning_seeds: number of fine-tunings of each task.
        finetuning_seeds_of: of tasks that have another number, by name.
        finetuning_rates: learning rates of fine-tuning to choose from, for each objective and task; one: no
            choice; empty: those of the recipes.
        finetuning_rates_on: folders of the same tasks whose ``valid`` is held out of the training examples:
            there the rates are chosen.
        finetuning_options: further options of ``fairseq-train`` for all fine-tunings.
        finetuning_options_of: of objectives that have more of them, by name.
        blimp: the file of minimal pairs to score without fine-tuning; None: they are not scored.
        blimp_pairs: number of pairs of each paradigm.
        blimp_pairs_at: of budgets that have another number.
    """

    data: Path
    arch: str
    objectives: dict[str, tuple[str, ...]]
    budgets: tuple[float, ...]
    seeds: tuple[int, ...]
    rates: tuple[float, ...]
    batch_size: int
    compared_with: dict[str, str] = field(default_factory=dict)
    only: dict[str, tuple[float, ...]] = field(default_factory=dict)
    seeds_of: dict[str, tuple[int, ...]] = field(default_factory=dict)
    rates_of: dict[str, tuple[float, ...]] = field(default_factory=dict)
    rates_at: float | None = None
    tokens_per_sample: int = 128
    warmup_updates: int = 500
    flops_before: dict[str, float] = field(default_factory=dict)
    decay: float = 0.2
    options: tuple[str, ...] = ()
    tasks: tuple[Path, ...] = ()
    finetuning_seeds: int = 3
    finetuning_seeds_of: dict[str, int] = field(default_factory=dict)
    finetuning_rates: tuple[float, ...] = ()
    finetuning_rates_on: tuple[Path, ...] = ()
    finetuning_options: tuple[str, ...] = ()
    finetuning_options_of: dict[str, tuple[str, ...]] = field(default_factory=dict)
    blimp: Path | None = None
    blimp_pairs: int = 100
    blimp_pairs_at: dict[float, int] = field(default_factory=dict)

    @property
    def reference(self) -> str:
        """The objective that budgets are counted in, and that the others are compared with."""
        return next(iter(self.objectives))

    @property
    def choice_budget(self) -> float:
        """The budget that learning rates are chosen at."""
        return self.rates_at or min(self.budgets)

    def finetuning_seeds_on(self, task: Path) -> range:
        """Return the seeds of the fine-tunings on a task's folder."""
        return range(1, self.finetuning_seeds_of.get(task.name, self.finetuning_seeds) + 1)

    def pairs_at(self, budget: float) -> int | None:
        """Return the number of minimal pairs of each paradigm; None: they are not scored."""
        return None if self.blimp is None else self.blimp_pairs_at.get(budget, self.blimp_pairs)

    def finetuning_line(self, objective: str) -> tuple[str, ...]:
        """Return the further options of ``fairseq-train`` for the fine-tunings of an objective."""
        return (*self.finetuning_options, *self.finetuning_options_of.get(objective, ()))

    def rates_for(self, objective: str) -> list[float]:
        """Return the learning rates that an objective chooses from, in their order."""
        return sorted(self.rates_of.get(objective, self.rates))

    @property
    def chooses_finetuning_rates(self) -> bool:
        """Whether rates of fine-tuning are chosen."""
        return len(self.finetuning_rates) > 1 and bool(self.tasks)

    def choosing_cells(self) -> list[Cell]:
        """Return the runs that choose the learning rate of each objective that has several."""
        return [
            Cell(objective, self.choice_budget, CHOICE_SEED, lr)
            for objective in self.objectives
            for lr in self.rates_for(objective)
            if len(self.rates_for(objective)) > 1
        ]

    def tuning_cells(self) -> list[Cell]:
        """Return the runs that choose the rates of fine-tuning; none if there is no choice.

        Each is the best of the runs that chose the learning rate, fine-tuned at every rate.
        """
        if not self.chooses_finetuning_rates:
            return []
        return [self.tuning_cell(objective) for objective in self.objectives]

    def tuning_cell(self, objective: str) -> Cell:
        """Return the run that chooses the rates of fine-tuning of an objective."""
        return Cell(objective, self.choice_budget, CHOICE_SEED)

    def cells(self) -> Iterator[Cell]:
        """Yield the cells that are reported: all objectives of a budget and a seed before the next."""
        seeds = dict.fromkeys([*self.seeds, *(seed for each in self.seeds_of.values() for seed in each)])
        for budget in sorted(self.budgets):
            for seed in seeds:
                for objective in self.objectives:
                    has_budget = budget in self.only.get(objective, self.budgets)
                    if has_budget and seed in self.seeds_of.get(objective, self.seeds):
                        yield Cell(objective, budget, seed)

    def all_cells(self) -> list[Cell]:
        """Return all cells, in the order in which they can be made."""
        return [*self.choosing_cells(), *self.tuning_cells(), *self.cells()]

    def cell(self, name: str) -> Cell:
        """Look a cell up by its name.

        Raises:
            InputError: the plan has no such cell.
        """
        known = {cell.name: cell for cell in self.all_cells()}
        if name not in known:
            raise InputError(f"the plan has no cell {name}; it has {', '.join(known)}")
        return known[name]


def read_plan(path: Path) -> Plan:
    """Read a plan; paths in it are relative to its folder.

    Raises:
        InputError: the file cannot be read, has an entry that is unknown, missing, or makes no sense.
    """
    try:
        given: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except RecursionError as error:
        raise InputError(f"cannot read the plan {path}: entries are in each other without end") from error
    except (OSError, UnicodeDecodeError, YAMLError, OmegaConfBaseException) as error:
        raise InputError(f"cannot read the plan {path}: {' '.join(str(error).split())}") from error
    if not isinstance(given, dict):
        raise InputError(f"{path}: a plan has lines such as 'arch: electra_tiny'")
    known = {each.name: each for each in fields(Plan)}
    for name in given:
        if name not in known:
            raise InputError(f"{path}: unknown entry {name!r}; a plan may have {', '.join(known)}")
    for name, each in known.items():
        if each.default is MISSING and each.default_factory is MISSING and name not in given:
            raise InputError(f"{path}: the entry {name} is missing")
    values: dict[str, Any] = {name: _READERS[name](name, value, path) for name, value in given.items()}
    plan = Plan(**values)
    if not 0 < plan.decay < 1:
        raise InputError(f"{path}: decay is a share of the run between 0 and 1, got {plan.decay:g}")
    for objective, budgets in plan.only.items():
        if objective not in plan.objectives or not set(budgets) <= set(plan.budgets):
            raise InputError(
                f"{path}: only: {objective} must be one of objectives, and its values must be in budgets"
            )
    for name, words in {"options": plan.options, **plan.objectives}.items():
        for word in words:
            if taken := set_by_plan(word):
                raise InputError(
                    f"{path}: {name}: {word}: the plan decides {taken} for all runs; take it out, and see the"
                    f" other entries of a plan: {', '.join(known)}"
                )
            if word.partition("=")[0] == "--languages":
                raise InputError(f"{path}: {name}: --languages: a plan compares on one text, that of data")
    objectives = {name: found(words, path) for name, words in plan.objectives.items()}
    plan = replace(plan, objectives=objectives, options=found(plan.options, path))
    check_starts(plan, path)
    tasks = [folder.name for folder in plan.tasks]
    if len(set(tasks)) < len(tasks):
        raise InputError(
            f"{path}: tasks: two folders have the same name, by which scores are kept: {', '.join(tasks)}"
        )
    for task in plan.finetuning_seeds_of:
        if task not in tasks:
            raise InputError(f"{path}: finetuning_seeds_of: {task} is none of the tasks: {', '.join(tasks)}")
    for budget in plan.blimp_pairs_at:
        if budget not in plan.budgets:
            raise InputError(f"{path}: blimp_pairs_at: {budget:g} is none of the budgets")
    for entry in ("finetuning_options_of", "rates_of", "seeds_of"):
        for objective in getattr(plan, entry):
            if objective not in plan.objectives:
                raise InputError(f"{path}: {entry}: {objective} must be one of objectives")
    for objective, other in plan.compared_with.items():
        if not {objective, other} <= set(plan.objectives) or objective in (other, plan.reference):
            raise InputError(
                f"{path}: compared_with: {objective}: {other}: both must be of objectives, and the first of"
                " these is compared with none"
            )
    held_out = [folder.name for folder in plan.finetuning_rates_on]
    for rate in plan.finetuning_rates:
        if float(f"{rate:g}") != rate:
            raise InputError(f"{path}: finetuning_rates: {rate!r}: give a rate of at most six digits")
    if sorted(held_out) != (sorted(tasks) if plan.chooses_finetuning_rates else []):
        raise InputError(
            f"{path}: finetuning_rates_on has a folder for each of tasks, with their names, if"
            f" finetuning_rates has several, and else is left out; got {', '.join(held_out) or 'none'}"
        )
    cells = [cell.name for cell in plan.all_cells()]
    if twice := next((name for name in cells if cells.count(name) > 1), None):
        raise InputError(
            f"{path}: two cells would have the name {twice}; give budgets and rates that differ in their"
            " first six digits"
        )
    if any(CHOICE_SEED in seeds for seeds in (plan.seeds, *plan.seeds_of.values())):
        raise InputError(f"{path}: seed {CHOICE_SEED} chooses the learning rates; take others for seeds")
    return plan


def found(words: Sequence[str], path: Path) -> tuple[str, ...]:
    """Return options whose file of :data:`STARTS` is relative to the plan's folder, as all its paths are."""
    start = value_of(STARTS, words)
    if start is None:
        return tuple(words)
    file = _file(STARTS, start, path)
    return with_start(words, start, str(file))


def with_start(words: Sequence[str], start: str, other: str) -> tuple[str, ...]:
    """Return options with another file behind :data:`STARTS`."""
    changed = {start: other, f"{STARTS}={start}": f"{STARTS}={other}"}
    return tuple(changed.get(word, word) for word in words)


def check_starts(plan: Plan, path: Path) -> None:
    """Refuse an objective that begins with what another run has learnt, and does not say at which cost."""
    for objective, words in plan.objectives.items():
        starts = value_of(STARTS, [*plan.options, *words])
        if starts is not None and objective not in plan.flops_before:
            raise InputError(
                f"{path}: objectives: {objective}: {STARTS} {starts} has learnt in a run of its own; say how"
                f" many FLOPs it used, as flops_before: {{{objective}: FLOPS}}, or 0 to leave them out"
            )
    for objective in plan.flops_before:
        if objective not in plan.objectives:
            raise InputError(f"{path}: flops_before: {objective} must be one of objectives")


def set_by_plan(word: str) -> str | None:
    """Return the option of :data:`SET_BY_PLAN` that a word of a command line is, or abbreviates."""
    given = word.partition("=")[0]
    if given in SET_BY_PLAN:
        return given
    return next((name for name in SET_BY_PLAN if len(given) > 4 and name.startswith(given)), None)


def _text(name: str, value: Any, path: Path) -> str:
    if not isinstance(value, str):
        raise InputError(f"{path}: {name} is a text, got {value!r}")
    return value


def _number(name: str, value: Any, path: Path) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0 < number < math.inf:
        raise InputError(f"{path}: {name} is a number above 0, got {value!r}")
    return number


def _whole(name: str, value: Any, path: Path) -> int:
    number = 0.0 if value == 0 and value is not False else _number(name, value, path)
    if number != int(number):
        raise InputError(f"{path}: {name} is a whole number, got {value!r}")
    return int(number)


def _seed(name: str, value: Any, path: Path) -> int:
    seed = _whole(name, value, path)
    if seed >= 1 << 32:  # numpy's limit
        raise InputError(f"{path}: {name} are whole numbers below 2^32, got {value!r}")
    return seed


def _positive(name: str, value: Any, path: Path) -> int:
    number = _whole(name, value, path)
    if number < 1:
        raise InputError(f"{path}: {name} must be 1 or more, got {value!r}")
    return number


def _options(name: str, value: Any, path: Path) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(_text(name, "" if value is None else value, path)))
    except ValueError as error:
        raise InputError(f"{path}: {name}: {error}: {value!r}") from error


def _several(name: str, value: Any, path: Path, read: Callable[[str, Any, Path], Any]) -> tuple:
    values = tuple(read(name, each, path) for each in (value if isinstance(value, list) else [value]))
    if not values or len(set(values)) < len(values):
        raise InputError(f"{path}: {name} must be a list of different values, got {value!r}")
    return values


def _folder(name: str, value: Any, path: Path) -> Path:
    folder = path.parent / _text(name, value, path)
    if not folder.is_dir():
        raise InputError(f"{path}: {name}: there is no folder {folder}")
    return folder.absolute()


def _file(name: str, value: Any, path: Path) -> Path:
    file = path.parent / _text(name, value, path)
    if not file.is_file():
        raise InputError(f"{path}: {name}: there is no file {file}")
    return file.absolute()


def _objectives(name: str, value: Any, path: Path) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict) or not value:
        raise InputError(f"{path}: {name} has lines NAME: OPTIONS, such as mlm: --objective mlm")
    for each in value:
        if (
            not isinstance(each, str)
            or each[:1] == "-"
            or not each.replace("_", "").replace("-", "").isalnum()
        ):
            raise InputError(
                f"{path}: the name of an objective has letters, digits, - and _, and does not begin with -,"
                f" got {each!r}"
            )
    return {each: _options(f"{name}: {each}", options, path) for each, options in value.items()}


def _several_of(name: str, value: Any, path: Path, read: Callable[[str, Any, Path], Any]) -> dict[str, tuple]:
    if not isinstance(value, dict):
        raise InputError(f"{path}: {name} has lines OBJECTIVE: [VALUES], got {value!r}")
    return {each: _several(f"{name}: {each}", values, path, read) for each, values in value.items()}


def _amounts_of(name: str, value: Any, path: Path) -> dict[str, float]:
    if not isinstance(value, dict):
        raise InputError(f"{path}: {name} has lines OBJECTIVE: NUMBER, got {value!r}")
    return {
        each: 0.0 if amount == 0 and amount is not False else _number(f"{name}: {each}", amount, path)
        for each, amount in value.items()
    }


def _names_of(name: str, value: Any, path: Path) -> dict[str, str]:
    if not isinstance(value, dict):
        raise InputError(f"{path}: {name} has lines OBJECTIVE: OTHER, got {value!r}")
    return {each: _text(f"{name}: {each}", other, path) for each, other in value.items()}


def _numbers_of(name: str, value: Any, path: Path, key: Callable[[str, Any, Path], Any]) -> dict[Any, int]:
    if not isinstance(value, dict):
        raise InputError(f"{path}: {name} has lines NAME: NUMBER, got {value!r}")
    return {
        key(name, each, path): _positive(f"{name}: {each}", number, path) for each, number in value.items()
    }


_READERS: dict[str, Callable[[str, Any, Path], Any]] = {
    "data": _folder,
    "arch": _text,
    "objectives": _objectives,
    "compared_with": _names_of,
    "budgets": partial(_several, read=_number),
    "only": partial(_several_of, read=_number),
    "seeds": partial(_several, read=_seed),
    "seeds_of": partial(_several_of, read=_seed),
    "rates": partial(_several, read=_number),
    "rates_of": partial(_several_of, read=_number),
    "rates_at": _number,
    "batch_size": _positive,
    "tokens_per_sample": _positive,
    "warmup_updates": _whole,
    "flops_before": _amounts_of,
    "decay": _number,
    "options": _options,
    "tasks": partial(_several, read=_folder),
    "finetuning_seeds": _positive,
    "finetuning_seeds_of": partial(_numbers_of, key=_text),
    "finetuning_rates": partial(_several, read=_number),
    "finetuning_rates_on": partial(_several, read=_folder),
    "finetuning_options": _options,
    "finetuning_options_of": _objectives,
    "blimp": _file,
    "blimp_pairs": _positive,
    "blimp_pairs_at": partial(_numbers_of, key=_number),
}
