"""fairseq-train on ELECTRA against fairseq-train on masked_lm with roberta: the same encoder, dropout, rows and threads, in turn.

    python -m fairseq_electra.benchmarks.trainer --output trainer.json

ELECTRA trains two networks where masked_lm trains one. For each size: like for like in float32 (on a GPU in half precision), and each with
the best settings that its own command line allows on this machine.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from fairseq_electra.benchmarks.report import alone, new_parser, processor, publish, ratios, read_arguments
from fairseq_electra.data.corpus import builtin_documents
from fairseq_electra.data.encode import encode_to_binary
from fairseq_electra.data.wordpiece import load_wordpiece, save_vocabulary, train_wordpiece
from fairseq_electra.evaluation.training_log import read_log
from fairseq_electra.many_runs import USER_DIR
from fairseq_electra.modules.sizes import MODEL_SIZES

SIZES = ("tiny", "small")
VOCABULARY, TOKENS = 30000, 128
RECORDS, WARM_UP = 14, 5  # in a log, and those that are not counted
THEIRS, OURS = "masked_lm, roberta", "electra_pretraining"
FAST, BEST, HALF = ", --fast-fp32", ", best settings", ", half precision"


def main() -> None:
    """Measure, write the report and print its table."""
    parser = new_parser(__doc__, "trainer.json", rounds=3)
    parser.add_argument("--updates", type=int, default=RECORDS, help="updates of a run (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=16, help="rows of a batch (default: %(default)s)")
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=MODEL_SIZES, help="default: %(default)s")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="default: %(default)s")
    args = read_arguments(parser, markdown)
    on_cpu = args.device == "cpu"
    device = processor() if on_cpu else torch.cuda.get_device_name()
    report: dict = {"processor": device, "torch": torch.__version__, "threads": 1, "batch": [args.rows, TOKENS]}
    with alone(), tempfile.TemporaryDirectory() as folder:
        data = make_data(Path(folder))
        common = [*shared(args.rows, args.updates), *(["--cpu"] if on_cpu else [])]
        for size in args.sizes:
            variants = command_lines(size) if on_cpu else command_lines_for_gpu(size)
            speeds: dict[str, list[float]] = {name: [] for name in variants}
            for number in range(args.rounds):
                for name, options in variants.items():
                    log = Path(folder, f"{size}-{number}.log")
                    speeds[name].append(tokens_per_second(data, log, [*options, *common]))
                    print(size, name, round(speeds[name][-1]), flush=True)
            report[size] = summarize(speeds)
    publish(report, args.output, markdown)


def make_data(folder: Path, vocabulary: int = VOCABULARY) -> Path:
    """Binarize the built-in corpus, with a vocabulary of so many pieces."""
    lines = [line for document in builtin_documents() for line in (*document.paragraphs, "")]
    save_vocabulary(train_wordpiece(lines, vocabulary), folder / "vocab")
    encode_to_binary(load_wordpiece(folder / "vocab"), lines, folder / "data" / "train", folder / "vocab")
    return folder / "data"


def command_lines(size: str) -> dict[str, list[str]]:
    """Options of each variant on a CPU. Both read full rows; dropout as ELECTRA's size has it, which best settings may leave out."""
    theirs, ours, dropout, none = parts_of_lines(size)
    return {
        THEIRS: [*theirs, *dropout],
        OURS: [*ours, *dropout],
        OURS + FAST: [*ours, *dropout, "--fast-fp32"],
        # --bf16 ends it in a traceback, --fp16 and --amp need a GPU
        THEIRS + BEST: [*theirs, *none, "--num-workers", "0"],
        OURS + BEST: [*ours, *none, "--autocast", "bf16", "--num-workers", "0"],
    }


def command_lines_for_gpu(size: str) -> dict[str, list[str]]:
    """Options of each variant on a GPU. Stock fairseq has float16 weights with float32 copies: --bf16 ends it in a traceback."""
    theirs, ours, dropout, none = parts_of_lines(size)
    return {
        THEIRS + HALF: [*theirs, *dropout, "--fp16"],
        OURS + HALF: [*ours, *dropout, "--autocast", "bf16"],
        THEIRS + BEST: [*theirs, *none, "--fp16"],
        OURS + BEST: [*ours, *none, "--autocast", "bf16", "--compile", "--cuda-graphs"],
    }


def parts_of_lines(size: str) -> tuple[list[str], list[str], list[str], list[str]]:
    """Options of stock fairseq and of ours, of dropout as the size has it, and of none."""
    net = MODEL_SIZES[size]
    theirs = ["--task", "masked_lm", "--criterion", "masked_lm", "--arch", "roberta", "--sample-break-mode", "none", "--optimizer", "adam"]
    for option, value in (
        *(("layers", net.num_hidden_layers), ("embed-dim", net.hidden_size)),
        *(("ffn-embed-dim", net.intermediate_size), ("attention-heads", net.num_attention_heads)),
    ):
        theirs += [f"--encoder-{option}", str(value)]
    ours = f"--user-dir {USER_DIR} --task electra_pretraining --criterion replaced_token_detection --arch electra_{size}".split()
    ours += ["--rows", "blocks", "--across-documents", "--optimizer", "electra_adam"]
    dropout = ["--dropout", str(net.dropout), "--attention-dropout", str(net.attention_dropout)]
    return theirs, ours, dropout, ["--dropout", "0", "--attention-dropout", "0"]


def shared(rows: int, updates: int) -> list[str]:
    """Options of all variants, for so many records in a log."""
    given = f"--tokens-per-sample {TOKENS} --batch-size {rows} --max-update {updates} --lr 1e-4 --lr-scheduler fixed --clip-norm 1.0"
    return [
        *given.split(),
        *["--no-save", "--disable-validation", "--log-format", "json", "--log-interval", str(max(1, updates // RECORDS))],
    ]


def tokens_per_second(data: Path, log: Path, options: list[str]) -> float:
    """Run fairseq-train on one thread; returns the median of the speeds that it logs after the first updates."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("w") as stream:
        command = [sys.executable, "-m", "fairseq_cli.train", str(data), *options]
        subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, env=environment, check=True)
    return statistics.median(record["wps"] for record in read_log(log)[WARM_UP:] if record["subset"] == "train_inner")


def summarize(speeds: dict[str, list[float]]) -> list[dict]:
    """Of every variant its speed, and its ratio round by round to stock fairseq, the last one before it."""
    base, found = "", []
    for name, own in speeds.items():
        base = name if name.startswith(THEIRS) else base
        found.append({"variant": name, "tokens_per_second": round(statistics.median(own)), **ratios(own, speeds[base])})
    return found


def markdown(report: dict) -> str:
    """Write the table of a report."""
    lines = [
        f"{report['processor']}, torch {report['torch']}",
        "",
        f"| fairseq-train, batches of {report['batch'][0]} x {report['batch'][1]}, one thread | tokens/s | ratio | range |",
        "|---|---|---|---|",
    ]
    for size in MODEL_SIZES:
        for found in report.get(size, ()):
            low, high = found["ratio_range"]
            lines.append(f"| {size}: {found['variant']} | {found['tokens_per_second']:,} | {found['ratio']:.2f} | {low} to {high} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
