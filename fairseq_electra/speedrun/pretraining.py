"""Pre-training within a time limit: shows progress, adapts its plan to the pace, resumes after a kill."""

import contextlib
import re
import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fairseq_electra.pretraining.log import read_log, read_record
from fairseq_electra.pretraining.recipes import TOKENS
from fairseq_electra.speedrun.machine import Machine
from fairseq_electra.speedrun.one_run import follow
from fairseq_electra.speedrun.plan import Pace, Plan, replan
from fairseq_electra.speedrun.state import State

NOTE = "pretraining"  # name of the progress note in state.json
SAVED = re.compile(r"Saved checkpoint .* @ (\d+) updates")
PROGRESS_LINES = 20  # lines of progress in a run
LOG_RECORDS = 100  # records in the log of a run
NEVER = "1000000"


def training_arguments(
    data: Path, save_dir: Path, plan: Plan, machine: Machine, tokens: int = TOKENS
) -> list[str]:
    """Return the arguments of ``fairseq-train`` that carry out a plan.

    Args:
        data: The folder of binarized text.
        save_dir: The folder for the checkpoints.
        plan: The plan of the run.
        machine: The machine that the run uses.
        tokens: The maximum length of a row in tokens.
    """
    options = shlex.split(f"""
        --task electra_pretraining --arch electra_{plan.size} --criterion replaced_token_detection
        --tokens-per-sample {tokens} --batch-size {plan.rows}
        --optimizer electra_adam --lr {plan.lr:g} --clip-norm 1.0
        --lr-scheduler polynomial_decay --warmup-updates {plan.warmup}
        --total-num-update {plan.updates} --max-update {plan.updates}
        --save-interval-updates {plan.save_every} --keep-interval-updates 1 --no-epoch-checkpoints
        --save-interval {NEVER} --validate-interval {NEVER}
        --log-format json --log-interval {max(1, plan.updates // LOG_RECORDS)}
    """)
    return [str(data), "--save-dir", str(save_dir), *options, *machine.pretraining_options]


@dataclass
class Clock:
    """The time that a pre-training has taken up to its last checkpoint.

    Args:
        spent: The seconds that count against the time limit.
        device: All seconds, including those of starting again after a kill; what a kill has lost is in none.
        updates: The number of updates at the last checkpoint.
    """

    spent: float = 0.0
    device: float = 0.0
    updates: int = 0


