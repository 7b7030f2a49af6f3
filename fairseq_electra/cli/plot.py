"""Draw the curves of a pre-training log, and write them as CSV.

The log must be written with --log-format json; the curves are losses, accuracies, detection and speed.

fairseq-electra plot train.log --output curves.png
"""

import argparse
import csv
import importlib.util
import itertools
from collections.abc import Sequence
from pathlib import Path

from fairseq_electra.errors import InputError
from fairseq_electra.files.text import atomic_write
from fairseq_electra.pretraining.log import read_log

PICTURES = (".png", ".svg", ".pdf")
MARKERS = "os^vD<>ph*"  # of validation sets, such as those of several languages
PANELS = (
    ("losses, nats", ("masked_lm_loss", "disc_loss")),
    (
        "per cent",
        (
            "masked_lm_accuracy",
            "mask_token_accuracy",
            "sampled_masked_lm_accuracy",
            "disc_precision",
            "disc_recall",
        ),
    ),
    ("area under the curve", ("disc_auc", "fixed_auc")),
    ("tokens per second", ("wps",)),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "log", metavar="LOG", nargs="+", help="output of fairseq-train, in order if a run was resumed"
    )
    parser.add_argument(
        "--output",
        default="curves.png",
        metavar="FILE",
        help="picture to write; the numbers go to a file of the same name with .csv (default %(default)s)",
    )
    parser.add_argument("--title", default="", help="title of the picture")


def run(args: argparse.Namespace) -> None:
    """Read the logs, write the numbers and draw the curves."""
    output = Path(args.output)
    if output.suffix.lower() not in PICTURES:
        raise InputError(f"--output {output} names no picture; end it with {', '.join(PICTURES)}")
    records = records_of(args.log)
    if not records:
        raise InputError(
            f"no records in {', '.join(args.log)}; train with --log-format json and keep what it prints"
        )
    names = sorted({name for record in records for name in record if name not in ("subset", "num_updates")})
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError("plot needs matplotlib; install it with: pip install 'fairseq_electra[plot]'")
    with atomic_write(output.with_suffix(".csv")) as stream:
        table = csv.DictWriter(stream, ["subset", "num_updates", *names])
        table.writeheader()
        table.writerows(records)
    draw(records, output, args.title)
    print(f"{output} and {output.with_suffix('.csv')}: {len(records)} records")


def records_of(logs: Sequence[str | Path]) -> list[dict]:
    """Return the records of a run, from logs in the order in which they were written.

    A resumed run repeats updates that were not saved, so what follows its first record was overtaken. Records
    of ``fairseq-validate`` belong to no update, and are left out.
    """
    kept: dict[tuple[str, float], dict] = {}
    last = 0.0
    for record in itertools.chain.from_iterable(map(read_log, logs)):
        if "num_updates" not in record:
            continue
        updates = record["num_updates"]
        if updates < last:
            kept = {place: each for place, each in kept.items() if place[1] < updates}
        kept[record["subset"], updates], last = record, updates
    return list(kept.values())


def draw(records: list[dict], output: Path, title: str) -> None:
    """Draw four panels over updates: training as lines, validation as a marker for each set."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    subsets = list(dict.fromkeys(record["subset"] for record in records))
    validated = [subset for subset in subsets if subset != "train_inner"]
    markers = {subset: MARKERS[i % len(MARKERS)] for i, subset in enumerate(validated)}
    figure, axes = pyplot.subplots(2, 2, figsize=(11, 7), constrained_layout=True)
    for axis, (heading, names) in zip(axes.flat, PANELS, strict=True):
        for color, name in enumerate(names):
            for subset in subsets:
                points = [(r["num_updates"], r[name]) for r in records if r["subset"] == subset and name in r]
                if points and (subset == "train_inner" or name != "wps"):
                    style = markers.get(subset, "-")
                    label = name if subset == "train_inner" else f"{name} ({subset})"
                    axis.plot(
                        *zip(*points, strict=True),
                        style,
                        color=f"C{color}",
                        label=label,
                        markersize=4,
                        linewidth=1,
                    )
        axis.set_title(heading, fontsize=10)
        axis.set_xlabel("updates")
        axis.grid(alpha=0.3)
        if axis.has_data():
            axis.legend(fontsize=7)
        else:
            axis.set_visible(False)  # as of the speed, where a run ended before its first record
    figure.suptitle(title)
    with atomic_write(output, "wb") as stream:
        figure.savefig(stream, dpi=100, format=output.suffix[1:].lower())
