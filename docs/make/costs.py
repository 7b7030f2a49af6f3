"""What the paper's pre-trainings cost, counted from the sizes: parameters, memory, FLOPs, hours.

python -m docs.make.costs      # prints the tables of docs/how-to/memory-and-hours.md
"""

import json
from pathlib import Path
from typing import NamedTuple

from fairseq_electra.electra import flops, paper_flops
from fairseq_electra.electra.parameters import discriminator_parameters, pretraining_parameters
from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.electra.sizes import EncoderSizes

GPU_REPORT = Path(__file__).parents[2] / "examples" / "benchmark" / "gpu.json"
VOCABULARY = 30522  # pieces: BERT's vocabulary
BYTES_OF_PARAMETER = 16  # float32: the weight, its gradient, and Adam's two moments
GPUS = ("A100", "H100")
SHARES = (0.2, 0.4)  # of a GPU's peak


class Training(NamedTuple):
    """A pre-training of the paper (Clark et al. 2020, table 6)."""

    size: str
    tokens: int  # of a row
    rows: int  # of a batch
    updates: int
    mask_prob: float


def training_of(size: str) -> Training:
    """Look up the recipe of a size."""
    recipe = MODEL_SIZES[size].pretraining
    return Training(size, recipe.tokens, recipe.batch, recipe.updates, recipe.mask_prob)


TRAININGS = [training_of(size) for size in ("small", "base", "large")]


def networks(size: str) -> tuple[EncoderSizes, EncoderSizes]:
    """Look up the sizes of the discriminator and of the generator that ``--arch`` builds."""
    row = MODEL_SIZES[size]
    return row.arch_encoder, row.generator_of(row.arch_encoder)


def products(training: Training) -> float:
    """Count a whole pre-training: matrix products alone, a step as three forward passes, rows full."""
    tokens = training.tokens * training.rows * training.updates
    counts = flops.electra_flops(*networks(training.size), VOCABULARY)
    return counts.of_step(tokens, tokens * training.tokens, training.mask_prob * tokens)


def as_paper(training: Training) -> float:
    """Count the same as the paper's tables do."""
    rows = training.rows * training.updates
    return paper_flops.pretraining_flops(*networks(training.size), VOCABULARY, training.tokens, rows)


def size_table() -> str:
    """Write the table of parameters and of the memory that no batch changes."""
    lines = [
        "| `--arch` | parameters of the discriminator | of both networks | weights, gradients and Adam, GB |",
        "|---|---|---|---|",
    ]
    for size in MODEL_SIZES:
        discriminator, generator = networks(size)
        both = pretraining_parameters(discriminator, generator, VOCABULARY)
        kept = discriminator_parameters(discriminator, VOCABULARY)
        lines.append(
            f"| `electra_{size}` | {kept / 1e6:.1f} M | {both / 1e6:.1f} M |"
            f" {both * BYTES_OF_PARAMETER / 1e9:.2f} |"
        )
    return "\n".join(lines)


def hours_table() -> str:
    """Write the table of FLOPs and hours of the paper's trainings."""
    columns = [f"{gpu} at {share:.0%}" for gpu in GPUS for share in SHARES]
    lines = [
        (
            "| training of the paper | tokens | FLOPs | as the paper counts |"
            f" {' | '.join(f'hours, {name}' for name in columns)} |"
        ),
        "|---|---|---|---|" + "---|" * len(columns),
    ]
    for training in TRAININGS:
        count = products(training)
        hours = [
            f"{count / (flops.KNOWN_PEAKS[gpu] * share) / 3600:,.0f}" for gpu in GPUS for share in SHARES
        ]
        tokens = training.tokens * training.rows * training.updates
        lines.append(
            f"| {training.size}: {training.updates:,} updates of {training.rows:,} rows of {training.tokens} "
            f"| {tokens / 1e9:.0f} G | {count:.2g} | {as_paper(training):.2g} | {' | '.join(hours)} |"
        )
    return "\n".join(lines)


def measured_lines() -> str:
    """Write what was measured on a GPU: memory, speed, and the paper's small model in hours at that speed."""
    report = json.loads(GPU_REPORT.read_text(encoding="utf-8"))
    tokens = TRAININGS[0].tokens * TRAININGS[0].rows * TRAININGS[0].updates
    lines = [
        (
            "| `electra_small`, 128 rows of 128 | GPU memory, GB | tokens/s | hours for the paper's 16 G"
            " tokens |"
        ),
        "|---|---|---|---|",
    ]
    (point,) = [point for point in report["points"] if point["size"] == "small"]
    for variant in point["variants"]:
        if variant["variant"].startswith("fairseq_electra"):
            name = variant["variant"].partition(", ")[2]
            label = f"`{name}`" if name else "without `--compile`"
            speed = variant["tokens_per_second"]
            lines.append(
                f"| {label} | {variant['megabytes'] / 1e3:.1f} | {speed:,} | {tokens / speed / 3600:.1f} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    print("\n\n".join([size_table(), hours_table(), measured_lines()]))
