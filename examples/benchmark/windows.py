"""``bash scripts/benchmark.sh windows``: attention within a window, by the length of the row.

One layer's attention, forward and backward, of as many tokens at every length: the whole row as the encoder
computes it, the window as a mask of T x T, and the window in blocks. All run in turn in one process.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmark.report import machine_lock, new_parser, publish, ratios, read_arguments
from fairseq_electra.electra.fast.attention import attend, attention_mask
from fairseq_electra.electra.fast.windows import WindowBlocks
from fairseq_electra.electra.scaled_dot_product import mask_to_add
from fairseq_electra.memory import keep_freed_memory
from fairseq_electra.speedrun.machine import processor

WHOLE, MASK, BLOCKS = "whole row", "window as a mask", "window in blocks"
HEADS, HEAD_SIZE = 4, 64  # of electra_small
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def variants(length: int, tokens: int, window: int, dtype: torch.dtype) -> dict[str, Callable[[], Tensor]]:
    """Return functions that compute attention for rows of one length, each with a mask of its own making.

    Args:
        length: The number of tokens of a row.
        tokens: The number of tokens of the batch.
        window: The number of tokens around a token that it attends to.
        dtype: The type of queries, keys and values.
    """
    rows = max(1, tokens // length)
    shape = (rows, length, HEADS, HEAD_SIZE)
    query, key, value = (torch.randn(shape, dtype=dtype, requires_grad=True) for _ in range(3))
    hidden, padding = torch.zeros(rows, length, 1, dtype=dtype), torch.zeros(rows, length, dtype=torch.bool)
    masks = {
        WHOLE: lambda: attention_mask(hidden, padding, None),
        MASK: lambda: mask_to_add(hidden, "row", padding, None, window),
        BLOCKS: lambda: WindowBlocks.of(hidden, window, padding, None),
    }
    return {
        name: lambda mask=mask: attend(query, key, value, mask(), 0.0)  # type: ignore[misc]
        for name, mask in masks.items()
    }


def compare(length: int, tokens: int, window: int, dtype: torch.dtype, rounds: int) -> list[dict]:
    """Measure the processor time of all variants in turn, after a warm-up round."""
    computed = variants(length, tokens, window, dtype)
    seconds: dict[str, list[float]] = {name: [] for name in computed}
    for number in range(rounds + 1):
        for name, compute in computed.items():
            start = time.process_time()
            compute().float().square().sum().backward()
            if number:
                seconds[name].append(time.process_time() - start)
    return [
        {
            "variant": name,
            "cpu_ms": round(1000 * statistics.median(found), 1),
            **ratios(seconds[WHOLE], found),
        }
        for name, found in seconds.items()
    ]


def markdown(report: dict) -> str:
    """Format the table of a report in Markdown."""
    machine = report["machine"]
    title = f"ms of one core, {machine['dtype']}, {report['tokens']:,} tokens, window {report['window']}"
    lines = [f"{machine['processor']}, 1 thread, torch {machine['torch']}", ""]
    lines += [
        f"| {title}: rows of | {WHOLE} | {MASK} | {BLOCKS} | whole row to blocks |",
        "|---|---|---|---|---|",
    ]
    for found in report["found"]:
        of = {row["variant"]: row for row in found["rows"]}
        times = " | ".join(str(of[name]["cpu_ms"]) for name in (WHOLE, MASK, BLOCKS))
        low, high = of[BLOCKS]["ratio_range"]
        lines.append(f"| {found['length']:,} | {times} | {of[BLOCKS]['ratio']}, {low} to {high} |")
    return "\n".join(lines)


def main() -> None:
    """Run the comparison."""
    parser = new_parser(__doc__, "windows.json")
    parser.add_argument(
        "--lengths",
        nargs="+",
        type=int,
        default=[128, 256, 384, 512, 1024, 2048, 4096],
        help="row lengths in tokens (default: 128 to 4096)",
    )
    parser.add_argument("--tokens", type=int, default=4096, help="tokens of a batch (default: %(default)s)")
    parser.add_argument("--window", type=int, default=128, help="default: %(default)s")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="default: %(default)s")
    args = read_arguments(parser, markdown)
    torch.set_num_threads(1)
    keep_freed_memory()
    with machine_lock():
        found = [
            {
                "length": length,
                "rows": compare(length, args.tokens, args.window, DTYPES[args.dtype], args.rounds),
            }
            for length in args.lengths
        ]
    machine = {"processor": processor(), "torch": torch.__version__, "dtype": args.dtype}
    report = {"machine": machine, "tokens": args.tokens, "window": args.window, "found": found}
    publish(report, args.output, markdown)


if __name__ == "__main__":
    main()
