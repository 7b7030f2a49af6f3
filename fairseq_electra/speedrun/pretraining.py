"""Pre-training in the time given: shows its progress, replans when the machine is faster or slower than measured, resumes after a kill."""

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

NOTE = "pretraining"
SAVED = re.compile(r"Saved checkpoint .* @ (\d+) updates")
LINES = 20  # of progress in a run
RECORDS = 100  # in its log
NEVER = "1000000"


def training_arguments(
    data: Path, save_dir: Path, plan: Plan, machine: Machine, tokens: int = TOKENS
) -> list[str]:
    """Write a plan as arguments of ``fairseq-train``.

    Args:
        data: folder of binarized text.
        save_dir: folder for the checkpoints.
        plan: what to train.
        machine: it runs on.
        tokens: of the longest row.
    """
    options = shlex.split(f"""
        --task electra_pretraining --arch electra_{plan.size} --criterion replaced_token_detection
        --tokens-per-sample {tokens} --batch-size {plan.rows}
        --optimizer electra_adam --lr {plan.lr:g} --clip-norm 1.0
        --lr-scheduler polynomial_decay --warmup-updates {plan.warmup} --total-num-update {plan.updates} --max-update {plan.updates}
        --save-interval-updates {plan.save_every} --keep-interval-updates 1 --no-epoch-checkpoints
        --save-interval {NEVER} --validate-interval {NEVER}
        --log-format json --log-interval {max(1, plan.updates // RECORDS)}
    """)
    return [str(data), "--save-dir", str(save_dir), *options, *machine.pretraining_options]


