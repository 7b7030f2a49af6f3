"""Study which models collapse: short runs of ``fairseq-train``, each with one change of the default.

    bash scripts/benchmark.sh stability data-bin --output stability.json            all causes
    bash scripts/benchmark.sh stability data-bin --study rates --updates 1500       rates and warm-ups

``data-bin`` is a folder of binarized text with train and valid. As many runs as there are cores go in
parallel, with one thread each. Runs that the output file already has are not repeated, so that an interrupted
study can be resumed. A model is alive if fixed_auc, which does not depend on the generator, rises over the
last third of its run.
"""

import argparse
import json
import os
import shlex
from pathlib import Path

import torch

from benchmark import stability_baseline
from fairseq_electra.files.text import atomic_write
from fairseq_electra.finetuning.runs import train_all
from fairseq_electra.speedrun.machine import processor

COMMON = """--task electra_pretraining --criterion replaced_token_detection --arch electra_small
  --autocast bf16 --optimizer electra_adam --clip-norm 1.0 --lr-scheduler polynomial_decay --no-save
  --validate-interval 1000000 --log-interval 50"""
# a short schedule with a short warm-up, where models collapse most easily
RECIPE = {"rate": 5e-4, "warmup": 0.02, "total": 5000}
SEEDS = (1, 2, 3)
ORIGINAL = "--positions learned --norm post --adam-betas (0.9,0.999)"  # the paper's model and Adam
# the name of each run, and the options by which it differs from the default; DECIDING lists those with three
# seeds
CAUSES = {
    "the default": "",
    "post-LayerNorm": "--norm post",
    "deepnorm": "--norm deepnorm",
    "pre-LayerNorm": "--norm pre",
    "learned positions": "--positions learned",
    "post-LayerNorm, learned positions, beta2 .999": ORIGINAL,
    "the same without bias correction": f"{ORIGINAL} --bias-correction off",
    "no bias correction": "--bias-correction off",
    "beta2 .999": "--adam-betas (0.9,0.999)",
    "deepnorm, beta2 .999": "--norm deepnorm --adam-betas (0.9,0.999)",
    "pre-LayerNorm, beta2 .999": "--norm pre --adam-betas (0.9,0.999)",
    "post-LayerNorm, beta2 .999": "--norm post --adam-betas (0.9,0.999)",
    "learned positions, beta2 .999": "--positions learned --adam-betas (0.9,0.999)",
    "no clipping": "--clip-norm 0",
    "half the weight of the discriminator's loss": "--disc-weight 25",
    "half the rate for the generator": "--generator-lr 0.5",
    "twice the rate for the generator": "--generator-lr 2",
    "generator of a third of the layers": "--generator-layers 0.34",
    "generator of half the width": "--generator-hidden-size 0.5",
    "no dropout": "--dropout 0 --attention-dropout 0",
    "batches twice as large": "--batch-size 32",
}
THEIRS = "transformers' classes, AdamW"
DECIDING = ("the default", "post-LayerNorm", "pre-LayerNorm", "learned positions")
FIGURES = ("fixed_auc", "disc_auc", "disc_loss", "replaced_rate", "mask_token_accuracy")


def plan(study: str, seeds: bool) -> dict[str, str]:
    """Return the names of the runs of a study, with the options that each adds to the common ones."""
    if study == "rates":
        return {
            f"rate {share:g} x {RECIPE['rate']:g}, warm-up {warmup:.0%}": (
                f"--lr {share * RECIPE['rate']:g} --warmup-updates {round(warmup * RECIPE['total'])}"
            )
            for share in (0.5, 1, 2)
            for warmup in (RECIPE["warmup"], 0.1)
        }
    runs = dict(CAUSES)
    if seeds:
        runs |= {
            f"{name}, seed {seed}": f"{CAUSES[name]} --seed {seed}" for name in DECIDING for seed in SEEDS[1:]
        }
    return runs


def arguments(data: Path, name: str, options: str, args: argparse.Namespace) -> list[str]:
    """Return the arguments of ``fairseq-train`` for a run. It saves nothing, but needs a writable folder."""
    warmup = round(RECIPE["warmup"] * RECIPE["total"])
    recipe = f"--lr {RECIPE['rate']} --warmup-updates {warmup} --total-num-update {RECIPE['total']}"
    shape = f"--tokens-per-sample {args.tokens} --batch-size {args.rows} --batch-size-valid 32"
    shape += f" --max-update {args.updates}"
    every = f"--validate-interval-updates {max(1, args.updates // 6)}"
    folder = args.output.with_suffix(".logs") / name
    return [
        str(data),
        "--save-dir",
        str(folder),
        *shlex.split(f"{COMMON} {recipe} {shape} {every}"),
        *shlex.split(options),
    ]


