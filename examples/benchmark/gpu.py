"""``bash scripts/benchmark.sh gpu``: compare training steps on a GPU with transformers and a bound.

For each model size and row length, all variants run in turn in one process, in bfloat16: transformers
(generator's head on masked positions; its ELECTRA has learned positions and post-LayerNorm) and ours with the
model of --arch. Each runs eagerly, compiled, and compiled with CUDA graphs. The bound is the measured time of
the step's matrix products alone, plus the time to move the memory traffic of fused kernels (an estimate) at
the measured speed of copies. The report lists the most expensive kernels of our fastest step.

``--device cpu`` runs the program where there is no GPU.
"""

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch.autograd import DeviceType

import fairseq_electra
from benchmark.baselines import describe_models
from benchmark.bound import clock, products_alone, step_products
from benchmark.report import machine_lock, new_parser, publish, ratios, read_arguments
from fairseq_electra.electra.flops import electra_flops, peak_flops
from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.electra.sizes import EncoderSizes
from fairseq_electra.speedrun.machine import processor

POINTS = ("small:128:128", "base:32:512", "large:16:512")
THEIRS = "transformers, head on masked positions"
COMPILED, GRAPHED = ", torch.compile", ", torch.compile with CUDA graphs"
OURS = "fairseq_electra"
OURS_GRAPHED = f"{OURS}, --compile --cuda-graphs"
# An estimate of the memory traffic per token. Each hidden unit of each layer moves 80 numbers of two bytes:
# 32 forward (projections 4, 2, 9 with GELU, 5; attention 4; two sums with their norms 8) and 48 backward
# (projections 8, 4, 10, 12
# with GELU; attention 8; norms 6). Each score of a masked position moves 22 bytes: it is written, read and
# sampled from in bfloat16, and has a softmax in float32 and a gradient.
BYTES_PER_UNIT, BYTES_PER_SCORE = 160, 22
STEPS = 10  # steps of a variant in a round
TOP = 5  # number of kernels that are listed


def make_steps(
    size: str, rows: int, width: int, device: str
) -> dict[str, tuple[Callable[[], None], int | None]]:
    """Return a warmed-up training step of every variant, and the maximum GPU memory that it used, in MB."""
    from benchmark.baselines import transformers_step
    from benchmark.training_step import CLIP_NORM, VOCABULARY, our_step, random_batch

    sample = moved(random_batch(rows, width), device)

    def theirs_compiled(mode: str | None = None):
        network, step = transformers_step(size, VOCABULARY, 0.0, masked_only=True)
        return network, torch.compile(step, mode=mode)

    networks = {
        THEIRS: lambda: transformers_step(size, VOCABULARY, 0.0, masked_only=True),
        THEIRS + COMPILED: theirs_compiled,
        OURS: lambda: our_step(size, 0.0, width=width),
        f"{OURS}, --compile": lambda: our_step(size, 0.0, True, width),
    }
    if device == "cuda":
        networks[THEIRS + GRAPHED] = lambda: theirs_compiled("reduce-overhead")
        networks[OURS_GRAPHED] = lambda: our_step(size, 0.0, True, width, cuda_graphs=True)

    def make(name: str) -> tuple[Callable[[], None], int | None]:
        torch.manual_seed(1)
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        network, step = networks[name]()
        network.to(device).train()
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)

        def run() -> None:
            optimizer.zero_grad()
            torch.compiler.cudagraph_mark_step_begin()
            with torch.autocast(device, dtype=torch.bfloat16):
                loss = step(sample)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP_NORM, foreach=True)
            optimizer.step()

        for _ in range(3):  # compile and warm up
            run()
        if device == "cpu":
            return run, None
        most = torch.cuda.max_memory_allocated() - before
        torch.cuda.empty_cache()  # CUDA graphs cannot reuse freed memory of others
        return run, round(most / 2**20)

    return {name: make(name) for name in networks}


def moved(sample: dict, device: str) -> dict:
    """Move the tensors of a batch to a device."""
    on_device = {name: tensor.to(device) for name, tensor in sample["net_input"].items()}
    return {**sample, "net_input": on_device, "target": on_device["target"]}


def seconds_of_traffic(
    networks: Sequence[EncoderSizes], rows: int, width: int, slots: int, num_tokens: int, device: str
) -> float:
    """Estimate the seconds of the memory traffic of fused kernels, at the measured speed of a large copy.

    Args:
        networks: The sizes of the discriminator and the generator.
        rows, width, slots: B, T and K.
        num_tokens: V, the size of the vocabulary.
        device: ``cuda`` or ``cpu``.
    """
    large = torch.empty((256 if device == "cuda" else 16) << 20, dtype=torch.uint8, device=device)
    into = torch.empty_like(large)
    into.copy_(large)
    start = time.perf_counter() if device == "cpu" else clock(device)
    for _ in range(20):
        into.copy_(large)
    end = time.perf_counter() if device == "cpu" else clock(device)
    speed = 20 * 2 * large.numel() / (end - start)
    units = sum(each.hidden_size * each.num_hidden_layers for each in networks)
    return rows * (width * BYTES_PER_UNIT * units + slots * num_tokens * BYTES_PER_SCORE) / speed


