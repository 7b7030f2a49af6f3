"""``bash scripts/benchmark.sh fine_tuning NET GLUE``: compare fine-tuning here with transformers' Trainer.

NET is a transformers folder with a BERT or ELECTRA model. Both sides start from its weights and use the same
head (one linear layer on the mean over the row), batch size, learning rate and schedule, and Adam with bias
correction and without layer decay. They differ in the program and in the random numbers that a seed gives.
The comparison is of scores, not of time: of the means over several seeds, and of whether they differ by more
than twice the standard error. transformers' Trainer needs the package accelerate. Finished runs are kept in
--work, so that the same command line resumes.
"""

import argparse
import json
import math
import os
import statistics
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import torch

import fairseq_electra
from benchmark.report import new_parser, publish, read_arguments, run_logged
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.sentences.glue import GLUE, glue_task
from fairseq_electra.speedrun.machine import processor
from fairseq_electra.versions import installed_versions

TASKS = ("CoLA", "MRPC", "RTE", "STS-B")
SPLITS = ("train", "valid")
MAX_LENGTH, BATCH, WARMUP = 128, 32, 0.1
# options that make our recipe equal to what transformers' Trainer does
AS_TRAINER = (
    *("--pooling", "mean", "--layer-decay", "1.0", "--bias-correction", "on"),
    *("--adam-betas", "(0.9, 0.999)", "--adam-eps", "1e-6"),
)


def ours(args: argparse.Namespace, work: Path) -> dict[str, list[float]]:
    """Fine-tune with this package; returns the first metric of each task for every seed."""
    from fairseq_electra.finetuning.nets import read_net
    from fairseq_electra.finetuning.sentences.folder import write_task_folder
    from fairseq_electra.finetuning.study import Settings, study
    from fairseq_electra.interchange.import_transformers import import_transformers

    checkpoint = work / "imported" / "checkpoint.pt"
    if not checkpoint.is_file():
        import_transformers(args.net, checkpoint)
    folders = [work / "data" / task for task in args.tasks]
    for task, folder in zip(args.tasks, folders, strict=True):
        if not folder.is_dir():
            splits, info = glue_task(args.glue, task, MAX_LENGTH)
            write_task_folder(folder, checkpoint.parent, {split: splits[split] for split in SPLITS}, info)
    settings = Settings(epochs_of(args), BATCH, (*AS_TRAINER, *(["--autocast", "bf16"] if args.bf16 else [])))
    net, seeds = read_net(f"ours={checkpoint}"), range(1, args.seeds + 1)
    results = study(
        [net],
        folders,
        work / "ours",
        settings,
        rates=[args.lr],
        seeds=seeds,
        processes=args.processes,
        threads=args.threads,
    )
    return {
        line["task"]: line["metrics"]["valid"][GLUE[line["task"]].metrics[0]]["values"]
        for line in results["summary"]
    }


def theirs(args: argparse.Namespace, work: Path) -> dict[str, list[float]]:
    """Fine-tune with transformers' Trainer, each run in its own process; returns the same as :func:`ours`."""

    def score_of(run: tuple[str, int]) -> float:
        task, seed = run
        output = work / "trainer" / f"{task}-seed{seed}.json"
        output.parent.mkdir(parents=True, exist_ok=True)
        if not output.is_file():
            options = {"net": args.net, "glue": args.glue, "task": task, "output": output, "seed": seed}
            options |= {"lr": args.lr, "epochs": epochs_of(args)[task], "warmup": WARMUP}
            options |= {"batch-size": BATCH, "max-length": MAX_LENGTH}
            words = [f"--{name}={value}" for name, value in options.items()]
            words += ["--bf16"] if args.bf16 else []
            run_logged(["benchmark.fine_tuning_baseline", *words], output.with_suffix(".log"), args.threads)
            print(f"transformers' Trainer, {task}, seed {seed}: {output.read_text().strip()}", flush=True)
        return json.loads(output.read_text())[GLUE[task].metrics[0]]

    runs = [(task, seed) for task in args.tasks for seed in range(1, args.seeds + 1)]
    with ThreadPoolExecutor(args.processes) as pool:
        scores = list(pool.map(score_of, runs))
    return {task: scores[i * args.seeds : (i + 1) * args.seeds] for i, task in enumerate(args.tasks)}


