"""``bash scripts/benchmark.sh packing``: compare packed rows with padded ones on text of short documents.

Each paragraph is a document. Padded rows have one length, as without ``--pack``; or batches hold rows of
similar length, padded to the longest of the batch, as many as fit. All variants use the same text, model,
vocabulary and number of positions in a batch, and run in turn in one process. Tokens are counted without
padding.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

import fairseq_electra
from benchmark.report import machine_lock, new_parser, publish, ratios, read_arguments
from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.files.text import read_lines
from fairseq_electra.memory import keep_freed_memory
from fairseq_electra.pretraining.corpus import builtin_paragraphs
from fairseq_electra.pretraining.encode import encode_to_binary
from fairseq_electra.pretraining.wordpiece import load_wordpiece, save_vocabulary, train_wordpiece
from fairseq_electra.speedrun.machine import processor

VOCABULARY = 8192
PARAGRAPHS = 20_000
BATCHES = 4  # batches of a variant in a round
PADDED, BY_LENGTH, PACKED = "padded", "batches by length", "--pack"


def make_variants(
    paragraphs: list[str], size: str, width: int, slots: int, autocast: str
) -> dict[str, tuple[float, Callable[[], int]]]:
    """Prepare all variants of training on paragraphs.

    Args:
        paragraphs: The paragraphs of the text, each a document.
        size: The model size.
        width: The length of a row in tokens.
        slots: The number of positions of a batch, padding included.
        autocast: ``none`` or ``bf16``.

    Returns:
        For each variant the share of positions that is not padding, and a function that trains on some
        batches and returns the number of tokens in them.
    """
    from omegaconf import OmegaConf

    from fairseq_electra.criterions.replaced_token_detection import (
        ReplacedTokenDetection,
        ReplacedTokenDetectionConfig,
    )
    from fairseq_electra.models.electra import ElectraConfig, ElectraModel
    from fairseq_electra.tasks._pretraining_options import ElectraPretrainingConfig
    from fairseq_electra.tasks.electra_pretraining import ElectraPretrainingTask

    variants: dict[str, tuple[float, Callable[[], int]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        save_vocabulary(train_wordpiece(paragraphs, VOCABULARY), folder)
        lines: Iterable[str] = (line for paragraph in paragraphs for line in (paragraph, ""))
        encode_to_binary(load_wordpiece(folder), lines, Path(folder) / "train", folder)
        for name in (PADDED, BY_LENGTH, PACKED):
            options = {
                "data": folder,
                "tokens_per_sample": width,
                "pack": name == PACKED,
                "autocast": autocast,
                "seed": 1,
            }
            options |= {
                "train_subset": "train",
                "cpu": not torch.cuda.is_available(),
                "ddp_backend": "pytorch_ddp",
            }
            options |= dict.fromkeys(
                ["fp16", "bf16", "memory_efficient_fp16", "memory_efficient_bf16", "amp", "tpu"], False
            )
            cfg: Any = OmegaConf.merge(OmegaConf.structured(ElectraPretrainingConfig), options)
            task = ElectraPretrainingTask.setup_task(cfg)
            dataset = task.load_dataset("train")
            torch.manual_seed(1)
            sizes = {
                "model_size": size,
                **MODEL_SIZES[size].arch_traits,
                "max_position_embeddings": max(512, width),
            }
            sizes |= {"dropout": 0.0, "attention_dropout": 0.0}
            model = ElectraModel.build_model(
                OmegaConf.merge(OmegaConf.structured(ElectraConfig), sizes), task
            )
            criterion = ReplacedTokenDetection(OmegaConf.structured(ReplacedTokenDetectionConfig), task)
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
            order = dataset.ordered_indices()
            batches = (
                by_length(dataset.sizes, slots) if name == BY_LENGTH else of_one_length(order, width, slots)
            )

            def train(
                task=task,
                dataset=dataset,
                model=model,
                criterion=criterion,
                optimizer=optimizer,
                batches=batches,
            ) -> int:
                tokens = 0
                for rows, dataset.row_length in islice(batches, BATCHES):
                    sample = dataset.collater(rows)
                    optimizer.zero_grad()
                    model.train()
                    with task.autocast(sample):
                        loss, masked, _ = criterion(model, sample)
                    (loss / masked).backward()
                    optimizer.step()
                    tokens += sample["ntokens"]
                return tokens

            filled = float(dataset.sizes.mean()) / width
            variants[name] = (filled_by_length(dataset.sizes, slots) if name == BY_LENGTH else filled, train)
    return variants


def of_one_length(order: np.ndarray, width: int, slots: int) -> Iterator[tuple[list[int], int]]:
    """Yield batches without end: row numbers in the given order, and the length of the rows."""
    rows = cycle(order.tolist())
    while True:
        yield list(islice(rows, slots // width)), width


def cut_by_length(sizes: np.ndarray, slots: int) -> list[tuple[list[int], int]]:
    """Divide rows, sorted by length, into batches that are as large as possible.

    Args:
        sizes: The number of tokens of each row. Shape: (number of rows,).
        slots: The number of positions of a batch, padding included.

    Returns:
        For each batch its row numbers and the length of its longest row.
    """
    order, batches, end = np.argsort(-sizes, kind="stable"), [], 0
    while end < len(order):  # sorted by decreasing length, so the first row of a batch is its longest
        start, longest = end, int(sizes[order[end]])
        end += max(1, slots // longest)
        batches.append((order[start:end].tolist(), longest))
    return batches


def by_length(sizes: np.ndarray, slots: int) -> Iterator[tuple[list[int], int]]:
    """Yield batches by length without end; the batches of a round are spread evenly over all lengths."""
    batches = cut_by_length(sizes, slots)
    for number in count():
        turn, part = divmod(number, BATCHES)
        yield batches[((2 * part + 1) * len(batches) // (2 * BATCHES) + turn) % len(batches)]


def filled_by_length(sizes: np.ndarray, slots: int) -> float:
    """Return the share of positions that is not padding, in all batches by length."""
    return float(sizes.sum()) / sum(len(rows) * longest for rows, longest in cut_by_length(sizes, slots))


def compare(
    paragraphs: list[str], size: str, width: int, slots: int, autocast: str, rounds: int
) -> list[dict]:
    """Measure the processor time of all variants in turn, after a warm-up round."""
    variants = make_variants(paragraphs, size, width, slots, autocast)
    speeds: dict[str, list[float]] = {name: [] for name in variants}
    for _, train in variants.values():
        train()
    for _ in range(rounds):
        for name, (_, train) in variants.items():
            start = time.process_time()
            tokens = train()
            speeds[name].append(tokens / (time.process_time() - start))
    rows = []
    for name, found in speeds.items():
        rows.append(
            {
                "variant": name,
                "filled": round(variants[name][0], 3),
                "tokens_per_cpu_second": round(statistics.median(found)),
                **ratios(found, speeds[PADDED]),
            }
        )
    return rows


def markdown(report: dict) -> str:
    """Format the table of a report in Markdown."""
    machine = report["machine"]
    lines = [f"{machine['processor']}, {machine['threads']} threads, torch {machine['torch']}", ""]
    lines += [
        "| rows of paragraphs | filled | tokens of text/s of one core | ratio | range |",
        "|---|---|---|---|---|",
    ]
    for found in report["found"]:
        for row in found["rows"]:
            low, high = row["ratio_range"]
            title = f"{found['size']}, rows of {found['width']}: {row['variant']}"
            lines.append(
                f"| {title} | {row['filled']:.1%} | {row['tokens_per_cpu_second']:,} | {row['ratio']:.2f} |"
                f" {low} to {high} |"
            )
    for size, net in report.get("nets", {}).items():
        lines += ["", f"{size}: {net['positions']} positions, --norm {net['norm']}"]
    return "\n".join(lines)


def main() -> None:
    """Run the comparison."""
    parser = new_parser(__doc__, "packing.json")
    parser.add_argument(
        "--text", metavar="FILE", help="text file with one paragraph per line (default: the built-in corpus)"
    )
    parser.add_argument(
        "--sizes", nargs="+", default=["tiny", "small"], help="model sizes (default: tiny small)"
    )
    parser.add_argument(
        "--widths", nargs="+", type=int, default=[128, 512], help="row lengths in tokens (default: 128 512)"
    )
    parser.add_argument(
        "--slots",
        type=int,
        default=4096,
        help="positions of a batch, padding included (default: %(default)s)",
    )
    parser.add_argument(
        "--autocast",
        default="none",
        choices=["none", "bf16"],
        help="number format of matrix products (default: %(default)s)",
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    args = read_arguments(parser, markdown)
    if args.slots < max(args.widths):
        parser.error(f"--slots {args.slots} is less than one row of {max(args.widths)} tokens")
    fairseq_electra.register()
    torch.set_num_threads(args.threads)
    keep_freed_memory()
    text = read_lines(args.text) if args.text else builtin_paragraphs()
    paragraphs = list(islice((line for line in text if line.strip()), PARAGRAPHS))
    with machine_lock():
        found = [
            {
                "size": size,
                "width": width,
                "rows": compare(paragraphs, size, width, args.slots, args.autocast, args.rounds),
            }
            for size in args.sizes
            for width in args.widths
        ]
    machine = {
        "processor": processor(),
        "threads": args.threads,
        "torch": torch.__version__,
        "autocast": args.autocast,
    }
    nets = {size: MODEL_SIZES[size].arch_traits for size in args.sizes}
    report = {"machine": machine, "nets": nets, "found": found}
    publish(report, args.output, markdown)


if __name__ == "__main__":
    main()
