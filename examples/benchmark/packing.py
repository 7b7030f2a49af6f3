"""``bash scripts/benchmark.sh packing``: packed rows against padded ones, on text whose paragraphs are documents.

Padded rows are of one width, as without ``--pack``; or batches hold rows of like length, padded to the longest of them, as many as fit
into the slots. The same text, model, vocabulary and slots in a batch, in turn within one process; counted are tokens of text, not padding.
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
from benchmark.report import alone, new_parser, publish, ratios, read_arguments
from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.files.text import read_lines
from fairseq_electra.memory import keep_freed_memory
from fairseq_electra.pretraining.corpus import builtin_paragraphs
from fairseq_electra.pretraining.encode import encode_to_binary
from fairseq_electra.pretraining.wordpiece import load_wordpiece, save_vocabulary, train_wordpiece
from fairseq_electra.speedrun.machine import processor

VOCABULARY = 8192
PARAGRAPHS = 20_000
BATCHES = 4  # of a variant in a round
PADDED, BY_LENGTH, PACKED = "padded", "batches by length", "--pack"


def steps_on(
    paragraphs: list[str], size: str, width: int, slots: int, autocast: str
) -> dict[str, tuple[float, Callable[[], int]]]:
    """Make all ways to train on paragraphs.

    Args:
        paragraphs: of text, each a document.
        size: row of the size table.
        width: tokens of a row.
        slots: of a batch, padding counted.
        autocast: none or bf16.

    Returns:
        by name, the share of slots that is text, and a function that trains on some batches and returns the tokens in them.
    """
    from omegaconf import OmegaConf

    from fairseq_electra.criterions.replaced_token_detection import (
        ReplacedTokenDetection,
        ReplacedTokenDetectionConfig,
    )
    from fairseq_electra.models.electra import ElectraConfig, ElectraModel
    from fairseq_electra.tasks.electra_pretraining import ElectraPretrainingConfig, ElectraPretrainingTask

    ways: dict[str, tuple[float, Callable[[], int]]] = {}
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
                by_length(dataset.sizes, slots) if name == BY_LENGTH else of_one_width(order, width, slots)
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
                for rows, dataset.width in islice(batches, BATCHES):
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
            ways[name] = (filled_by_length(dataset.sizes, slots) if name == BY_LENGTH else filled, train)
    return ways


def of_one_width(order: np.ndarray, width: int, slots: int) -> Iterator[tuple[list[int], int]]:
    """Yield batches without end: numbers of rows in this order, and their width."""
    rows = cycle(order.tolist())
    while True:
        yield list(islice(rows, slots // width)), width


def cut_by_length(sizes: np.ndarray, slots: int) -> list[tuple[list[int], int]]:
    """Cut rows, sorted by length, into batches as large as fit into the slots.

    Args:
        sizes: tokens of each row. Shape: (number of rows,).
        slots: of a batch, padding counted.

    Returns:
        batches: numbers of rows, and the length of the longest.
    """
    order, batches, end = np.argsort(-sizes, kind="stable"), [], 0
    while end < len(order):  # the longest come first, so the first of a batch is its longest
        begin, longest = end, int(sizes[order[end]])
        end += max(1, slots // longest)
        batches.append((order[begin:end].tolist(), longest))
    return batches


def by_length(sizes: np.ndarray, slots: int) -> Iterator[tuple[list[int], int]]:
    """Yield batches by length without end; those of a round are spread evenly over all lengths, so that each round has its share of all."""
    batches = cut_by_length(sizes, slots)
    for number in count():
        turn, part = divmod(number, BATCHES)
        yield batches[((2 * part + 1) * len(batches) // (2 * BATCHES) + turn) % len(batches)]


def filled_by_length(sizes: np.ndarray, slots: int) -> float:
    """Share of places that is text, in all batches by length."""
    return float(sizes.sum()) / sum(len(rows) * longest for rows, longest in cut_by_length(sizes, slots))


def compare(
    paragraphs: list[str], size: str, width: int, slots: int, autocast: str, rounds: int
) -> list[dict]:
    """Time all, in turn, after a round to warm up; in processor time of all threads."""
    ways = steps_on(paragraphs, size, width, slots, autocast)
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for _, train in ways.values():
        train()
    for _ in range(rounds):
        for name, (_, train) in ways.items():
            start = time.process_time()
            tokens = train()
            speeds[name].append(tokens / (time.process_time() - start))
    rows = []
    for name, found in speeds.items():
        rows.append(
            {
                "variant": name,
                "filled": round(ways[name][0], 3),
                "tokens_per_cpu_second": round(statistics.median(found)),
                **ratios(found, speeds[PADDED]),
            }
        )
    return rows


def markdown(report: dict) -> str:
    """Table of a report."""
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
                f"| {title} | {row['filled']:.1%} | {row['tokens_per_cpu_second']:,} | {row['ratio']:.2f} | {low} to {high} |"
            )
    for size, net in report.get("nets", {}).items():
        lines += ["", f"{size}: {net['positions']} positions, --norm {net['norm']}"]
    return "\n".join(lines)


def main() -> None:
    """Run."""
    parser = new_parser(__doc__, "packing.json")
    parser.add_argument(
        "--text", metavar="FILE", help="paragraphs, a line each (default: the built-in corpus)"
    )
    parser.add_argument(
        "--sizes", nargs="+", default=["tiny", "small"], help="rows of the size table (default: tiny small)"
    )
    parser.add_argument(
        "--widths", nargs="+", type=int, default=[128, 512], help="tokens of a row (default: 128 512)"
    )
    parser.add_argument(
        "--slots", type=int, default=4096, help="of a batch, tokens and padding (default: %(default)s)"
    )
    parser.add_argument(
        "--autocast", default="none", choices=["none", "bf16"], help="type of products (default: %(default)s)"
    )
    parser.add_argument("--threads", type=int, default=1, help="threads (default: %(default)s)")
    args = read_arguments(parser, markdown)
    if args.slots < max(args.widths):
        parser.error(f"--slots {args.slots} holds no row of {max(args.widths)}")
    fairseq_electra.register()
    torch.set_num_threads(args.threads)
    keep_freed_memory()
    text = read_lines(args.text) if args.text else builtin_paragraphs()
    paragraphs = list(islice((line for line in text if line.strip()), PARAGRAPHS))
    with alone():
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
