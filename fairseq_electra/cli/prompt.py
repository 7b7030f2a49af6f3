"""Let a pre-trained model choose labels by prompts: which verbalizer looks original?

Each example stands in a template such as "{text} It was {label}.", once with the verbalizer of each label.
The score "discriminator" is the mean logit of p(original) over the verbalizer's tokens, "generator" the mean
of the log-probabilities of these tokens while they are masked. The highest score is the prediction.

    fairseq-electra prompt checkpoints tasks/SST-2
    fairseq-electra prompt checkpoints tasks/SST-2 --shots 16 --output prompt.json
"""

import argparse
from pathlib import Path

from fairseq_electra.cli._probing import (
    add_checkpoint,
    add_probing_arguments,
    check_probing_arguments,
    load,
    write_results,
)
from fairseq_electra.errors import InputError
from fairseq_electra.paths import require

SEEDS, RATE, UPDATES = 5, 1e-4, 100  # of the fine-tuning on a few examples


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_checkpoint(parser)
    parser.add_argument(
        "task", type=Path, metavar="TASK", help="folder of a task with classes, from fairseq-electra prepare"
    )
    parser.add_argument(
        "--template",
        type=Path,
        metavar="FILE",
        help="YAML file with the entries template and verbalizers (default: the package's own for the task)",
    )
    parser.add_argument("--split", default="valid", help="split to score (default: %(default)s)")
    parser.add_argument(
        "--shots", type=int, metavar="K", help="also fine-tune on K examples of each label, drawn from train"
    )
    parser.add_argument(
        "--seeds",
        type=int,
        metavar="N",
        help=f"runs with --shots, of seeds 1 to N (default: {SEEDS})",
    )
    parser.add_argument(
        "--lr",
        nargs="+",
        type=float,
        help=(
            "peak learning rate with --shots; of several, each run takes the one that scores best on K"
            " further examples of each label of train (default: 1e-4; the paper tries 1e-5, 2e-5 and 3e-5 for"
            " base)"
        ),
    )
    parser.add_argument(
        "--updates",
        type=int,
        metavar="N",
        help=f"updates of up to 8 examples each with --shots (default: {UPDATES})",
    )
    add_probing_arguments(parser, ("generator", "discriminator"), "a verbalizer", "the results of every run")


def run(args: argparse.Namespace) -> None:
    """Score all examples, print the table and write the file."""
    check_probing_arguments(args, "prompt.json")
    require("folder of a task", args.task)
    require("template", args.template)
    for name in ("shots", "seeds", "updates"):
        number = getattr(args, name)
        if number is not None and number < 1:
            raise InputError(f"--{name} must be 1 or more, got {number}")
    for lr in args.lr or ():
        if not 0 < lr < 1:
            raise InputError(f"--lr must lie between 0 and 1, got {lr:g}")
        if args.lr.count(lr) > 1:
            raise InputError(f"--lr {lr:g} is given twice; name each rate once")
    if args.shots is None:
        for name in ("seeds", "lr", "updates"):
            if getattr(args, name) is not None:
                raise InputError(f"--{name} is for --shots, the fine-tuning on a few examples; add it")
    elif args.split == "train":
        raise InputError(
            "--shots draws its examples from train, so --split train would score what was learnt; choose"
            " another split"
        )
    from fairseq_electra.probes.few_shot import FewShot
    from fairseq_electra.probes.prompt_results import in_words, results, table
    from fairseq_electra.probes.prompting import prompt
    from fairseq_electra.progress import Progress

    described, net = load(args)
    settings = None
    if args.shots is not None:
        seeds = tuple(range(1, (args.seeds or SEEDS) + 1))
        settings = FewShot(args.shots, seeds, tuple(args.lr or (RATE,)), args.updates or UPDATES)
    with Progress() as progress:
        outcome = prompt(net, args.task, args.template, args.split, args.scores, settings, progress)
    found = results(outcome, described)
    print(f"{table(found)}\n\n{in_words(found)}")
    write_results(found, args.output)