def compare(size: str, rows: int, width: int, device: str, rounds: int, repeats: int = STEPS) -> dict:
    """Measure all variants in turn, and compute the bound."""
    from benchmark.training_step import VOCABULARY

    torch._dynamo.reset()  # else graphs of all points share the limit of eight recompilations
    made = make_steps(size, rows, width, device)
    runs = {name: run for name, (run, _) in made.items()}
    sizes, slots = MODEL_SIZES[size].encoder, max(1, round(0.15 * width))
    generator = MODEL_SIZES[size].generator
    alone_run = products_alone(
        step_products(sizes, generator, VOCABULARY, rows, width, slots), torch.bfloat16, device
    )
    alone_run()
    seconds: dict[str, list[float]] = {name: [] for name in [*runs, "products"]}
    for _ in range(rounds):
        for name, run in [*runs.items(), ("products", alone_run)]:
            start = clock(device)
            for _ in range(repeats):
                run()
            seconds[name].append((clock(device) - start) / repeats)
    products = statistics.median(seconds.pop("products"))
    bound = products + seconds_of_traffic((sizes, generator), rows, width, slots, VOCABULARY, device)
    flops = electra_flops(sizes, generator, VOCABULARY).of_step(rows * width, rows * width**2, rows * slots)
    peak = peak_flops(device, torch.bfloat16)
    variants = []
    for name, taken in seconds.items():
        middle = statistics.median(taken)
        variants.append(
            {
                "variant": name,
                "ms": round(1000 * middle, 2),
                "tokens_per_second": round(rows * width / middle),
                **ratios(seconds[THEIRS], taken),
                "mfu": round(flops / middle / peak, 3),
                "of_bound": round(bound / middle, 3),
                "megabytes": made[name][1],
            }
        )
    fastest = min(seconds, key=lambda name: statistics.median(seconds[name]))
    return {
        "size": size,
        "rows": rows,
        "width": width,
        "nets": describe_models(size),
        "variants": variants,
        "profiled": fastest,
        "top": top_kernels(runs[fastest], device),
    }


def top_kernels(run: Callable[[], None], device: str) -> list[dict]:
    """Profile a step; returns the kernels that took most of its time."""
    with profiler(device) as profile:
        run()
        clock(device)
    return largest_shares(kernel_seconds(profile, device))


def profiler(device: str) -> torch.profiler.profile:
    """Make a profiler of the operations of a device."""
    kinds = torch.profiler.ProfilerActivity
    return torch.profiler.profile(activities=[kinds.CPU, *([kinds.CUDA] if device == "cuda" else [])])


def kernel_seconds(profile: torch.profiler.profile, device: str) -> dict[str, float]:
    """Return the seconds that each kernel of a profile ran."""
    kind = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    # on a GPU only the kernels, since their time is also counted for the operators that started them
    events = [
        event
        for event in profile.key_averages()
        if device == "cpu" or (event.device_type == DeviceType.CUDA and not event.is_user_annotation)
    ]
    return {event.key: getattr(event, kind) / 1e6 for event in events}


def largest_shares(seconds: dict[str, float]) -> list[dict]:
    """Return the kernels that took most of the time, with their shares."""
    total = sum(seconds.values())
    ordered = sorted(seconds, key=lambda name: seconds[name], reverse=True)
    return [{"kernel": name, "share": round(seconds[name] / total, 3)} for name in ordered[:TOP]]


def markdown(report: dict) -> str:
    """Format the table of a report in Markdown."""
    lines = [f"{report['device']}, torch {report['torch']}", ""]
    lines += [
        "| training step, bfloat16, no dropout | ms | tokens/s | ratio | range | MFU | of the bound | MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for point in report["points"]:
        for row in point["variants"]:
            low, high = row["ratio_range"]
            lines.append(
                f"| {point['size']}, {point['rows']} x {point['width']}: {row['variant']} | {row['ms']} "
                f"| {row['tokens_per_second']:,} | {row['ratio']:.2f} | {low} to {high} | {row['mfu']:.1%} "
                f"| {row['of_bound']:.0%} | {row['megabytes'] or ''} |"
            )
    for line in dict.fromkeys(point["nets"] for point in report["points"] if "nets" in point):
        lines += ["", line]
    for point in report["points"]:
        top = ", ".join(f"{each['kernel']} {each['share']:.0%}" for each in point["top"])
        lines += ["", f"{point['size']}, {point['profiled']}: {top}"]
    return "\n".join(lines)


def main() -> None:
    """Run the comparison."""
    parser = new_parser(__doc__, "gpu.json")
    parser.add_argument(
        "--points", nargs="+", default=list(POINTS), metavar="SIZE:ROWS:WIDTH", help="default: %(default)s"
    )
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="default: %(default)s")
    parser.add_argument(
        "--steps", type=int, default=STEPS, help="steps of a variant in a round (default: %(default)s)"
    )
    args = read_arguments(parser, markdown)
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU here; --device cpu runs the program without one")
    fairseq_electra.register()
    points = []
    with machine_lock():
        for point in args.points:
            size, rows, width = point.split(":")
            points.append(compare(size, int(rows), int(width), args.device, args.rounds, args.steps))
    device = torch.cuda.get_device_name() if args.device == "cuda" else processor()
    report = {"device": device, "torch": torch.__version__, "points": points}
    publish(report, args.output, markdown)


if __name__ == "__main__":
    main()
