"""Fine-tunes the networks of a comparison, at the rates that were chosen or at all that can be chosen."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairseq_electra.comparison.plan import CHOICE_SEED, Cell, Plan
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.evaluation import VALID
from fairseq_electra.finetuning.kinds import evaluation_of
from fairseq_electra.finetuning.results import has_scores, run_name, scores_of_run
from fairseq_electra.finetuning.sentences.scores import SentenceEvaluation
from fairseq_electra.finetuning.trainable import trainable
from fairseq_electra.speedrun.machine import Machine

if TYPE_CHECKING:
    from fairseq_electra.finetuning.nets import Net
    from fairseq_electra.finetuning.study import Settings


class Tuner:
    """Fine-tunes the networks of a plan.

    Args:
        plan: the plan.
        machine: what trains.
        say: takes a line of progress.
    """

    def __init__(self, plan: Plan, machine: Machine, say: Callable[[str], None]):
        self.plan, self.machine, self.say = plan, machine, say

    def check(self, objective: str, output: Path) -> None:
        """Refuse tasks and options that cannot be used.

        Args:
            objective: its name in the plan.
            output: the folder of the comparison.

        Raises:
            InputError: such a task or option, or rates would be chosen on the examples that are reported.
        """
        from fairseq_electra.finetuning.nets import read_net
        from fairseq_electra.finetuning.study import check_arguments, check_extra

        settings = self.settings(objective)
        check_extra(settings.extra)
        net = read_net(f"{objective}=scratch:{self.plan.arch.removeprefix('electra_')}")
        tasks = {folder: trainable(folder) for folder in (*self.plan.tasks, *self.plan.finetuning_rates_on)}
        for task in tasks.values():
            check_arguments(settings.run(net, task, None, 1), output)
        for folders in (self.plan.tasks, self.plan.finetuning_rates_on):
            names = [tasks[folder].info.name for folder in folders]
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise InputError(
                    f"two folders were prepared as the task {twice}, and would share one place;"
                    " prepare one of them under another name"
                )
        reported = {tasks[folder].sha256 for folder in self.plan.tasks}
        for folder in self.plan.finetuning_rates_on:
            if tasks[folder].sha256 in reported:
                raise InputError(
                    f"finetuning_rates_on: {folder} has the examples that scores are reported on; prepare"
                    " the task with --hold-out 0.1 into another folder"
                )

    def tune(
        self, cell: Cell, checkpoint: Path, part: str, rates: Mapping[str, float | None]
    ) -> tuple[dict[str, dict[str, list[float]]], dict[str, list[str]]]:
        """Fine-tune on all tasks.

        Args:
            cell, checkpoint: what was pre-trained.
            part: the network to fine-tune, ``discriminator`` or ``generator``.
            rates: learning rates by task; None: that of the recipe.

        Returns:
            the scores on ``valid`` by task and metric, and the predictions there by task. Both have an entry
            for each seed whose training did not diverge.
        """
        from fairseq_electra.finetuning.study import study

        folder = checkpoint.parent / "finetuning"
        scores, predictions = {}, {}
        for task in self.plan.tasks:
            rate = rates[task.name]
            results = study(
                [net_of(cell, checkpoint, part)],
                [task],
                folder,
                self.settings(cell.objective),
                rates=() if rate is None else (rate,),
                seeds=self.plan.finetuning_seeds_on(task),
                threads=self.machine.threads,
                say=lambda line: self.say(f"{cell.name}: {line}"),
            )
            (line,) = results["summary"]
            metrics = line["metrics"].get("valid", {})
            scores[task.name] = {name: each["values"] for name, each in metrics.items()}
            runs = [folder / run_name(run) for run in results["runs"] if has_scores(run)]
            predictions[task.name] = predicted(task, runs)
        return scores, predictions

    def try_rates(self, cell: Cell, checkpoint: Path, part: str) -> dict[str, dict[str, Any]]:
        """Fine-tune at each rate that can be chosen; arguments as of :meth:`tune`.

        Returns:
            as ``choice`` the score on ``valid`` by task and rate, written as ``--lr`` takes it; None: it
            diverged. As ``constant`` the rates, by task, at which it predicts the same for all examples.
        """
        from fairseq_electra.finetuning.study import deciding_score, do_runs, first_runs

        nets, folder = [net_of(cell, checkpoint, part)], checkpoint.parent / "finetuning"
        settings, choice = self.settings(cell.objective), dict[str, dict[str, float | None]]()
        constant: dict[str, list[str]] = {}
        for task in self.plan.finetuning_rates_on:
            (runs,) = first_runs(
                nets, [task], settings, sorted(self.plan.finetuning_rates), CHOICE_SEED
            ).values()
            results = do_runs(
                runs,
                folder,
                processes=1,
                threads=self.machine.threads,
                keep=False,
                say=lambda line: self.say(f"{cell.name}: {line}"),
            )
            scores = {run.recipe.lr: deciding_score(results[run.name], run.task.info) for run in runs}
            choice[task.name] = {
                f"{lr:g}": None if score == -math.inf else score for lr, score in scores.items()
            }
            constant[task.name] = [
                f"{run.recipe.lr:g}" for run in runs if results[run.name]["trouble"] == "constant"
            ]
        return {"choice": choice, "constant": constant}

    def settings(self, objective: str) -> "Settings":
        """Return what is changed in the recipes."""
        from fairseq_electra.finetuning.study import Settings

        return Settings(extra=(*self.plan.finetuning_line(objective), *self.machine.options))


def net_of(cell: Cell, checkpoint: Path, part: str) -> "Net":
    """Return the network of a checkpoint that is fine-tuned; ``part`` as of :meth:`Tuner.tune`."""
    from fairseq_electra.finetuning.nets import read_net

    source = "generator:" if part == "generator" else ""
    return read_net(f"{cell.objective}={source}{checkpoint}")


def best_rate(scores: Mapping[str, float | None], cell: str, task: str) -> float:
    """Return the rate of fine-tuning with the best score.

    Raises:
        InputError: it diverged at all of them.
    """
    reached = {float(rate): score for rate, score in scores.items() if score is not None}
    if not reached:
        raise InputError(
            f"{cell}: fine-tuning on {task} diverged at every rate of the plan; give smaller ones"
        )
    return max(reached, key=lambda rate: reached[rate])


def predicted(task: Path, runs: Sequence[Path]) -> list[str]:
    """Return what each run predicts on ``valid``: numbers of classes, or numbers, with blanks between them.

    Args:
        task: the folder of the task.
        runs: folders of runs.

    Returns:
        nothing for tasks whose examples do not have one prediction each.
    """
    evaluation = evaluation_of(task)
    if not isinstance(evaluation, SentenceEvaluation):
        return []
    of_runs = [evaluation.predictions(scores_of_run(run)[VALID]) for run in runs]
    return [" ".join(f"{number:.9g}" for number in predictions.tolist()) for predictions in of_runs]