def pretrain(
    data: Path,
    folder: Path,
    plan: Plan,
    pace: Pace,
    seconds: float,
    machine: Machine,
    state: State,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Train to the end of the plan, resuming from the last checkpoint if there is one.

    Args:
        data: The folder of binarized text.
        folder: The folder of the speedrun, which gets ``checkpoints`` and ``pretraining.log``.
        plan: The plan of the run.
        pace: The measured pace.
        seconds: The time limit of the training.
        machine: The machine that the run uses.
        state: The record of the speedrun. It keeps the plan and the clock of an interrupted run.
        say: Called with each line of progress.

    Returns:
        ``plan``; ``device_seconds``; ``tokens``, the number of tokens without padding; and ``valid``, the
        last record of the validation set.

    Raises:
        InputError: ``fairseq-train`` failed.
    """
    note, clock = state.last_note(NOTE), Clock()
    if note:
        plan, clock = Plan(**note["plan"]), Clock(**note["clock"])
        if clock.updates < plan.updates:
            say(f"    resuming after update {clock.updates:,} of {plan.updates:,}")
        clock.spent -= min(pace.start, clock.spent)  # the restart does not count against the time limit
    save_dir, log = folder / "checkpoints", folder / "pretraining.log"
    while clock.updates < plan.updates:
        arguments = training_arguments(data, save_dir, plan, machine)
        say("    " + shlex.join(["fairseq-train", *arguments, "--user-dir", "fairseq_electra"]))
        plan = TrainingRun(plan, clock, pace, seconds, state, say).train(arguments, log)
    for path in [*save_dir.glob("checkpoint_*_*.pt"), save_dir / "checkpoint_best.pt"]:
        path.unlink(missing_ok=True)
    records = read_log(log)
    batches = [record for record in records if record["subset"] == "train_inner" and "wpb" in record]
    valid = [record for record in records if record["subset"] == "valid"]
    return {
        "plan": asdict(plan),
        "device_seconds": round(clock.device, 1),
        **{
            name: round(sum(record[key] for record in batches) / max(1, len(batches)) * plan.updates)
            for name, key in (("tokens", "wpb"), ("rows", "bsz"))  # an epoch's last batch has fewer
        },
        "valid": valid[-1] if valid else {},
    }


class TrainingRun:
    """One run of ``fairseq-train``, from its start or a checkpoint until the plan is done or changed.

    Args:
        plan: The plan of the run.
        clock: The clock of all runs so far. It is updated at each checkpoint.
        pace: The measured pace. Its ``start`` is replaced by that of this run once it is known.
        seconds: The time limit of all runs together.
        state: The record of the speedrun. It gets a note at each checkpoint.
        say: Called with each line of progress.
    """

    def __init__(
        self, plan: Plan, clock: Clock, pace: Pace, seconds: float, state: State, say: Callable[[str], None]
    ):
        self.plan, self.clock, self.pace = plan, clock, pace
        self.seconds, self.state, self.say = seconds, state, say
        self.clock_at_start = replace(clock)
        self.first: tuple[int, float] | None = None  # update number and seconds of the first record
        self.lines_shown, self.fixed_auc = int(clock.updates / plan.updates * PROGRESS_LINES), ""

    def train(self, arguments: list[str], log: Path) -> Plan:
        """Train; returns the same plan if it is done, else a changed plan with which to continue."""
        now = 0.0
        with contextlib.closing(follow(arguments, log)) as lines:
            for now, line in lines:
                record, saved = read_record(line), SAVED.search(line)
                if record is not None:
                    self.show(record, now)
                if saved:
                    self.update_clock(int(saved[1]), now)
                    changed = None if int(saved[1]) >= self.plan.updates else self.changed_plan(now)
                    if changed is not None:
                        self.plan = changed
                        self.note()
                        return changed
        self.update_clock(self.plan.updates, now)
        return self.plan

    def show(self, record: dict[str, Any], now: float) -> None:
        """Print a line of progress or the results of a validation."""
        done = int(record["num_updates"])
        if record["subset"] != "train_inner":
            self.fixed_auc = f"   fixed_auc {record['fixed_auc']:.3f}" if "fixed_auc" in record else ""
            self.say(f"    held-out text after {done:,} updates: {figures(record)}{self.fixed_auc}")
            return
        if self.first is None:
            self.first = done, now
            updates = done - self.clock_at_start.updates
            self.pace = replace(self.pace, start=max(0.0, now - updates * self.pace.update))
        share = done / self.plan.updates
        if int(share * PROGRESS_LINES) == self.lines_shown:
            return
        self.lines_shown = int(share * PROGRESS_LINES)
        left = (self.plan.updates - done) * self.seconds_of_update(done, now)
        tokens = self.plan.rows * TOKENS * done / 1e6
        self.say(
            f"    {share:4.0%}   {tokens:,.1f} M tokens   {clock_time(left)} left   "
            f"{record.get('wps', 0):,.0f} tokens/s   {figures(record)}{self.fixed_auc}"
        )

    def seconds_of_update(self, done: int, now: float) -> float:
        """Return the average seconds of an update of this run, including validations and checkpoints."""
        if self.first is None or done <= self.first[0]:
            return self.pace.update
        return (now - self.first[1]) / (done - self.first[0])

    def update_clock(self, done: int, now: float) -> None:
        """Update the clock at a checkpoint, and record it."""
        self.clock.spent = self.clock_at_start.spent + now
        self.clock.device = self.clock_at_start.device + now
        self.clock.updates = done
        self.note()

    def note(self) -> None:
        """Record the plan and the clock."""
        self.state.note(NOTE, {"plan": asdict(self.plan), "clock": asdict(self.clock)})

    def changed_plan(self, now: float) -> Plan | None:
        """Return a changed plan if this run would end too late or much too early, else None."""
        pace = replace(self.pace, update=self.seconds_of_update(self.clock.updates, now))
        changed = replan(self.plan, self.clock.updates, pace, self.clock.spent, self.seconds)
        if changed is not None:
            self.say(
                f"    {1 / pace.update:.2f} updates/s instead of {1 / self.pace.update:.2f}: planning "
                f"{changed.updates:,} updates instead of {self.plan.updates:,}; "
                "restarting from the checkpoint"
            )
        return changed


def figures(record: dict[str, Any]) -> str:
    """Format the generator's accuracy and the discriminator's AUC, as far as the record has them."""
    parts = []
    if "mask_token_accuracy" in record:
        parts.append(f"masked-token accuracy {record['mask_token_accuracy']:.1f} %")
    if "disc_auc" in record:
        parts.append(f"disc_auc {record['disc_auc']:.3f}")
    return "   ".join(parts)


def clock_time(seconds: float) -> str:
    """Format a duration as ``minutes:seconds`` or ``hours:minutes:seconds``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
