"""The stages of a speedrun in their order. Each is recorded once it is done."""

import contextlib
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fairseq_electra.electra.flops import encoder_flops
from fairseq_electra.electra.parameters import discriminator_parameters
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.results import RESULTS_FILE, versions
from fairseq_electra.pretraining.encode import encode_to_binary
from fairseq_electra.pretraining.prepare import SAMPLE, learn_vocabulary
from fairseq_electra.pretraining.recipes import TOKENS, networks
from fairseq_electra.pretraining.unknown import Unknown
from fairseq_electra.pretraining.wordpiece import draw_lines, load_wordpiece
from fairseq_electra.progress import Progress
from fairseq_electra.speedrun import glue, report
from fairseq_electra.speedrun.machine import bytes_needed, check_disk, this_machine
from fairseq_electra.speedrun.measuring import choose, measure
from fairseq_electra.speedrun.plan import MIN_UPDATES, Pace, Plan, make_plan
from fairseq_electra.speedrun.pretraining import clock_time, pretrain
from fairseq_electra.speedrun.published import training_flops
from fairseq_electra.speedrun.state import STATE_FILE, State, holds_speedrun
from fairseq_electra.speedrun.table import markdown
from fairseq_electra.speedrun.text import Text, survey, vocabulary_size

CHECKPOINT = "checkpoints/checkpoint_last.pt"