def curve(records: list[dict]) -> list[dict]:
    """Return the metrics of every validation from the log of a run."""
    return [
        {"update": int(record["num_updates"]), **{name: record[name] for name in FIGURES if name in record}}
        for record in records
        if record["subset"] == "valid"
    ]


def is_alive(points: list[dict]) -> bool:
    """Tell whether fixed_auc at the end is above chance and higher than after two thirds of the run."""
    before, last = points[-3]["fixed_auc"], points[-1]["fixed_auc"]
    return last > before and last > 0.55


def main() -> None:
    """Make the runs that are missing, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "data", nargs="?", type=Path, metavar="DATA", help="folder of binarized text with train and valid"
    )
    parser.add_argument(
        "--study",
        choices=["causes", "rates"],
        default="causes",
        help="which study to run (default: %(default)s)",
    )
    parser.add_argument("--only", metavar="TEXT", help="only the runs whose names contain this text")
    parser.add_argument(
        "--seeds", action="store_true", help="with causes: two more seeds of the runs that decide"
    )
    parser.add_argument("--updates", type=int, default=800, help="updates of a run (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=16, help="rows of a batch (default: %(default)s)")
    parser.add_argument("--tokens", type=int, default=64, help="tokens of a row (default: %(default)s)")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="parallel runs (default: %(default)s)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("stability.json"),
        metavar="FILE",
        help="file of the report (default: %(default)s)",
    )
    parser.add_argument(
        "--table",
        type=Path,
        metavar="FILE",
        help="run nothing, but print the table of this report",
    )
    args = parser.parse_args()
    if args.table:
        print(markdown(json.loads(args.table.read_text(encoding="utf-8"))))
        return
    if args.data is None:
        parser.error("name a folder of binarized text, or give --table FILE")
    shape = {"updates": args.updates, "rows": args.rows, "tokens": args.tokens, **RECIPE}
    report = {"machine": {"processor": processor(), "torch": torch.__version__}, "shape": shape, "runs": {}}
    if args.output.exists():
        report = json.loads(args.output.read_text(encoding="utf-8"))
        if report["shape"] != shape:
            parser.error(
                f"{args.output} holds runs of the shape {report['shape']}, not {shape}; name another --output"
            )
    wanted = {
        name: options for name, options in plan(args.study, args.seeds).items() if (args.only or "") in name
    }
    if args.study == "causes" and THEIRS not in report["runs"] and (args.only or "") in THEIRS:
        torch.set_num_threads(1)
        found = stability_baseline.train(args.data, args, RECIPE)
        record(report, args.output, THEIRS, {"options": "", "curve": found, "alive": is_alive(found)})
    lines = {
        name: arguments(args.data, name, options, args)
        for name, options in wanted.items()
        if name not in report["runs"]
    }
    for name, trouble, records in train_all(lines, args.output.with_suffix(".logs"), args.processes):
        found = curve(records)
        run = {
            "options": wanted[name],
            "curve": found,
            "alive": bool(found) and not trouble and is_alive(found),
        }
        record(report, args.output, name, run | ({"trouble": trouble} if trouble else {}))
    print(markdown(report))


def record(report: dict, output: Path, name: str, run: dict) -> None:
    """Add a run to a report, write the report, and print the line of the run."""
    report["runs"][name] = run
    with atomic_write(output) as stream:
        stream.write(json.dumps(report, indent=1) + "\n")
    print(markdown({**report, "runs": {name: run}}).splitlines()[-1], flush=True)


def markdown(report: dict) -> str:
    """Format the table of a report: fixed_auc at every validation, the last metrics, and alive or dead."""
    runs = report["runs"]
    updates = sorted({point["update"] for run in runs.values() for point in run["curve"]})
    head = f"| fixed_auc at update | {' | '.join(map(str, updates))} | disc_auc | mask_token_accuracy, % | |"
    lines = [head, "|---|" + "---|" * (len(updates) + 3)]
    for name, run in runs.items():
        at = {point["update"]: point for point in run["curve"]}
        areas = [f"{at[update]['fixed_auc']:.3f}" if update in at else "" for update in updates]
        last = run["curve"][-1] if run["curve"] else {}
        figures = [
            f"{last[key]:.{places}f}" if key in last else ""
            for key, places in (("disc_auc", 3), ("mask_token_accuracy", 1))
        ]
        verdict = "alive" if run["alive"] else f"dead{': ' + run['trouble'] if 'trouble' in run else ''}"
        lines.append(f"| {name} | {' | '.join([*areas, *figures])} | {verdict} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
