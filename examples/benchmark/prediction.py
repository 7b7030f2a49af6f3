"""``bash scripts/benchmark.sh prediction``: compare ``fairseq-electra predict`` with transformers' pipeline.

Both go from text to labels with the same weights (random ones, since the speed does not depend on them), the
same lines of mixed length and the same number of threads, in turn in one process, tokenizer included. The
pipeline runs with several batch sizes; ratios are to its fastest. Each size is compared twice: as the model
of ``--arch`` with rotary positions, which transformers runs as RoFormer, and with learned positions, which it
runs as ELECTRA.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

import fairseq_electra
from benchmark.inference import sentences
from benchmark.report import Markdown, machine_lock, new_parser, publish, ratios, read_arguments
from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.finetuning.sentences.head import SentenceHead
from fairseq_electra.memory import keep_freed_memory
from fairseq_electra.pretraining.corpus import builtin_paragraphs
from fairseq_electra.pretraining.wordpiece import load_wordpiece, save_vocabulary, train_wordpiece
from fairseq_electra.speedrun.machine import processor

BATCHES = (1, 8, 32, 128)
VOCABULARY = 8192
MAX_LENGTH = 128
HEAD = "sentence_classification_head"
LEARNED = ", learned positions"


def sentence_head(hidden_size: int) -> tuple[str, nn.Module, list[str]]:
    """Return the name, module and labels of a classification head with two classes."""
    return HEAD, SentenceHead(hidden_size, 2, 0.1), ["no", "yes"]


def new_model(net: str, folder: Path, longest: int = MAX_LENGTH, head_of: Callable = sentence_head):
    """Make an untrained model with a head, and a vocabulary of the built-in corpus.

    Args:
        net: A model size such as ``tiny``, for the model of ``--arch``, or ``tiny, learned positions``.
        folder: The folder for the vocabulary.
        longest: The maximum length of a row in tokens.
        head_of: Makes the head for a hidden size: its name, module and labels.
    """
    from omegaconf import OmegaConf

    from fairseq_electra.hub.load import Pretrained
    from fairseq_electra.models._config import with_defaults
    from fairseq_electra.models.electra_encoder import ElectraEncoder, ElectraEncoderConfig
    from fairseq_electra.pretraining.binarized import load_dictionary

    save_vocabulary(train_wordpiece(builtin_paragraphs(), VOCABULARY), folder)
    dictionary = load_dictionary(folder)
    torch.manual_seed(1)
    size = net.removesuffix(LEARNED)
    kind = MODEL_SIZES[size].arch_traits if net == size else {"positions": "learned", "norm": "post"}
    cfg = OmegaConf.create({"model_size": size, **kind, "max_position_embeddings": longest})
    model = ElectraEncoder(with_defaults(cfg, ElectraEncoderConfig), dictionary)
    name, head, labels = head_of(model.sizes.hidden_size)
    model.register_head(name, head)
    return Pretrained(model.eval(), load_wordpiece(folder), dictionary, labels={name: labels})


def variants(net: str, texts: list[str], folder: Path) -> dict[str, Callable[[], list[float]]]:
    """Return all variants: functions that compute the probability of the first label for each text."""
    from transformers import pipeline

    from fairseq_electra.finetuning.sentences.predict import SentencePredictor
    from fairseq_electra.hub.interface import ElectraHubInterface
    from fairseq_electra.interchange.export_transformers import export_transformers

    pretrained = new_model(net, folder / "vocab")
    export_transformers(pretrained, folder / "net")
    classify = pipeline("text-classification", model=str(folder / "net"), top_k=None)

    def theirs(rows: int) -> list[float]:
        answers: list = classify(texts, batch_size=rows, truncation=True, max_length=MAX_LENGTH)
        return [next(each["score"] for each in answer if each["label"] == "no") for answer in answers]

    predictor = SentencePredictor(ElectraHubInterface(pretrained), HEAD)
    made: dict[str, Callable[[], list[float]]] = {
        f"transformers' pipeline, batches of {rows}": lambda rows=rows: theirs(rows)  # type: ignore[misc]
        for rows in BATCHES
    }
    return made | {
        "fairseq-electra predict": lambda: [answer["probabilities"]["no"] for answer in predictor(texts)]
    }


def compare(net: str, texts: list[str], rounds: int) -> dict:
    """Measure all variants in turn."""
    with tempfile.TemporaryDirectory() as folder:
        runs = variants(net, texts, Path(folder))
        answers = {name: run() for name, run in runs.items()}
        rows = timed(runs, rounds, len(texts), "lines_per_second")
    *others, ours = runs
    difference = max(abs(a - b) for name in others for a, b in zip(answers[name], answers[ours], strict=True))
    return {"largest_difference": difference, "rows": rows}


def timed(runs: dict[str, Callable], rounds: int, number: int, unit: str) -> list[dict]:
    """Measure functions in turn; ratios are to the fastest of all but the last, which is ours."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    *others, _ = runs
    best = min(others, key=lambda name: statistics.median(seconds[name]))
    rows = []
    for name, taken in seconds.items():
        rows.append(
            {
                "variant": name,
                unit: round(number / statistics.median(taken), 1),
                **ratios(seconds[best], taken),
            }
        )
    return rows


