"""``bash scripts/benchmark.sh layers``: what the layers of ModernBERT cost beside those of BERT.

The encoders have equal numbers of parameters, to one in a hundred. Forward and backward pass of as many
tokens at every row length, one trait more in each variant, all in turn in one process; without dropout and
embeddings, and so without learned positions.
"""

import statistics
import time

import torch

from benchmark.report import machine_lock, new_parser, publish, ratios, read_arguments
from fairseq_electra.electra.encoder import Encoder
from fairseq_electra.electra.size_table import MODEL_SIZES, named_sizes
from fairseq_electra.memory import keep_freed_memory
from fairseq_electra.speedrun.machine import processor

BERT = "BERT's, LayerNorm behind each sublayer"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def variants(size: str) -> dict[str, dict]:
    """Return the traits of each variant, as fields of :class:`~fairseq_electra.electra.sizes.EncoderSizes`.

    Args:
        size: the model size whose shape all have.
    """
    inner = MODEL_SIZES[size].encoder.intermediate_size
    steps: dict[str, dict[str, object]] = {
        BERT: {"positions": "learned", "norm": "post", "dropout": 0.0, "attention_dropout": 0.0},
        "+ rotary positions": {"positions": "rotary"},
        "+ LayerNorm before, but not the first": {"norm": "pre_but_first"},
        # gates need a third matrix: two thirds of the size keep the number of parameters
        "+ GeGLU": {"feed_forward": "geglu", "intermediate_size": round(inner * 2 / 3 / 8) * 8},
        "+ no biases": {"no_linear_bias": True, "norm_kind": "layernorm_without_bias"},
        "+ windows of 128, every third layer global": {"local_window": 128},
    }
    found = dict[str, dict]()
    traits = dict[str, object]()
    for name, step in steps.items():
        traits |= step
        found[name] = dict(traits)
    return found


def compare(size: str, length: int, tokens: int, dtype: torch.dtype, rounds: int) -> list[dict]:
    """Measure the processor time of all variants in turn, after a warm-up round.

    Args:
        size: the model size.
        length: tokens of a row.
        tokens: tokens of the batch.
        dtype: ``bfloat16`` is that of autocast; parameters are ``float32``.
        rounds: number of rounds.
    """
    encoders = {
        name: Encoder(named_sizes(size, **traits, max_position_embeddings=max(512, length)))
        for name, traits in variants(size).items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in encoders}
    for number in range(rounds + 1):
        for name, encoder in encoders.items():
            embedded = torch.randn(tokens // length, length, encoder.sizes.embedding_size)
            start = time.process_time()
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
                output = encoder(embedded, None)
            output.float().square().sum().backward()
            if number:
                seconds[name].append(time.process_time() - start)
            encoder.zero_grad()
    return [
        {
            "variant": name,
            "parameters": sum(parameter.numel() for parameter in encoders[name].parameters()),
            "tokens_per_cpu_second": round(tokens / statistics.median(found)),
            **ratios(found, seconds[BERT]),
        }
        for name, found in seconds.items()
    ]


def markdown(report: dict) -> str:
    """Format the tables of a report in Markdown."""
    machine = report["machine"]
    lines = [f"{machine['processor']}, 1 thread, torch {machine['torch']}"]
    for size in dict.fromkeys(found["size"] for found in report["found"]):
        here = [found for found in report["found"] if found["size"] == size]
        titles = [f"{found['dtype']}, rows of {found['length']:,}" for found in here]
        lines += ["", f"| layers of electra_{size} | parameters | {' | '.join(titles)} |"]
        lines += ["|---|---|" + "---|" * len(here)]
        for number, row in enumerate(here[0]["rows"]):
            cells = [of_length(found["rows"][number]) for found in here]
            lines.append(f"| {row['variant']} | {row['parameters']:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def of_length(row: dict) -> str:
    """Format the time per token as a multiple of that of BERT's layers, whose speed is shown."""
    if row["variant"] == BERT:
        return f"{row['tokens_per_cpu_second']:,} tokens/s of one core"
    low, high = row["ratio_range"]
    return f"{row['ratio']:.2f} ({low} to {high})"


def main() -> None:
    """Run the comparison."""
    parser = new_parser(__doc__, "layers.json")
    parser.add_argument(
        "--sizes", nargs="+", default=["tiny", "small"], help="model sizes (default: tiny small)"
    )
    parser.add_argument(
        "--lengths",
        nargs="+",
        type=int,
        default=[128, 512, 2048],
        help="row lengths in tokens (default: 128 512 2048)",
    )
    parser.add_argument("--tokens", type=int, default=2048, help="tokens of a batch (default: %(default)s)")
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=["bfloat16"], help="default: bfloat16")
    args = read_arguments(parser, markdown)
    for length in args.lengths:
        if args.tokens % length:
            parser.error(f"--tokens {args.tokens} is no whole number of rows of {length}")
    torch.set_num_threads(1)
    keep_freed_memory()
    with machine_lock():
        found = [
            {
                "size": size,
                "length": length,
                "dtype": dtype,
                "rows": compare(size, length, args.tokens, DTYPES[dtype], args.rounds),
            }
            for size in args.sizes
            for dtype in args.dtypes
            for length in args.lengths
        ]
    machine = {"processor": processor(), "torch": torch.__version__}
    publish({"machine": machine, "tokens": args.tokens, "found": found}, args.output, markdown)


if __name__ == "__main__":
    main()