class Stages:
    """One speedrun.

    Args:
        folder: The folder for all output.
        settings: All settings that influence the results, as the command has read them.
        say: Called with each line of progress.

    Raises:
        InputError: The folder, the text, the GLUE data or the disk cannot be used.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], say: Callable[[str], None] = print):
        self.folder, self.settings, self.say = folder, settings, say
        self.seconds = 60 * settings["--minutes"]
        self.vocabulary, self.data = folder / "vocab", folder / "data-bin"
        self.machine = this_machine()
        self.sizes = (settings["--size"],) if settings["--size"] else self.machine.sizes

    def run(self) -> str:
        """Run the stages that are not done yet; returns the tables and the list of files in the folder."""
        text = None
        if not holds_speedrun(self.folder):  # errors in the input are reported before a folder is created
            self.say("1/6 text")
            text = self.check_input()
        with contextlib.closing(State(self.folder, self.settings)) as state:
            results = state.result("report") or self.run_stages(state, text)
        names = [
            name
            for name in (report.README, RESULTS_FILE, report.CARD, CHECKPOINT, report.EXPORTED)
            if (self.folder / name).exists()
        ]
        return f"\n{markdown(results)}\n\n{self.folder} holds {', '.join(names)}"

    def check_input(self) -> Text:
        """Read all input once, and check the free disk space."""
        if self.settings["--glue"]:
            glue.read_tasks(Path(self.settings["--glue"]), self.settings["--tasks"])
        text = survey(list(self.settings["TEXT"]))
        self.check_disk(text, self.sizes[0])
        return text

    def check_disk(self, text: Text, size: str) -> None:
        """Check that the disk has enough space for a model of this size."""
        processes = self.machine.processes if self.settings["--glue"] else 0
        num_tokens = vocabulary_size(text.characters, size)
        check_disk(self.folder, bytes_needed(*networks(size), num_tokens, text.characters, processes))

    def run_stages(self, state: State, surveyed: Text | None) -> dict[str, Any]:
        """Run all stages in order; returns the content of results.json."""
        text = Text(**state.stage("text", lambda: asdict(surveyed or self.check_input())))
        self.say(
            f"    {text.characters:,} characters in {text.documents:,} documents; held out:"
            f" {text.valid_characters:,} characters"
        )
        self.say("2/6 vocabulary and encoding")
        num_tokens = state.stage("vocabulary", lambda: self.learn_vocabulary(text))
        encoded = state.stage("encoding", lambda: self.encode(text))
        self.say(
            f"    {num_tokens:,} pieces; train has {encoded['train']:,} tokens, valid {encoded['valid']:,}"
        )
        self.say(f"3/6 measuring {self.machine.description}")
        chosen = state.stage("plan", lambda: self.choose_plan(text, num_tokens))
        plan, pace = Plan(**chosen["plan"]), Pace(**chosen["pace"])
        minutes = self.settings["--minutes"]
        self.say(
            f"4/6 pre-training electra_{plan.size} for {minutes:g} minutes: {plan.updates:,} updates "
            f"of {plan.rows} rows, {plan.tokens / 1e6:,.1f} M tokens, peak learning rate {plan.lr:g}; "
            "--minutes limits this stage alone"
        )
        trained = state.stage(
            "pretraining",
            lambda: pretrain(self.data, self.folder, plan, pace, self.seconds, self.machine, state, self.say),
        )
        study = None
        if self.settings["--glue"]:
            study = state.stage("finetuning", lambda: self.finetune(plan, pace, num_tokens, state))
        else:
            self.say("5/6 fine-tuning: skipped without --glue")
        self.say("6/6 export and report")
        # the device that made the plan, even if the run is finished on another one
        device = chosen.get("device", self.machine.description)
        results = self.results(device, num_tokens, encoded, trained, study)
        exported = state.stage("export", lambda: report.export(self.folder, results))
        for line in exported:
            self.say(f"    {line}")
        report.write(self.folder, results, exported)
        return state.stage("report", lambda: results)

    def learn_vocabulary(self, text: Text) -> int:
        """Train the vocabulary on the training text; returns its size."""
        share = SAMPLE * 1e6 / text.characters
        size = vocabulary_size(text.characters, self.sizes[0])
        with Progress() as progress:
            lines = progress.over(text.lines("train"), "    reading train", "lines")
            learned = learn_vocabulary(draw_lines(lines, share), self.vocabulary, size, progress=progress)
        for note in learned.notes:  # after the progress line of the terminal has ended
            self.say_indented(note)
        return learned.size

    def encode(self, text: Text) -> dict[str, int]:
        """Encode train and valid in fairseq's binary format; returns the number of tokens of each."""
        tokenizer, counts = load_wordpiece(self.vocabulary), {}
        for split in ("train", "valid"):
            unknown = Unknown()
            with Progress() as progress:
                lines = progress.over(text.lines(split), f"    encoding {split}", "lines")
                prefix = self.data / split
                counts[split] = encode_to_binary(tokenizer, lines, prefix, self.vocabulary, unknown)[1]
            self.say_indented(unknown.warning(split) or f"{split}: {unknown}")
        return counts

    def say_indented(self, line: str) -> None:
        """Print a line, indented below the title of its stage."""
        self.say(f"    {line}")

    def choose_plan(self, text: Text, num_tokens: int) -> dict[str, Any]:
        """Measure the machine, choose a model size, and plan the training."""
        start, log = time.monotonic(), self.folder / "measuring.log"
        parameters = {size: discriminator_parameters(networks(size)[0], num_tokens) for size in self.sizes}
        chosen = choose(
            parameters,
            self.settings["--batch-size"],
            self.seconds,
            lambda size, rows: measure(self.data, size, rows, self.machine, log),
            self.say,
        )
        plan = make_plan(chosen.size, chosen.rows, self.seconds, chosen.pace, self.settings["--lr"])
        if plan.updates < MIN_UPDATES:
            needed = (chosen.pace.start + chosen.pace.close + MIN_UPDATES * chosen.pace.update) / 60
            self.discard()
            raise InputError(
                f"--minutes {self.seconds / 60:g} leaves time for only {plan.updates} updates after a start "
                f"of {chosen.pace.start:.0f} s; give {1.5 * needed:.1f} or more; "
                "a useful model needs a few minutes"
            )
        self.check_disk(text, plan.size)
        self.say(f"    measured in {time.monotonic() - start:.0f} s")
        return {"plan": asdict(plan), "pace": asdict(chosen.pace), "device": self.machine.description}

    def discard(self) -> None:
        """Remove everything made before pre-training, so that another command line can use the folder."""
        for folder in (self.vocabulary, self.data):
            shutil.rmtree(folder)
        for name in ("measuring.log", STATE_FILE):
            (self.folder / name).unlink(missing_ok=True)

    def finetune(self, plan: Plan, pace: Pace, num_tokens: int, state: State) -> dict[str, Any]:
        """Prepare the tasks, print an estimate of the duration, and fine-tune."""
        tasks, seeds = self.settings["--tasks"], self.settings["--seeds"]
        destination = self.folder / "glue-bin"
        glue.prepare(Path(self.settings["--glue"]), tasks, self.vocabulary, destination, self.say_indented)
        folders = [destination / name for name in tasks]
        # pre-training trains both networks, fine-tuning the discriminator's encoder only
        pretraining_flops = training_flops(*networks(plan.size), num_tokens, TOKENS, 1)["products"]
        finetuning_flops = encoder_flops(networks(plan.size)[0]).of_step(TOKENS, TOKENS**2, 0)
        speed = plan.rows * TOKENS / pace.update * pretraining_flops / finetuning_flops
        seconds = glue.estimated_seconds(folders, plan.size, seeds, self.machine, speed)
        self.say(
            f"5/6 fine-tuning on {', '.join(tasks)} with {seeds} seeds: {len(tasks) * seeds} runs, about"
            f" {clock_time(seconds)}"
        )
        checkpoint = self.folder / CHECKPOINT
        return glue.finetune(
            checkpoint, folders, self.folder / "finetuning", plan.size, seeds, self.machine, state, self.say
        )

    def results(
        self,
        device: str,
        num_tokens: int,
        encoded: dict[str, int],
        trained: dict[str, Any],
        study: dict[str, Any] | None,
    ) -> dict[str, Any]:
        """Return the content of results.json."""
        plan = Plan(**trained["plan"])
        seconds = {"pretraining": trained["device_seconds"]}
        if study:
            seconds["finetuning"] = study["device_seconds"]
        return {
            **{name: getattr(plan, name) for name in ("size", "rows", "lr", "warmup", "updates")},
            "minutes": self.settings["--minutes"],
            "device": device,
            "vocabulary": num_tokens,
            "text_tokens": encoded,
            "tokens": trained["tokens"],
            "padded_tokens": TOKENS * trained["rows"],
            "parameters": discriminator_parameters(networks(plan.size)[0], num_tokens),
            "flops": training_flops(*networks(plan.size), num_tokens, TOKENS, trained["rows"]),
            "seconds": seconds,
            "valid": trained["valid"],
            "glue": study,
            "versions": versions(),
        }
