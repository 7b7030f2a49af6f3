"""``bash scripts/benchmark.sh updates``: compare the training step alone with ``fairseq-train``.

For each model size and batch, two things run in turn: the step alone on one batch (``step_alone.py``), and
``fairseq-train`` from end to end, where the start-up is not counted (``watched.py``). One command line makes
both, so they have the same networks, dropout, number format and full rows, here of random ids. The bound is
the time of the step's matrix products alone, on a GPU plus an estimate of the time for the memory traffic of
fused kernels.

The report is written after every point. A point is not started if it would probably take longer than what is
left of ``--minutes``.
"""

import argparse
import logging
import shlex
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

import fairseq_electra
from benchmark import watched
from benchmark.bound import clock
from benchmark.gpu import POINTS, kernel_seconds, largest_shares, profiler
from benchmark.report import machine_lock, new_parser, publish, ratios, read_arguments
from benchmark.step_alone import StepAlone
from benchmark.trainer import RECORDS, WARM_UP, write_random_ids
from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.finetuning.runs import USER_DIR
from fairseq_electra.speedrun.machine import processor

DEFAULTS = {"cpu": ("tiny:16:128", "small:8:128"), "cuda": POINTS}
OPTIONS = {"cpu": "", "cuda": "--autocast bf16 --compile --cuda-graphs"}
UPDATES, STEPS = {"cpu": RECORDS, "cuda": 400}, {"cpu": 4, "cuda": 60}
STEP, TRAINER = "step", "trainer"
TITLES = {STEP: "the step alone", TRAINER: "`fairseq-train`"}
LINE = f"--user-dir {USER_DIR} --task electra_pretraining --criterion replaced_token_detection"
LINE += " --rows blocks --across-documents --optimizer electra_adam --lr 1e-4"
LINE += " --lr-scheduler polynomial_decay --warmup-updates 10000 --total-num-update 1000000"
LINE += " --clip-norm 1.0 --no-save --disable-validation --log-format json --distributed-world-size 1"


def point(text: str) -> tuple[str, int, int]:
    """Read SIZE:ROWS:WIDTH."""
    size, *numbers = text.split(":")
    if (
        size not in MODEL_SIZES
        or len(numbers) != 2
        or not all(number.isdecimal() and int(number) for number in numbers)
    ):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not of the form SIZE:ROWS:WIDTH, such as small:128:128; sizes:"
            f" {', '.join(MODEL_SIZES)}"
        )
    return size, int(numbers[0]), int(numbers[1])