def epochs_of(args: argparse.Namespace) -> dict[str, int]:
    """Return the epochs of each task, from ``--epochs N`` for all and ``TASK=N`` for single tasks."""
    from fairseq_electra.cli.finetune import read_epochs

    given = read_epochs(args.epochs)
    return {task: given.get(task, given.get("", 3)) for task in args.tasks}


def compared(ours: Sequence[float], theirs: Sequence[float]) -> dict:
    """Compare the means of two series of scores; ``standard_error`` is that of the difference."""
    error = math.sqrt(sum(statistics.variance(each) / len(each) for each in (ours, theirs)))
    difference = statistics.fmean(ours) - statistics.fmean(theirs)
    return {"ours": list(ours), "theirs": list(theirs), "difference": difference, "standard_error": error}


def markdown(report: dict) -> str:
    """Format the table of a report in Markdown."""
    count, settings = report["seeds"], report["settings"]
    heads = [f"{count} seeds, mean ± standard deviation, %", "fairseq_electra", "transformers' Trainer"]
    lines = [f"| {' | '.join([*heads, 'difference', 'twice its standard error'])} |", "|---|---|---|---|---|"]
    for task, found in report["tasks"].items():
        cells = [
            f"{statistics.fmean(found[side]):.1f} ± {statistics.stdev(found[side]):.1f}"
            for side in ("ours", "theirs")
        ]
        cells += [f"{found['difference']:+.1f}", f"{2 * found['standard_error']:.1f}"]
        lines.append(
            f"| {task}, {GLUE[task].metrics[0]}, {settings['epochs'][task]} epochs | {' | '.join(cells)} |"
        )
    precision = "bfloat16" if settings["bf16"] else "float32"
    lines += [
        "",
        (
            f"{report['net']}, batches of {BATCH}, learning rate {settings['lr']:g}, warm-up of {WARMUP:.0%},"
            f" linear decay, {precision}"
        ),
    ]
    lines.append(", ".join(f"{name} {version}" for name, version in report["versions"].items()))
    return "\n".join(lines)


def main() -> None:
    """Run the comparison."""
    parser = new_parser(__doc__, "fine_tuning.json")
    parser.add_argument("net", metavar="NET", help="transformers folder of the model to start from")
    parser.add_argument("glue", metavar="GLUE", help="folder of the GLUE data")
    parser.add_argument(
        "--tasks",
        nargs="+",
        choices=list(GLUE),
        metavar="TASK",
        default=TASKS,
        help=f"default: {', '.join(TASKS)}",
    )
    parser.add_argument(
        "--seeds", type=int, default=5, metavar="N", help="seeds 1 to N, two or more (default: %(default)s)"
    )
    parser.add_argument(
        "--lr", type=float, default=1e-4, help="learning rate of both sides (default: %(default)s)"
    )
    parser.add_argument(
        "--epochs",
        nargs="+",
        default=["3"],
        metavar="N",
        help="of both; TASK=N for one task alone (default 3)",
    )
    parser.add_argument("--bf16", action="store_true", help="both under autocast to bfloat16")
    parser.add_argument(
        "--processes",
        type=int,
        default=os.cpu_count(),
        metavar="N",
        help="runs at a time (default %(default)s)",
    )
    parser.add_argument("--threads", type=int, default=1, help="of a run (default %(default)s)")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("fine_tuning"),
        metavar="DIR",
        help="folder for the runs (default %(default)s)",
    )
    args = read_arguments(parser, markdown)
    if args.seeds < 2:
        raise InputError(f"--seeds {args.seeds}: a spread needs 2 or more")
    if find_spec("accelerate") is None:
        raise InputError(
            "transformers' Trainer needs accelerate, which is not installed; run: pip install accelerate"
        )
    fairseq_electra.register()
    torch.set_num_threads(args.threads)
    sides = ours(args, args.work), theirs(args, args.work)
    tasks = {task: compared(sides[0][task], sides[1][task]) for task in args.tasks}
    versions = installed_versions(("torch", "transformers", "accelerate"))
    report = {"net": Path(args.net).name, "processor": processor(), "versions": versions, "seeds": args.seeds}
    publish(
        report | {"settings": {"lr": args.lr, "epochs": epochs_of(args), "bf16": args.bf16}, "tasks": tasks},
        args.output,
        markdown,
    )


if __name__ == "__main__":
    main()
