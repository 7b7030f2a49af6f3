"""``bash scripts/benchmark.sh padding TASK...``: updates of fine-tuning with and without padding.

TASK is a folder that ``fairseq-electra prepare`` has written. Forward and backward pass of a classifier on
batches of its training rows, drawn at random as in training: padded to the longest row, and without padding
as ``electra_encoder`` computes them on a CPU. Both run in turn in one process. Ids are random, which changes
no time.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmark.report import machine_lock, new_parser, publish, ratios, read_arguments
from fairseq_electra.electra.configuration import encoder_sizes
from fairseq_electra.finetuning.encoder import EncoderWithHeads, segments_of
from fairseq_electra.finetuning.sentences.head import SentenceHead
from fairseq_electra.memory import keep_freed_memory
from fairseq_electra.precision import autocast
from fairseq_electra.pretraining.binarized import load_dictionary, open_binarized
from fairseq_electra.pretraining.wordpiece import BOS_ID, EOS_ID, PAD_ID
from fairseq_electra.speedrun.machine import processor

PADDED, UNPADDED = "padded", "without padding"
HEAD, LONGEST, VOCABULARY = "classes", 128, 8192


def batches(task: Path, rows: int, number: int) -> list[Tensor]:
    """Return batches of rows as long as the training rows of a task. Shapes: (rows, T).

    Args:
        task: The folder of the task.
        rows: The number of rows of a batch.
        number: The number of batches.
    """
    vocabulary_size = len(load_dictionary(str(task / "input0")).symbols)
    texts = [open_binarized(each / "train", vocabulary_size) for each in sorted(task.glob("input?"))]
    lengths = np.minimum(1 + sum(np.asarray(text.line_sizes) for text in texts), LONGEST)
    generator = np.random.default_rng(0)
    drawn = generator.permutation(lengths)[: rows * number].reshape(-1, rows)
    made = []
    for each in drawn:
        tokens = torch.from_numpy(generator.integers(4, VOCABULARY, (rows, each.max())))
        tokens[:, 0] = BOS_ID
        for row, length in zip(tokens, each, strict=True):
            row[length - 1], row[length:] = EOS_ID, PAD_ID
        made.append(tokens)
    return made


def compare(task: Path, args: argparse.Namespace) -> dict:
    """Measure the processor time of both forms on each batch in turn, after a warm-up batch."""
    sizes = encoder_sizes({"model_size": args.size})
    model = EncoderWithHeads(sizes, VOCABULARY, pooling="mean")
    model.register_head(HEAD, SentenceHead(sizes.hidden_size, 2, 0.1, "mean"))
    made = batches(task, args.rows, args.rounds + 1)

    def update(tokens: Tensor, form: str) -> float:
        padding = tokens == PAD_ID
        segments = segments_of(tokens, EOS_ID).masked_fill(padding, 0)
        start = time.process_time()
        with autocast(args.autocast, "cpu"):
            if form == PADDED:
                hidden = model.extract_features(tokens, segments, padding)
            else:
                hidden = model(tokens, segments)[0]
        model.classification_heads[HEAD](hidden.float(), padding).sum().backward()
        return time.process_time() - start

    seconds: dict[str, list[float]] = {PADDED: [], UNPADDED: []}
    for number, tokens in enumerate(made):
        for form, found in seconds.items():
            measured = update(tokens, form)
            if number:
                found.append(measured)
    filled = sum(int((each != PAD_ID).sum()) for each in made) / sum(each.numel() for each in made)
    return {
        "task": task.name,
        "filled": round(filled, 3),
        **{form: round(1000 * statistics.median(found), 1) for form, found in seconds.items()},
        **ratios(seconds[PADDED], seconds[UNPADDED]),
    }


def markdown(report: dict) -> str:
    """Format the table of a report in Markdown."""
    machine = report["machine"]
    title = f"`electra_{report['size']}`, {report['autocast']}, {report['rows']} rows"
    lines = [f"{machine['processor']}, 1 thread, torch {machine['torch']}", ""]
    lines += [
        f"| {title}: ms of an update | filled | {PADDED} | {UNPADDED} | ratio | range |",
        "|---|---|---|---|---|---|",
    ]
    for row in report["found"]:
        low, high = row["ratio_range"]
        lines.append(
            f"| {row['task']} | {row['filled']:.0%} | {row[PADDED]} | {row[UNPADDED]} | {row['ratio']} |"
            f" {low} to {high} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run the comparison."""
    parser = new_parser(__doc__, "padding.json", rounds=20)
    parser.add_argument("tasks", nargs="*", type=Path, metavar="TASK", help="folder of a prepared task")
    parser.add_argument("--size", default="tiny", help="size of the model (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=32, help="rows of a batch (default: %(default)s)")
    parser.add_argument(
        "--autocast", choices=["none", "bf16"], default="none", help="as in training (default: %(default)s)"
    )
    args = read_arguments(parser, markdown)
    if not args.tasks:
        parser.error("name the folders of one task or more, which fairseq-electra prepare writes")
    torch.set_num_threads(1)
    keep_freed_memory()
    with machine_lock():
        found = [compare(task, args) for task in args.tasks]
    report = {
        "machine": {"processor": processor(), "torch": torch.__version__},
        **{name: getattr(args, name) for name in ("size", "rows", "autocast")},
        "found": found,
    }
    publish(report, args.output, markdown)


if __name__ == "__main__":
    main()