@dataclass
class Clock:
    """Time of a run.

    Args:
        spent: seconds of those given, up to the last checkpoint.
        device: seconds in all, those of starts after a kill too.
        updates: at the last checkpoint.
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
    """Train to the end of the plan, from the last checkpoint where there is one.

    Args:
        data: folder of binarized text.
        folder: of the speedrun; gets ``checkpoints`` and ``pretraining.log``.
        plan: what to train.
        pace: measured before.
        seconds: the training may take.
        machine: it runs on.
        state: of the speedrun; holds plan and clock of a run that was interrupted.
        say: takes lines of progress.

    Returns:
        ``plan``, ``device_seconds``, ``tokens`` without padding, and ``valid``, the last record of the validation set.

    Raises:
        InputError: fairseq-train failed.
    """
    noted, clock = state.noted(NOTE), Clock()
    if noted:
        plan, clock = Plan(**noted["plan"]), Clock(**noted["clock"])
        if clock.updates < plan.updates:
            say(f"    resuming after update {clock.updates:,} of {plan.updates:,}")
        clock.spent -= min(pace.start, clock.spent)  # the next start is not the plan's fault
    save_dir, log = folder / "checkpoints", folder / "pretraining.log"
    while clock.updates < plan.updates:
        arguments = training_arguments(data, save_dir, plan, machine)
        say("    " + shlex.join(["fairseq-train", *arguments, "--user-dir", "fairseq_electra"]))
        plan = Segment(plan, clock, pace, seconds, state, say).train(arguments, log)
    for path in [*save_dir.glob("checkpoint_*_*.pt"), save_dir / "checkpoint_best.pt"]:
        path.unlink(missing_ok=True)
    records = read_log(log)
    tokens = [record["wpb"] for record in records if record["subset"] == "train_inner" and "wpb" in record]
    valid = [record for record in records if record["subset"] == "valid"]
    return {
        "plan": asdict(plan),
        "device_seconds": round(clock.device, 1),
        "tokens": round(sum(tokens) / max(1, len(tokens)) * plan.updates),
        "valid": valid[-1] if valid else {},
    }


class Segment:
    """One run of ``fairseq-train``, from its start or a checkpoint on, until the plan is done or another one is better.

    Args:
        plan: what to train.
        clock: of all runs so far; is kept up to date.
        pace: measured before; its start is that of this run once it is known.
        seconds: all runs together may take.
        state: takes notes at each checkpoint.
        say: takes lines of progress.
    """

    def __init__(
        self, plan: Plan, clock: Clock, pace: Pace, seconds: float, state: State, say: Callable[[str], None]
    ):
        self.plan, self.clock, self.pace, self.seconds, self.state, self.say = (
            plan,
            clock,
            pace,
            seconds,
            state,
            say,
        )
        self.before = replace(clock)
        self.first: tuple[int, float] | None = None  # updates and seconds of the first record
        self.shown, self.fixed_auc = int(clock.updates / plan.updates * LINES), ""

    def train(self, arguments: list[str], log: Path) -> Plan:
        """Train; returns the plan to continue with, the same one if it is done."""
        now = 0.0
        with contextlib.closing(follow(arguments, log)) as lines:
            for now, line in lines:
                record, saved = read_record(line), SAVED.search(line)
                if record is not None:
                    self.show(record, now)
                if saved:
                    self.keep(int(saved[1]), now)
                    better = None if int(saved[1]) >= self.plan.updates else self.judge(now)
                    if better is not None:
                        self.plan = better
                        self.note()
                        return better
        self.keep(self.plan.updates, now)
        return self.plan

    def show(self, record: dict[str, Any], now: float) -> None:
        """Print a line of progress, or the figures of a validation."""
        done = int(record["num_updates"])
        if record["subset"] != "train_inner":
            self.fixed_auc = f"   fixed_auc {record['fixed_auc']:.3f}" if "fixed_auc" in record else ""
            self.say(f"    held-out text after {done:,} updates: {figures(record)}{self.fixed_auc}")
            return
        if self.first is None:
            self.first = done, now
            self.pace = replace(
                self.pace, start=max(0.0, now - (done - self.before.updates) * self.pace.update)
            )
        share = done / self.plan.updates
        if int(share * LINES) == self.shown:
            return
        self.shown = int(share * LINES)
        left = (self.plan.updates - done) * self.seconds_of_update(done, now)
        tokens = self.plan.rows * TOKENS * done / 1e6
        self.say(
            f"    {share:4.0%}   {tokens:,.1f} M tokens   {clock_time(left)} left   {record.get('wps', 0):,.0f} tokens/s   "
            f"{figures(record)}{self.fixed_auc}"
        )

    def seconds_of_update(self, done: int, now: float) -> float:
        """Return the seconds of an update of this run so far, its validations and checkpoints included."""
        if self.first is None or done <= self.first[0]:
            return self.pace.update
        return (now - self.first[1]) / (done - self.first[0])

    def keep(self, done: int, now: float) -> None:
        """Bring clock and notes up to a checkpoint."""
        self.clock.spent, self.clock.device, self.clock.updates = (
            self.before.spent + now,
            self.before.device + now,
            done,
        )
        self.note()

    def note(self) -> None:
        """Record how far this is."""
        self.state.note(NOTE, {"plan": asdict(self.plan), "clock": asdict(self.clock)})

    def judge(self, now: float) -> Plan | None:
        """Replan if this run would end too late or much too early."""
        pace = replace(self.pace, update=self.seconds_of_update(self.clock.updates, now))
        better = replan(self.plan, self.clock.updates, pace, self.clock.spent, self.seconds)
        if better is not None:
            self.say(
                f"    {1 / pace.update:.2f} updates/s instead of {1 / self.pace.update:.2f}: {better.updates:,} updates now end in time, "
                f"not {self.plan.updates:,}; restarting from the checkpoint"
            )
        return better


def figures(record: dict[str, Any]) -> str:
    """Write how good both networks are; a network that is not there has no figure."""
    found = (
        [f"masked-token accuracy {record['mask_token_accuracy']:.1f} %"]
        if "mask_token_accuracy" in record
        else []
    )
    return "   ".join([*found, *([f"disc_auc {record['disc_auc']:.3f}"] if "disc_auc" in record else [])])


def clock_time(seconds: float) -> str:
    """Write a span of time as minutes and seconds, or hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
