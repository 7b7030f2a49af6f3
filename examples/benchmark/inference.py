"""``bash scripts/benchmark.sh inference``: compare the hub interface with transformers.

Both use the same models, sentences and one thread. transformers runs in three ways: on the sentences in their
order, in batches of 32, padded to the longest of the batch; sorted by length first, as ours does by itself;
and sorted, in batches of 8, which was the fastest of 4, 8, 16 and 32 on the machine where this was written.
All times include the tokenizer.
"""

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

import fairseq_electra
from benchmark.report import machine_lock, new_parser, publish, ratios, read_arguments
from fairseq_electra.files.text import read_lines
from fairseq_electra.memory import keep_freed_memory
from fairseq_electra.pretraining.corpus import builtin_paragraphs
from fairseq_electra.speedrun.machine import processor

AS_THEY_COME, SORTED = "transformers, as they come, by 32", "transformers, sorted by length, by {}"
BEST = SORTED.format(8)


def sentences(path: str | None, number: int) -> list[str]:
    """Return sentences of a text file or the built-in corpus, whose paragraphs are split at full stops."""
    lines = read_lines(path) if path else builtin_paragraphs()
    sentences: list[str] = []
    for line in lines:
        sentences += [part.strip() for part in line.split(". ") if 10 < len(part) < 1500]
        if len(sentences) >= number:
            break
    return sentences[:number]


def transformers_runs(folder: Path, texts: list[str]) -> dict[str, dict[str, Callable[[], list]]]:
    """Return, for both tasks, the ways in which transformers runs."""
    from transformers import AutoModel, AutoModelForPreTraining, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    detector, encoder = (kind.from_pretrained(folder).eval() for kind in (AutoModelForPreTraining, AutoModel))

    @torch.inference_mode()
    def run(detect: bool, rows: int, by_length: bool = True) -> list:
        model = detector if detect else encoder
        ids = tokenizer(texts)
        order = list(range(len(texts)))
        if by_length:
            order.sort(key=lambda i: len(ids["input_ids"][i]))
        results: list = [None] * len(texts)
        for first in range(0, len(order), rows):
            chosen = order[first : first + rows]
            batch = tokenizer.pad(
                {name: [column[i] for i in chosen] for name, column in ids.items()}, return_tensors="pt"
            )
            output = model(**batch)
            values = output.logits.sigmoid() if detect else output.last_hidden_state
            for i, value in zip(chosen, values, strict=True):
                results[i] = value[: len(ids["input_ids"][i])]
        return results

    return {
        task: {
            AS_THEY_COME: lambda detect=detect: run(detect, 32, by_length=False),  # type: ignore[misc]
            SORTED.format(32): lambda detect=detect: run(detect, 32),  # type: ignore[misc]
            BEST: lambda detect=detect: run(detect, 8),  # type: ignore[misc]
        }
        for task, detect in (("detect_replaced", True), ("extract_features", False))
    }


def compare(checkpoint: str, vocabulary: str | None, texts: list[str], rounds: int) -> dict:
    """Measure all variants in turn; ratios are to the fastest way of transformers."""
    from fairseq_electra.hub.load import load_checkpoint
    from fairseq_electra.interchange.export_transformers import export_transformers

    with TemporaryDirectory() as folder:
        export_transformers(load_checkpoint(checkpoint, vocabulary), Path(folder) / "net")
        runs = transformers_runs(Path(folder) / "net", texts)
        hub = fairseq_electra.from_pretrained(checkpoint, vocabulary=vocabulary)
        report: dict = {}
        for task, variants in runs.items():
            variants["fairseq_electra"] = lambda task=task: getattr(hub, task)(texts)  # type: ignore[misc]
            expected, ours = variants[AS_THEY_COME](), variants["fairseq_electra"]()
            difference = max(float((a - b).abs().max()) for a, b in zip(expected, ours, strict=True))
            seconds: dict[str, list[float]] = {name: [] for name in variants}
            for _ in range(rounds):
                for name, run in variants.items():
                    start = time.process_time()
                    run()
                    seconds[name].append(time.process_time() - start)
            base = seconds[BEST]
            report[task] = {"largest_difference": difference, "rows": []}
            for name, taken in seconds.items():
                report[task]["rows"].append(
                    {
                        "variant": name,
                        "sentences_per_cpu_second": round(len(texts) / statistics.median(taken), 1),
                        **ratios(base, taken),
                    }
                )
    return report


def markdown(report: dict) -> str:
    """Format the tables of a report in Markdown."""
    machine = report["machine"]
    lines = [
        (
            f"{machine['processor']}, {machine['threads']} thread, torch {machine['torch']}, transformers"
            f" {machine['transformers']}"
        ),
        "",
    ]
    lines += [
        f"| {report['sentences']} sentences | sentences/s of one core | ratio | range |",
        "|---|---|---|---|",
    ]
    for net, tasks in report["nets"].items():
        for task, found in tasks.items():
            for row in found["rows"]:
                low, high = row["ratio_range"]
                lines.append(
                    f"| {net}, {task}: {row['variant']} | {row['sentences_per_cpu_second']:,} |"
                    f" {row['ratio']:.2f} | {low} to {high} |"
                )
    return "\n".join(lines)


def main() -> None:
    """Run the comparison."""
    parser = new_parser(__doc__, "inference.json")
    parser.add_argument(
        "checkpoints",
        nargs="*",
        metavar="NAME=CHECKPOINT",
        help="pre-training checkpoints with learned positions",
    )
    parser.add_argument(
        "--vocab",
        metavar="DIR",
        help="folder of the vocabulary (default: that of the checkpoint or its data)",
    )
    parser.add_argument(
        "--text", metavar="FILE", help="text file for the sentences (default: the built-in corpus)"
    )
    parser.add_argument(
        "--sentences", type=int, default=256, help="number of sentences (default: %(default)s)"
    )
    args = read_arguments(parser, markdown)
    import transformers

    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(1)
    os.environ["RAYON_NUM_THREADS"] = "1"  # for the tokenizers
    keep_freed_memory()
    with machine_lock():
        texts = sentences(args.text, args.sentences)
        nets = {}
        for given in args.checkpoints:
            name, _, path = given.rpartition("=")
            nets[name or path] = compare(path, args.vocab, texts, args.rounds)
    machine = {
        "processor": processor(),
        "threads": 1,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    report = {"machine": machine, "sentences": len(texts), "nets": nets}
    publish(report, args.output, markdown)


if __name__ == "__main__":
    main()
