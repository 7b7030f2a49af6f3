"""``bash scripts/benchmark.sh``: compare data loaders and training steps."""

import os

import torch

import fairseq_electra
from benchmark.report import machine_lock, new_parser, publish, read_arguments
from fairseq_electra.memory import keep_freed_memory
from fairseq_electra.speedrun.machine import processor


def main() -> None:
    """Run the comparisons."""
    parser = new_parser(__doc__, "benchmark.json")
    parser.add_argument(
        "--sizes", nargs="+", default=["tiny", "small"], help="model sizes (default: %(default)s)"
    )
    parser.add_argument(
        "--rows", type=int, default=8, help="number of rows of 128 tokens in a batch (default: %(default)s)"
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        help="also measure ours with --compile; compiling takes minutes",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        help="CPU threads (default: %(default)s, which other jobs on a shared machine disturb least)",
    )
    parser.add_argument(
        "--only",
        metavar="PATTERN",
        help="measure the first training step and those whose names match this pattern only, and no loader",
    )
    args = read_arguments(parser, markdown)

    fairseq_electra.register()
    from benchmark import baselines, loader, training_step

    with machine_lock():
        torch.set_num_threads(args.threads)
        keep_freed_memory()
        load = os.getloadavg()[0]
        report: dict = {} if args.only else {"loader": loader.compare(256, args.rounds)}
        report |= {
            size: training_step.compare(size, args.rows, args.rounds, args.compile, args.only or "")
            for size in args.sizes
        }
        report |= {
            "machine": {
                "processor": processor(),
                "cores": os.cpu_count(),
                "threads": args.threads,
                "torch": torch.__version__,
                "load_before": round(load, 2),
                "load_after": round(os.getloadavg()[0], 2),
            },
            "batch": [args.rows, 128],
            "nets": {size: baselines.describe_models(size) for size in args.sizes},
        }
    publish(report, args.output, markdown)


def markdown(report: dict) -> str:
    """Format the tables of a report in Markdown."""
    machine = report["machine"]
    lines = [
        (
            f"{machine['processor']}, {machine['threads']} of {machine['cores']} cores, "
            f"torch {machine['torch']}; "
            f"load {machine['load_before']} before, {machine['load_after']} after"
        ),
    ]
    if "loader" in report:
        lines += [
            "",
            "| loader, batches of 256 rows of 128 | tokens per second of one core | range |",
            "|---|---|---|",
        ]
    for row in report.get("loader", ()):
        low, high = row["range"]
        lines.append(f"| {row['loader']} | {row['tokens_per_cpu_second']:,} | {low:,} to {high:,} |")
    for size in [size for size in report if size not in ("machine", "batch", "loader", "nets")]:
        rows, width = report["batch"]
        with_products = "of_products" in report[size][0]
        lines += [
            "",
            f"| training step, electra_{size}, {rows} x {width} | ms of one core | tokens/s | ratio | range |"
            + " products alone |" * with_products,
            "|---|---|---|---|---|" + "---|" * with_products,
        ]
        for row in report[size]:
            low, high = row["ratio_range"]
            lines.append(
                f"| {row['variant']} | {row['cpu_ms']:.0f} | {row['tokens_per_cpu_second']:,} "
                f"| {row['ratio']:.2f} | {low} to {high} |"
                + (f" {row['of_products']:.0%} |" if with_products else "")
            )
        if "nets" in report:
            lines += ["", report["nets"][size]]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
