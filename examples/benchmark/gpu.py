"""``bash scripts/benchmark.sh gpu``: training steps on a GPU against transformers and against what the GPU could do.

For each size and length of rows, in turn within one process, in bfloat16: transformers (head on masked positions; its ELECTRA has learned
positions and LayerNorm behind each sublayer) and ours, with the network of --arch, each eager, compiled, and compiled with CUDA graphs. The
bound is the time of the step's matrix products alone, measured, and of moving an estimate of what fused kernels must move, at the measured
speed of copies, one after the other. The most expensive kernels of our fastest step are listed.

``--device cpu`` tries the program where there is no GPU.
"""

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch.autograd import DeviceType

import fairseq_electra
from benchmark.baselines import nets
from benchmark.bound import clock, products_alone, step_products
from benchmark.report import alone, new_parser, publish, ratios, read_arguments
from fairseq_electra.electra.flops import electra_flops, peak_flops
from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.electra.sizes import EncoderSizes
from fairseq_electra.speedrun.machine import processor

POINTS = ("small:128:128", "base:32:512", "large:16:512")
THEIRS = "transformers, head on masked positions"
COMPILED, GRAPHED = ", torch.compile", ", torch.compile with CUDA graphs"
OURS = "fairseq_electra"
OURS_GRAPHED = f"{OURS}, --compile --cuda-graphs"
# An estimate of what is moved per token. Of each hidden unit of each layer, 80 numbers of two bytes: forward 32 (projections 4, 2, 9 with
# GELU, 5; attention 4; two sums with their norms 8), backward 48 (projections 8, 4, 10, 12 with GELU; attention 8; norms 6). Of each score
# of a masked position 22 bytes: written, read and sampled from in bfloat16, softmax in float32, and its gradient.
BYTES_PER_UNIT, BYTES_PER_SCORE = 160, 22
STEPS = 10  # of a variant in a round
TOP = 5  # kernels listed


def make_steps(
    size: str, rows: int, width: int, device: str
) -> dict[str, tuple[Callable[[], None], int | None]]:
    """Return of every variant a training step, compiled and up to speed, and the most memory of a GPU that it took, in MB."""
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

        for _ in range(3):  # compile, and come up to speed
            run()
        if device == "cpu":
            return run, None
        most = torch.cuda.max_memory_allocated() - before
        torch.cuda.empty_cache()  # CUDA graphs have memory of their own, and cannot take what others have left
        return run, round(most / 2**20)

    return {name: make(name) for name in networks}


def moved(sample: dict, device: str) -> dict:
    """Move a batch's tensors."""
    on_device = {name: tensor.to(device) for name, tensor in sample["net_input"].items()}
    return {**sample, "net_input": on_device, "target": on_device["target"]}


def seconds_of_traffic(
    networks: Sequence[EncoderSizes], rows: int, width: int, slots: int, num_tokens: int, device: str
) -> float:
    """Seconds to move what fused kernels must move, by the speed of a large copy.

    Args:
        networks: sizes of discriminator and generator.
        rows, width, slots: B, T and K.
        num_tokens: V.
        device: ``cuda``, or ``cpu``.
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
    """Time all variants in turn, and find the bound."""
    from benchmark.training_step import VOCABULARY

    torch._dynamo.reset()  # else the graphs of all points would count as one network's, of which it allows eight
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
        "nets": nets(size),
        "variants": variants,
        "profiled": fastest,
        "top": top_kernels(runs[fastest], device),
    }


def top_kernels(run: Callable[[], None], device: str) -> list[dict]:
    """Profile a step; returns the kernels that took most of it."""
    with profiler(device) as profile:
        run()
        clock(device)
    return largest_shares(kernel_seconds(profile, device))


def profiler(device: str) -> torch.profiler.profile:
    """Make a profiler of what a device does."""
    kinds = torch.profiler.ProfilerActivity
    return torch.profiler.profile(activities=[kinds.CPU, *([kinds.CUDA] if device == "cuda" else [])])


def kernel_seconds(profile: torch.profiler.profile, device: str) -> dict[str, float]:
    """Read from a profile how long each kernel ran."""
    kind = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    # of a GPU the kernels alone: their time is also that of the operators that started them
    own = [
        e
        for e in profile.key_averages()
        if device == "cpu" or (e.device_type == DeviceType.CUDA and not e.is_user_annotation)
    ]
    return {event.key: getattr(event, kind) / 1e6 for event in own}


def largest_shares(seconds: dict[str, float]) -> list[dict]:
    """List the kernels that took most of the time, and their shares of it."""
    whole = sum(seconds.values())
    ordered = sorted(seconds, key=lambda name: seconds[name], reverse=True)
    return [{"kernel": name, "share": round(seconds[name] / whole, 3)} for name in ordered[:TOP]]


def markdown(report: dict) -> str:
    """Table of a report."""
    lines = [f"{report['device']}, torch {report['torch']}", ""]
    lines += [
        "| training step, bfloat16, no dropout | ms | tokens/s | ratio | range | MFU | of the bound | MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for found in report["points"]:
        for row in found["variants"]:
            low, high = row["ratio_range"]
            lines.append(
                f"| {found['size']}, {found['rows']} x {found['width']}: {row['variant']} | {row['ms']} | {row['tokens_per_second']:,} | "
                f"{row['ratio']:.2f} | {low} to {high} | {row['mfu']:.1%} | {row['of_bound']:.0%} | {row['megabytes'] or ''} |"
            )
    for line in dict.fromkeys(found["nets"] for found in report["points"] if "nets" in found):
        lines += ["", line]
    for found in report["points"]:
        top = ", ".join(f"{each['kernel']} {each['share']:.0%}" for each in found["top"])
        lines += ["", f"{found['size']}, {found['profiled']}: {top}"]
    return "\n".join(lines)


def main() -> None:
    """Run."""
    parser = new_parser(__doc__, "gpu.json")
    parser.add_argument(
        "--points", nargs="+", default=list(POINTS), metavar="SIZE:ROWS:WIDTH", help="default: %(default)s"
    )
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="default: %(default)s")
    parser.add_argument(
        "--steps", type=int, default=STEPS, help="of a variant in a round (default: %(default)s)"
    )
    args = read_arguments(parser, markdown)
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU here; --device cpu tries the program without one")
    fairseq_electra.register()
    points = []
    with alone():
        for point in args.points:
            size, rows, width = point.split(":")
            points.append(compare(size, int(rows), int(width), args.device, args.rounds, args.steps))
    device = torch.cuda.get_device_name() if args.device == "cuda" else processor()
    report = {"device": device, "torch": torch.__version__, "points": points}
    publish(report, args.output, markdown)


if __name__ == "__main__":
    main()
