"""``bash scripts/benchmark.sh long_rows``: time and memory of long rows, beside transformers' ModernBERT.

Forward and backward pass of the encoder of a modern size, of as many tokens at every length: with its
windows, with attention to the whole row in all layers, and as transformers' ModernBERT of the same
configuration (random weights; that both compute the same is a test). Times are of one thread, all variants in
turn in one process; the memory of each is measured in a process of its own.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from benchmark.report import machine_lock, new_parser, publish, ratios, read_arguments
from fairseq_electra.electra.configuration import encoder_sizes
from fairseq_electra.electra.sizes import ROTARY_BASE
from fairseq_electra.finetuning.encoder import EncoderWithHeads
from fairseq_electra.interchange.modernbert_config import config_entries
from fairseq_electra.memory import keep_freed_memory
from fairseq_electra.precision import autocast
from fairseq_electra.speedrun.machine import processor

WINDOWS, WHOLE, THEIRS = "with windows", "whole rows", "transformers' ModernBERT"
VARIANTS = (WINDOWS, WHOLE, THEIRS)
VOCABULARY = 8192


def variant(name: str, args: argparse.Namespace) -> Callable[[Tensor], Tensor]:
    """Return a function from tokens to the last hidden states, under the autocast that is asked for."""
    sizes = encoder_sizes({"model_size": args.size})
    if name == THEIRS:
        from transformers import ModernBertConfig, ModernBertModel

        config = {**config_entries(sizes), "attention_dropout": 0.0, "attn_implementation": "sdpa"}
        theirs = ModernBertModel(ModernBertConfig(vocab_size=VOCABULARY, **config)).train()
        return lambda tokens: theirs(input_ids=tokens).last_hidden_state
    sizes = replace(sizes, dropout=0.0)
    if name == WHOLE:
        sizes = replace(sizes, local_window=0, global_every=3, local_rotary_base=ROTARY_BASE)
    ours = EncoderWithHeads(sizes, VOCABULARY).train()
    return lambda tokens: ours.extract_features(tokens, torch.zeros_like(tokens), None)


def step(compute: Callable[[Tensor], Tensor], length: int, args: argparse.Namespace) -> float:
    """Run one forward and backward pass; returns its processor time in seconds."""
    tokens = torch.randint(4, VOCABULARY, (max(1, args.tokens // length), length))
    start = time.process_time()
    with autocast(args.autocast, "cpu"):
        hidden = compute(tokens)
    hidden.float().square().mean().backward()
    return time.process_time() - start


def megabytes() -> int:
    """Return the largest memory that this process has had; that of ``getrusage`` counts its parent's too."""
    (line,) = (each for each in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in each)
    return round(int(line.split()[1]) / 1024)


def memory_of(name: str, length: int, args: argparse.Namespace) -> int:
    """Return the megabytes that one step adds to a process that has the model, measured in its own one."""
    command = [sys.executable, "-m", "benchmark.long_rows", "--point", name, str(length)]
    command += ["--size", args.size, "--tokens", str(args.tokens), "--autocast", args.autocast]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(length: int, args: argparse.Namespace) -> list[dict]:
    """Measure all variants at one length."""
    computed = {name: variant(name, args) for name in VARIANTS}
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for number in range(args.rounds + 1):  # the first one warms up
        for name, compute in computed.items():
            measured = step(compute, length, args)
            if number:
                seconds[name].append(measured)
    return [
        {
            "variant": name,
            "cpu_seconds": round(statistics.median(seconds[name]), 2),
            "megabytes": memory_of(name, length, args),
            **ratios(seconds[name], seconds[WINDOWS]),
        }
        for name in VARIANTS
    ]


def markdown(report: dict) -> str:
    """Format the table of a report in Markdown."""
    machine = report["machine"]
    title = f"{report['size']}, {report['autocast']}, {report['tokens']:,} tokens: rows of"
    times = [f"{name}, s" for name in VARIANTS]
    titles = [title, *times, "whole to windows", "theirs to windows", *(f"{name}, MB" for name in VARIANTS)]
    lines = [
        f"{machine['processor']}, 1 thread, torch {machine['torch']}, transformers {machine['transformers']}",
        "",
        f"| {' | '.join(titles)} |",
        "|---" * len(titles) + "|",
    ]
    for found in report["found"]:
        of = {row["variant"]: row for row in found["rows"]}
        cells = [f"{found['length']:,}", *(str(of[name]["cpu_seconds"]) for name in VARIANTS)]
        for name in (WHOLE, THEIRS):
            low, high = of[name]["ratio_range"]
            cells.append(f"{of[name]['ratio']}, {low} to {high}")
        cells += [f"{of[name]['megabytes']:,}" for name in VARIANTS]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run the comparison."""
    parser = new_parser(__doc__, "long_rows.json", rounds=3)
    parser.add_argument(
        "--lengths",
        nargs="+",
        type=int,
        default=[512, 1024, 2048, 4096, 8192],
        help="row lengths in tokens (default: 512 to 8192)",
    )
    parser.add_argument("--tokens", type=int, default=8192, help="tokens of a batch (default: %(default)s)")
    parser.add_argument("--size", default="modern_small", help="a size with windows (default: %(default)s)")
    parser.add_argument(
        "--autocast", choices=["none", "bf16"], default="none", help="as in training (default: %(default)s)"
    )
    parser.add_argument(
        "--point",
        nargs=2,
        metavar=("VARIANT", "LENGTH"),
        help="run one step of a variant in this process, and print the megabytes that it adds",
    )
    args = read_arguments(parser, markdown)
    torch.set_num_threads(1)
    if args.point:
        name, length = args.point[0], int(args.point[1])
        compute = variant(name, args)
        before = megabytes()
        step(compute, length, args)
        print(json.dumps(megabytes() - before))
        return
    import transformers

    keep_freed_memory()
    with machine_lock():
        found = [{"length": length, "rows": compare(length, args)} for length in args.lengths]
    machine = {
        "processor": processor(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    settings = {name: getattr(args, name) for name in ("size", "tokens", "autocast")}
    publish({"machine": machine, **settings, "found": found}, args.output, markdown)


if __name__ == "__main__":
    main()