def markdown(report: dict) -> str:
    """Format the table of a report in Markdown."""
    machine = report["machine"]
    lines = [
        (
            f"{machine['processor']}, {machine['threads']} threads, torch {machine['torch']}, transformers"
            f" {machine['transformers']}"
        ),
        "",
    ]
    lines += [
        f"| {report['lines']} lines of text, label out | lines/s | ratio | range |",
        "|---|---|---|---|",
    ]
    for size, found in report["sizes"].items():
        for row in found["rows"]:
            low, high = row["ratio_range"]
            lines.append(
                f"| {size}: {row['variant']} | {row['lines_per_second']:,} | {row['ratio']:.2f} | {low} to"
                f" {high} |"
            )
    return "\n".join([*lines, *model_lines(report)])


def model_lines(report: dict) -> list[str]:
    """Return the lines below a table that describe its models; older reports have none."""
    return [line for size, net in report.get("nets", {}).items() for line in ("", f"{size}: {net}")]


def arguments(
    description: str | None, number: int, output: str, unit: str, markdown: Markdown
) -> argparse.Namespace:
    """Read the command line of a comparison of ``number`` lines or questions (``unit``)."""
    parser = new_parser(description, output)
    parser.add_argument(
        "--sizes", nargs="+", default=["tiny", "small"], help="model sizes (default: tiny small)"
    )
    parser.add_argument("--text", metavar="FILE", help=f"file for the {unit} (default: the built-in corpus)")
    parser.add_argument(
        f"--{unit}", type=int, default=number, help=f"number of {unit} (default: %(default)s)"
    )
    parser.add_argument(
        "--threads", type=int, default=2, help="CPU threads of both sides (default: %(default)s)"
    )
    return read_arguments(parser, markdown)


def measure(
    args: argparse.Namespace, unit: str, number: int, compare: Callable[[str], dict], markdown: Markdown
) -> None:
    """Compare every size, with the positions of ``--arch`` and with learned ones, and publish the report."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    fairseq_electra.register()
    torch.set_num_threads(args.threads)
    keep_freed_memory()
    with machine_lock():
        found = {net: compare(net) for size in args.sizes for net in (size, size + LEARNED)}
    machine = {
        "processor": processor(),
        "threads": args.threads,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    encoders = {size: MODEL_SIZES[size].arch_encoder for size in args.sizes}
    nets = {size: f"{each.positions} positions, --norm {each.norm}" for size, each in encoders.items()}
    publish({"machine": machine, unit: number, "nets": nets, "sizes": found}, args.output, markdown)


def main() -> None:
    """Run the comparison."""
    args = arguments(__doc__, 512, "prediction.json", "lines", markdown)
    texts = sentences(args.text, args.lines)
    measure(args, "lines", len(texts), lambda net: compare(net, texts, args.rounds), markdown)


if __name__ == "__main__":
    main()
