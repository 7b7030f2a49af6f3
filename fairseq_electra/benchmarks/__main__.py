"""``python -m fairseq_electra.benchmarks``: run the comparisons, print a table, write JSON."""

import argparse
import contextlib
import fcntl
import json
import os
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

import fairseq_electra
from fairseq_electra.data.text import written_whole
from fairseq_electra.memory import keep_freed_memory


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Wait until no other benchmark of this kind runs on the machine."""
    with open(Path(tempfile.gettempdir()) / "fairseq_electra.benchmark.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def processor() -> str:
    """Name the processor; family and model tell what ``AMD EPYC`` alone does not."""
    with contextlib.suppress(OSError, KeyError):
        first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
        says = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}
        return f"{says['model name']}, family {says['cpu family']}, model {says['model']}"
    return platform.processor()


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=["tiny", "small"], help="nets (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=8, help="rows of 128 tokens in a batch (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds; in each, every variant has its turn (default: %(default)s)")
    parser.add_argument("--compile", action="store_true", help="ours under --compile as well; begins with minutes of compilation")
    parser.add_argument("--threads", type=int, default=1, help="threads (default: %(default)s, which a shared machine disturbs least)")
    parser.add_argument("--output", default="benchmark.json", metavar="FILE", help="where the figures go (default: %(default)s)")
    parser.add_argument("--table", metavar="FILE", help="measure nothing: print the tables of figures that were written before")
    args = parser.parse_args()
    if args.table:
        print(markdown(json.loads(Path(args.table).read_text(encoding="utf-8"))))
        return

    fairseq_electra.register()
    from fairseq_electra.benchmarks import loader, training_step

    with alone():
        torch.set_num_threads(args.threads)
        keep_freed_memory()
        load = os.getloadavg()[0]
        report: dict = {"loader": loader.compare(256, args.rounds)}
        report |= {size: training_step.compare(size, args.rows, args.rounds, args.compile) for size in args.sizes}
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
        }
    with written_whole(args.output) as stream:
        stream.write(json.dumps(report, indent=2) + "\n")
    print(markdown(report))


def markdown(report: dict) -> str:
    """Tables of a report."""
    machine = report["machine"]
    lines = [
        f"{machine['processor']}, {machine['threads']} of {machine['cores']} cores, torch {machine['torch']}; "
        f"load {machine['load_before']} before, {machine['load_after']} after",
        "",
        "| loader, batches of 256 rows of 128 | tokens per second of one core | range |",
        "|---|---|---|",
    ]
    lines += [
        f"| {row['loader']} | {row['tokens_per_cpu_second']:,} | {row['range'][0]:,} to {row['range'][1]:,} |" for row in report["loader"]
    ]
    for size in [size for size in report if size not in ("machine", "batch", "loader")]:
        rows, width = report["batch"]
        bounded = "of_products" in report[size][0]
        lines += [
            "",
            f"| training step, electra_{size}, {rows} x {width} | ms of one core | tokens/s | ratio | range |"
            + " products alone |" * bounded,
            "|---|---|---|---|---|" + "---|" * bounded,
        ]
        for row in report[size]:
            low, high = row["ratio_range"]
            lines.append(
                f"| {row['variant']} | {row['cpu_ms']:.0f} | {row['tokens_per_cpu_second']:,} | {row['ratio']:.2f} | {low} to {high} |"
                + (f" {row['of_products']:.0%} |" if bounded else "")
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