def compare(size: str, rows: int, width: int, args: argparse.Namespace, further: float, end: float) -> dict:
    """Measure the step alone and the trainer in turn.

    Args:
        size: The model size.
        rows, width: B and T.
        args: The arguments of the program.
        further: The time on the monotonic clock after which no further round is started.
        end: The time on the monotonic clock at which a run of the trainer is stopped.

    Raises:
        RuntimeError: A run of the trainer failed.
        TimeoutError: The first run of the trainer did not end in time.
    """
    torch._dynamo.reset()  # else graphs of all points share the limit of eight recompilations
    start_time, last = time.monotonic(), args.updates + watched.updates_after(args.device)
    with tempfile.TemporaryDirectory() as folder:
        write_random_ids(Path(folder), (last + 2) * rows * width)
        line = [folder, *LINE.split(), "--arch", f"electra_{size}"]
        line += ["--tokens-per-sample", str(width), "--batch-size", str(rows)]
        line += ["--max-position-embeddings", str(max(512, width)), "--max-update", str(last)]
        line += ["--log-interval", str(max(1, args.updates // RECORDS))]
        line += ["--cpu"] if args.device == "cpu" else []
        line += shlex.split(args.options)
        step = StepAlone(line, args.device)
        for _ in range(3):  # compile and warm up
            step()
        found: list[dict] = []
        for measured in rounds(step, line, Path(folder), args, end):
            found.append(measured)
            share = measured[STEP]["wall"] / measured[TRAINER]["wall"]
            print(f"{size}, {rows} x {width}: {share:.0%} of the step's speed", flush=True)
            if len(found) == 1:
                first = time.monotonic() - start_time
            if time.monotonic() + measured["seconds"] > further:
                break
    if not found:
        raise TimeoutError("no time was left for fairseq-train")
    return {"size": size, "rows": rows, "width": width, "seconds": round(first), **summarize(step, found)}


def rounds(
    step: StepAlone, line: list[str], folder: Path, args: argparse.Namespace, end: float
) -> Iterator[dict]:
    """Yield the measurements of each round.

    Args:
        step: The step alone, after its warm-up.
        line: The arguments of ``fairseq-train``.
        folder: The folder for logs.
        args: The arguments of the program.
        end: The time on the monotonic clock at which to stop.

    Yields:
        The measurements of the ``step`` and of the ``trainer``, the seconds of the ``products`` alone, and
        ``seconds``, the duration of the round.
    """
    products, repeats = step.products(), 1 if args.device == "cpu" else 10
    products()
    first = max(1, args.updates * WARM_UP // RECORDS)
    for number in range(args.rounds):
        start = time.monotonic()
        alone_now = step.measure(args.steps)
        on_clock = clock(args.device)
        for _ in range(repeats):
            products()
        bound = (clock(args.device) - on_clock) / repeats
        if args.device == "cuda":
            torch.cuda.empty_cache()  # the trainer needs the memory
        try:
            trained = watched.run(
                line, folder / f"{number}.log", first, args.updates, args.threads, end - time.monotonic()
            )
        except TimeoutError:
            return
        rows, width, _ = step.batch
        trained["wall"] = rows * width / trained["wps"]
        yield {STEP: alone_now, TRAINER: trained, "products": bound, "seconds": time.monotonic() - start}


def summarize(step: StepAlone, found: list[dict]) -> dict:
    """Compute medians over rounds, and their ratios to each other and to the bound.

    Args:
        step: The step that was measured.
        found: The measurements of each round, as :func:`rounds` yields them.
    """

    def median(name: str, side: str) -> float:
        return statistics.median(each[side][name] for each in found)

    on_gpu, sizes = step.device == "cuda", step.sizes[1]
    bound = statistics.median(each["products"] for each in found) + step.traffic_seconds()
    rows, width, _ = step.batch
    report: dict = {
        "rounds": len(found),
        "net": {name: getattr(sizes, name) for name in ("positions", "norm", "dropout")},
    }
    for name in (STEP, TRAINER):
        parts = [each[name]["parts"] for each in found]
        report[name] = {
            "updates_per_second": round(1 / median("wall", name), 3),
            "tokens_per_second": round(rows * width / median("wall", name)),
            "host_ms": round(1e3 * median("processor", name), 2),
            "mfu": round(
                statistics.median(step.flops / each[name]["wall"] / each[TRAINER]["peak"] for each in found),
                4,
            ),
            "of_bound": round(bound / median("wall" if on_gpu else "processor", name), 3),
            "parts": {
                part: round(statistics.median(each.get(part, 0.0) for each in parts), 3) for part in parts[0]
            },
        }
    report[TRAINER]["mfu_logged"] = round(median("mfu", TRAINER), 4)
    report |= ratios([each[STEP]["wall"] for each in found], [each[TRAINER]["wall"] for each in found])
    report["host"] = ratios(
        [each[STEP]["processor"] for each in found], [each[TRAINER]["processor"] for each in found]
    )
    if on_gpu:
        with profiler(step.device) as profile:
            step()
            clock(step.device)
        kernels = kernel_seconds(profile, step.device)
        report[STEP] |= {
            "host_ms": round(1e3 * step.launch_seconds(), 2),
            "device_ms": round(1e3 * sum(kernels.values()), 2),
        }
        report[TRAINER] |= {
            f"{kind}_ms": round(1e3 * median(name, TRAINER), 2)
            for kind, name in (("host", "launch"), ("device", "kernels"))
        }
        report["host"] = ratios([report[STEP]["host_ms"]], [report[TRAINER]["host_ms"]])
        report["top"] = largest_shares(kernels)
    return report


def markdown(report: dict) -> str:
    """Format the tables of a report in Markdown."""
    points = {f"{each['size']}, {each['rows']} x {each['width']}": each for each in report["points"]}
    lines = [
        (
            f"{report['device']}, {report['threads']} thread{'s' * (report['threads'] > 1)}, "
            f"torch {report['torch']}; options: {report['options'] or 'none'}"
        ),
        "",
        (
            "| net, batch | updates/s | of the step's | host ms | the step's share | device ms | MFU | in the"
            " log | of the bound |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for title, found in points.items():
        shares = [
            f"{ratio['ratio']:.0%} ({ratio['ratio_range'][0]:.0%} to {ratio['ratio_range'][1]:.0%})"
            for ratio in (found, found["host"])
        ]
        beside = {STEP: ("", "", ""), TRAINER: (*shares, f"{found[TRAINER]['mfu_logged']:.1%}")}
        for name, (speed, host, logged) in beside.items():
            row = found[name]
            lines.append(
                f"| {title}: {TITLES[name]} | {row['updates_per_second']:.2f} | {speed} "
                f"| {row['host_ms']:.2f} | {host} | "
                f"{row.get('device_ms', '')} | {row['mfu']:.1%} | {logged} | {row['of_bound']:.0%} |"
            )
    columns = [
        (f"{title}: {TITLES[name]}", found[name]["parts"])
        for title, found in points.items()
        for name in (STEP, TRAINER)
    ]
    parts = dict.fromkeys(part for _, column in columns for part in column)
    lines += [
        "",
        f"| {report['parts']} | " + " | ".join(title for title, _ in columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for part in sorted(parts, key=lambda part: -max(column.get(part, 0.0) for _, column in columns)):
        values = (f"{column[part]:.2f}" if part in column else "" for _, column in columns)
        lines.append(f"| {part} | " + " | ".join(values) + " |")
    for title, found in points.items():
        traits = found["net"]
        net = (
            f"{title}: {traits['positions']} positions, --norm {traits['norm']}, dropout {traits['dropout']}"
        )
        top = ", ".join(f"{each['kernel']} {each['share']:.0%}" for each in found.get("top", ()))
        lines += ["", net + (f"; most expensive kernels of the step: {top}" if top else "")]
    return "\n".join(lines)


def main() -> None:
    """Run the comparison."""
    parser = new_parser(__doc__, "updates.json", rounds=2)
    on_cpu, on_gpu = (" ".join(DEFAULTS[device]) for device in ("cpu", "cuda"))
    parser.add_argument(
        "--points",
        nargs="+",
        type=point,
        metavar="SIZE:ROWS:WIDTH",
        help=f"default: {on_cpu}; on a GPU: {on_gpu}",
    )
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    numbers = "(default: {cpu}, on a GPU: {cuda})"
    parser.add_argument(
        "--updates", type=int, help=f"updates of a run of fairseq-train {numbers.format(**UPDATES)}"
    )
    parser.add_argument(
        "--steps", type=int, help=f"steps of the step alone in a round {numbers.format(**STEPS)}"
    )
    parser.add_argument(
        "--options",
        help=(
            "further options of fairseq-train for both, such as --options='--norm deepnorm' (default: none,"
            f" on a GPU: {OPTIONS['cuda']})"
        ),
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=11.0,
        help="time limit, after which nothing more is started (default: %(default)s)",
    )
    args = read_arguments(parser, markdown)
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU here; --device cpu measures without one")
    args.points = args.points or [point(text) for text in DEFAULTS[args.device]]
    args.updates, args.steps = args.updates or UPDATES[args.device], args.steps or STEPS[args.device]
    args.options = OPTIONS[args.device] if args.options is None else args.options
    if args.updates < 2:
        parser.error(f"--updates must be 2 or more, got {args.updates}: the first is not counted")
    logging.basicConfig(level=logging.WARNING)  # before fairseq does
    fairseq_electra.register()
    torch.set_num_threads(args.threads)
    failed = measure_all(args)
    if failed:
        parser.exit(1, "".join(f"not measured: {line}\n" for line in failed))


def measure_all(args: argparse.Namespace) -> list[str]:
    """Measure all points and write the report after each; returns the failed points with the reasons."""
    on_gpu, failed, longest = args.device == "cuda", [], 0.0
    report: dict = {
        "device": torch.cuda.get_device_name() if on_gpu else processor(),
        "torch": torch.__version__,
        "threads": args.threads,
        "options": args.options,
        "parts": (
            "host ms of an update, waits for the GPU included" if on_gpu else "processor ms of an update"
        ),
        "points": [],
    }
    with machine_lock():
        end = time.monotonic() + 60 * args.minutes
        for number, (size, rows, width) in enumerate(args.points):
            start_time, name = time.monotonic(), f"{size}:{rows}:{width}"
            if start_time + longest > end:
                failed.append(f"{name}: no time was left")
                continue
            # an equal share of the time
            further = start_time + (end - start_time) / (len(args.points) - number)
            try:
                report["points"].append(compare(size, rows, width, args, further, end))
            except (RuntimeError, TimeoutError) as error:
                failed.append(f"{name}: {error}")
                continue
            longest = max(longest, report["points"][-1]["seconds"])
            publish(report, args.output, markdown)
    return failed


if __name__ == "__main__":
    main()
