"""``bash scripts/benchmark.sh scaling``: measure speed and memory by number and length of rows.

Each point is measured in its own process, so that its memory can be told apart.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

import fairseq_electra
from benchmark.report import machine_lock, new_parser, publish, read_arguments
from fairseq_electra.memory import keep_freed_memory
from fairseq_electra.speedrun.machine import processor


def measure(size: str, width: int, rows: int, autocast: str, threads: int, steps: int) -> dict:
    """Train a few steps on the CPU after a warm-up step; returns tokens per second and peak memory in MB."""
    fairseq_electra.register()
    from benchmark.training_step import Variant, our_step, random_batch, run_step
    from fairseq_electra.precision import cpu_has_bf16

    torch.set_num_threads(threads)
    keep_freed_memory()
    sample = random_batch(rows, width)
    network, step = our_step(size, 0.0, width=width)
    variant = Variant("", lambda: (network, step), bf16=autocast == "bf16" and cpu_has_bf16())
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    seconds = []
    for _ in range(1 + steps):
        start = time.perf_counter()
        run_step(variant, network, step, optimizer, sample)
        seconds.append(time.perf_counter() - start)
    speeds = [sample["ntokens"] / taken for taken in seconds[1:]]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "size": size,
        "width": width,
        "rows": rows,
        "tokens_per_second": round(statistics.median(speeds)),
        "range": [round(min(speeds)), round(max(speeds))],
        "megabytes": round(memory),
    }


def in_a_process(args: argparse.Namespace, *point: object) -> dict:
    """Run :func:`measure` in its own process."""
    command = [sys.executable, "-m", "benchmark.scaling", "--point", *map(str, point)]
    command += ["--autocast", args.autocast, "--threads", str(args.threads), "--rounds", str(args.rounds)]
    return json.loads(
        subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    )


def markdown(report: dict) -> str:
    """Format the table of a report in Markdown."""
    machine = report["machine"]
    lines = [f"{machine['processor']}, {machine['threads']} threads, torch {machine['torch']}", ""]
    lines += ["| net, rows | tokens/s | range | MB |", "|---|---|---|---|"]
    for point in report["points"]:
        low, high = point["range"]
        title = f"{point['size']}, {point['rows']} x {point['width']}"
        lines.append(
            f"| {title} | {point['tokens_per_second']:,} | {low:,} to {high:,} | {point['megabytes']:,} |"
        )
    return "\n".join(lines)


def plot(report: dict, output: Path) -> None:
    """Plot speed and memory, with one line for each row length."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    sizes = list(dict.fromkeys(point["size"] for point in report["points"]))
    figure, axes = pyplot.subplots(2, len(sizes), figsize=(5 * len(sizes), 6), sharex=True, squeeze=False)
    for column, size in enumerate(sizes):
        for axis, name, label in zip(
            axes[:, column],
            ("tokens_per_second", "megabytes"),
            ("tokens per second", "MB at most"),
            strict=True,
        ):
            for width in dict.fromkeys(point["width"] for point in report["points"]):
                points = [
                    point for point in report["points"] if (point["size"], point["width"]) == (size, width)
                ]
                axis.plot(
                    [point["rows"] * width for point in points],
                    [point[name] for point in points],
                    "o-",
                    label=f"rows of {width}",
                )
            axis.set(
                xscale="log",
                yscale="log" if name == "megabytes" else "linear",
                ylabel=label,
                title=f"electra_{size}",
            )
            axis.grid(alpha=0.3)
        axes[1, column].set(xlabel="tokens of a batch")
        axes[0, column].set(ylim=(0, None))
    axes[0, 0].legend()
    figure.tight_layout()
    figure.savefig(output, dpi=100)


def main() -> None:
    """Run the comparison."""
    parser = new_parser(__doc__, "scaling.json", rounds=3)
    parser.add_argument(
        "--sizes", nargs="+", default=["tiny", "small"], help="model sizes (default: tiny small)"
    )
    parser.add_argument(
        "--widths",
        nargs="+",
        type=int,
        default=[128, 512, 2048],
        help="row lengths in tokens (default: 128 512 2048)",
    )
    parser.add_argument(
        "--rows",
        nargs="+",
        type=int,
        default=[8, 32, 128, 256],
        help="numbers of rows of a batch (default: 8 32 128 256)",
    )
    parser.add_argument(
        "--most-tokens",
        type=int,
        default=32768,
        help="maximum number of tokens of a batch; larger batches are left out (default: %(default)s)",
    )
    parser.add_argument(
        "--autocast",
        default="none",
        choices=["none", "bf16"],
        help="number format of matrix products (default: %(default)s)",
    )
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count() or 1, help="CPU threads (default: %(default)s)"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also write a plot to this file")
    parser.add_argument(
        "--point",
        nargs=3,
        metavar=("SIZE", "WIDTH", "ROWS"),
        help="measure one point in this process and print it as JSON",
    )
    args = read_arguments(parser, markdown)
    if args.point:
        size, width, rows = args.point
        print(json.dumps(measure(size, int(width), int(rows), args.autocast, args.threads, args.rounds)))
        return
    points = []
    with machine_lock():
        for point in [
            (s, w, r) for s in args.sizes for w in args.widths for r in args.rows if w * r <= args.most_tokens
        ]:
            points.append(in_a_process(args, *point))
            print(points[-1], flush=True)
    machine = {
        "processor": processor(),
        "threads": args.threads,
        "torch": torch.__version__,
        "autocast": args.autocast,
    }
    report = {"machine": machine, "points": points}
    publish(report, args.output, markdown)
    if args.plot:
        plot(report, args.plot)


if __name__ == "__main__":
    main()
