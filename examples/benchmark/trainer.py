"""Compare fairseq-train on ELECTRA with fairseq-train on masked_lm with roberta, with the same encoder.

    bash scripts/benchmark.sh trainer --output trainer.json

ELECTRA trains two networks where masked_lm trains one. The report gives the ratio of their matrix products,
and the time that the products take alone. Both encoders have the same layers, hidden size, embedding size (in
roberta equal to the hidden size, so our small has a larger one than with --arch), vocabulary size (that of
BERT; the text is random ids) and share of masked tokens; rows, dropout and threads are also the same. Ours
has the positions and LayerNorm of its --arch and, in a further variant, those of roberta. Each size is
compared with equal settings in float32 (on a GPU in half precision), and with the best settings that each
command line allows on this machine. The variants run in turn.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmark.baselines import same_as_baselines
from benchmark.bound import clock, products_alone, step_products
from benchmark.report import machine_lock, new_parser, publish, ratios, read_arguments, run_logged
from fairseq_electra.electra.flops import electra_flops, masked_lm_flops
from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.electra.sizes import EncoderSizes
from fairseq_electra.finetuning.runs import USER_DIR
from fairseq_electra.pretraining.binarized import load_dictionary
from fairseq_electra.pretraining.corpus import builtin_documents
from fairseq_electra.pretraining.encode import encode_to_binary, write_binarized
from fairseq_electra.pretraining.log import read_log
from fairseq_electra.pretraining.wordpiece import load_wordpiece, save_vocabulary, train_wordpiece
from fairseq_electra.speedrun.machine import processor

SIZES = ("tiny", "small")
TOKENS = 128
MASKED = 0.15  # share of masked tokens, the default of both
RECORDS, WARM_UP = 14, 5  # records of a log, and the number of first ones that are not counted
THEIRS, OURS = "masked_lm, roberta", "electra_pretraining"
ALIKE, FAST = ", roberta's positions and LayerNorm", ", --fast-fp32"
BEST, HALF = ", best settings", ", half precision"
AS_ROBERTA = ["--positions", "learned", "--norm", "post"]


def main() -> None:
    """Measure, write the report and print its table."""
    parser = new_parser(__doc__, "trainer.json", rounds=3)
    parser.add_argument(
        "--updates", type=int, default=RECORDS, help="updates of a run (default: %(default)s)"
    )
    parser.add_argument("--rows", type=int, default=16, help="rows of a batch (default: %(default)s)")
    parser.add_argument(
        "--sizes", nargs="+", default=list(SIZES), choices=MODEL_SIZES, help="default: %(default)s"
    )
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    args = read_arguments(parser, markdown)
    if args.updates <= WARM_UP:
        parser.error(
            f"--updates must be {WARM_UP + 1} or more, got {args.updates}: the first {WARM_UP} are not"
            " counted"
        )
    on_cpu = args.device == "cpu"
    device = processor() if on_cpu else torch.cuda.get_device_name()
    report: dict = {
        "processor": device,
        "torch": torch.__version__,
        "threads": args.threads,
        "batch": [args.rows, TOKENS],
    }
    torch.set_num_threads(args.threads)
    with machine_lock(), tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        write_random_ids(data, (args.updates + 2) * args.rows * TOKENS)
        report |= {"vocabulary": len(load_dictionary(data)), "nets": {}, "products": {}}
        common = [*shared(args.rows, args.updates), *(["--cpu"] if on_cpu else [])]
        for size in args.sizes:
            variants = command_lines(size) if on_cpu else command_lines_for_gpu(size)
            speeds: dict[str, list[float]] = {name: [] for name in variants}
            products = products_of_both(size, report["vocabulary"], args.rows, args.device)
            seconds: list[list[float]] = []
            for number in range(args.rounds):
                for name, options in variants.items():
                    log = Path(folder, f"{size}-{number}.log")
                    speeds[name].append(tokens_per_second(data, log, [*options, *common], args.threads))
                    print(size, name, round(speeds[name][-1]), flush=True)
                seconds.append([wall_seconds(run, args.device) for run in products])
            report[size] = summarize(speeds)
            update = args.rows * TOKENS / report[size][0]["tokens_per_second"]
            report["products"][size] = summarize_products(size, report["vocabulary"], seconds, update)
            report["nets"][size] = MODEL_SIZES[size].arch_traits
    publish(report, args.output, markdown)


def write_random_ids(folder: Path, tokens: int) -> None:
    """Write binarized text of random ids, at least ``tokens`` of them, with a vocabulary of BERT's size."""
    from benchmark.training_step import VOCABULARY, toy_task

    toy_task().source_dictionary.save(str(folder / "dict.txt"))
    rng, length = np.random.default_rng(0), 1000
    lines = ([rng.integers(4, VOCABULARY - 1, length).tolist()] for _ in range(tokens // length + 1))
    write_binarized(folder / "train", lines, VOCABULARY, eos=2)


def make_data(folder: Path, vocabulary: int) -> Path:
    """Binarize the built-in corpus with a vocabulary of the given size; returns the folder."""
    lines = [line for document in builtin_documents() for line in (*document.paragraphs, "")]
    save_vocabulary(train_wordpiece(lines, vocabulary), folder / "vocab")
    encode_to_binary(load_wordpiece(folder / "vocab"), lines, folder / "data" / "train", folder / "vocab")
    return folder / "data"


def command_lines(size: str) -> dict[str, list[str]]:
    """Return the options of each variant on a CPU; best settings are without dropout."""
    theirs, ours, dropout, none = parts_of_lines(size)
    alike = {
        OURS + ALIKE: [*ours, *dropout, *AS_ROBERTA],
        OURS + ALIKE + FAST: [*ours, *dropout, *AS_ROBERTA, "--fast-fp32"],
    }
    return {
        THEIRS: [*theirs, *dropout],
        OURS: [*ours, *dropout],
        OURS + FAST: [*ours, *dropout, "--fast-fp32"],
        **({} if same_as_baselines(size) else alike),
        # stock fairseq fails with --bf16, and --fp16 and --amp need a GPU
        THEIRS + BEST: [*theirs, *none, "--num-workers", "0"],
        OURS + BEST: [*ours, *none, "--autocast", "bf16", "--num-workers", "0"],
    }


def command_lines_for_gpu(size: str) -> dict[str, list[str]]:
    """Return the options of each variant on a GPU; stock fairseq uses float16, since it fails with --bf16."""
    theirs, ours, dropout, none = parts_of_lines(size)
    alike = {OURS + ALIKE + HALF: [*ours, *dropout, *AS_ROBERTA, "--autocast", "bf16"]}
    return {
        THEIRS + HALF: [*theirs, *dropout, "--fp16"],
        OURS + HALF: [*ours, *dropout, "--autocast", "bf16"],
        **({} if same_as_baselines(size) else alike),
        THEIRS + BEST: [*theirs, *none, "--fp16"],
        OURS + BEST: [*ours, *none, "--autocast", "bf16", "--compile", "--cuda-graphs"],
    }


def networks(size: str) -> list[tuple[EncoderSizes | None, EncoderSizes]]:
    """Return the sizes of discriminator and generator, for masked_lm (without discriminator) and for ours.

    The model of masked_lm is our discriminator with another head. In roberta, the embedding size is the
    hidden size.
    """
    encoder = MODEL_SIZES[size].encoder
    net = replace(encoder, embedding_size=encoder.hidden_size)
    return [(None, net), (net, net.generator(MODEL_SIZES[size].generator_share, 1.0))]


def parts_of_lines(size: str) -> tuple[list[str], list[str], list[str], list[str]]:
    """Return the options of stock fairseq, of ours, of the dropout of the size, and of no dropout."""
    (_, net), _ = networks(size)
    theirs = ["--task", "masked_lm", "--criterion", "masked_lm", "--arch", "roberta"]
    theirs += ["--sample-break-mode", "none", "--optimizer", "adam"]
    for option, value in (
        *(("layers", net.num_hidden_layers), ("embed-dim", net.hidden_size)),
        *(("ffn-embed-dim", net.intermediate_size), ("attention-heads", net.num_attention_heads)),
    ):
        theirs += [f"--encoder-{option}", str(value)]
    ours = [
        *["--user-dir", USER_DIR, "--task", "electra_pretraining"],
        *["--criterion", "replaced_token_detection"],
    ]
    ours += ["--arch", f"electra_{size}", "--rows", "blocks", "--across-documents"]
    ours += ["--optimizer", "electra_adam", "--embedding-size", str(net.embedding_size)]
    dropout = ["--dropout", str(net.dropout), "--attention-dropout", str(net.attention_dropout)]
    return theirs, ours, dropout, ["--dropout", "0", "--attention-dropout", "0"]


def products_of_both(size: str, num_tokens: int, rows: int, device: str) -> list[Callable[[], None]]:
    """Return functions that compute only the matrix products of an update, of masked_lm and of ours."""
    kind, slots = torch.float32 if device == "cpu" else torch.float16, round(MASKED * TOKENS)
    products = [step_products(*both, num_tokens, rows, TOKENS, slots) for both in networks(size)]
    return [products_alone(each, kind, device) for each in products]


def wall_seconds(run: Callable[[], None], device: str, repeats: int = 3) -> float:
    """Return the average wall seconds of a call, after a warm-up call."""
    run()
    clock(device)
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    clock(device)
    return (time.perf_counter() - start) / repeats


def summarize_products(size: str, num_tokens: int, seconds: list[list[float]], update: float) -> dict:
    """Compare the matrix products of both sides with each other and with an update of masked_lm.

    Args:
        size: The model size.
        num_tokens: V, the size of the vocabulary.
        seconds: For each round the seconds of the products alone, of masked_lm and of ours.
        update: The seconds of an update of masked_lm.
    """
    (_, net), (_, generator) = networks(size)
    flops = masked_lm_flops(net, num_tokens), electra_flops(net, generator, num_tokens)
    counts = [each.of_step(1, TOKENS, MASKED) for each in flops]
    theirs, ours = (statistics.median(each) for each in zip(*seconds, strict=True))
    alone = {"their_share": round(theirs / update, 2), "our_share": round(ours / update, 2)}
    return {
        "flops_per_token": [round(count) for count in counts],
        "times": round(counts[1] / counts[0], 3),
        **alone,
    }


def shared(rows: int, updates: int) -> list[str]:
    """Return the options that all variants share."""
    options = f"--tokens-per-sample {TOKENS} --batch-size {rows} --max-update {updates} --lr 1e-4"
    options += " --lr-scheduler fixed --clip-norm 1.0 --distributed-world-size 1 --no-save"
    options += f" --disable-validation --log-format json --log-interval {max(1, updates // RECORDS)}"
    return options.split()


def tokens_per_second(data: Path, log: Path, options: list[str], threads: int) -> float:
    """Run fairseq-train; returns the median speed in its log, without the first records."""
    run_logged(["fairseq_cli.train", str(data), *options], log, threads)
    return statistics.median(
        record["wps"] for record in read_log(log)[WARM_UP:] if record["subset"] == "train_inner"
    )


def summarize(speeds: dict[str, list[float]]) -> list[dict]:
    """Summarize the speed of every variant, and its ratio to the last variant of stock fairseq before it."""
    base, found = "", []
    for name, own in speeds.items():
        base = name if name.startswith(THEIRS) else base
        found.append(
            {"variant": name, "tokens_per_second": round(statistics.median(own)), **ratios(own, speeds[base])}
        )
    return found


def markdown(report: dict) -> str:
    """Format the table of a report in Markdown."""
    threads, counted = report["threads"], report.get("products", {})
    vocabulary = f", {report['vocabulary']:,} pieces" if counted else ""
    lines = [
        f"{report['processor']}, torch {report['torch']}",
        "",
        f"| fairseq-train, batches of {report['batch'][0]} x {report['batch'][1]}, "
        f"{threads if threads > 1 else 'one'} "
        f"thread{'s' * (threads > 1)}{vocabulary} | tokens/s | ratio | range |"
        + " ratio of products/s |"
        * bool(counted),
        "|---|---|---|---|" + "---|" * bool(counted),
    ]
    for size in MODEL_SIZES:
        for found in report.get(size, ()):
            low, high = found["ratio_range"]
            line = f"| {size}: {found['variant']} | {found['tokens_per_second']:,} "
            line += f"| {found['ratio']:.2f} | {low} to {high} |"
            times = counted[size]["times"] if counted and found["variant"].startswith(OURS) else 1.0
            lines.append(line + f" {found['ratio'] * times:.2f} |" * bool(counted))
    for size, found in counted.items():
        net = report["nets"][size]
        ratio = next(row["ratio"] for row in report[size] if row["variant"].startswith(OURS))
        lines += [
            "",
            (
                f"{size} ({net['positions']} positions, --norm {net['norm']}): ours does "
                f"{found['times']:.2f} times the matrix products of masked_lm in {1 / ratio:.2f} times "
                f"the time. Alone, they would take {found['our_share']:.0%} of masked_lm's update, "
                f"and its own {found['their_share']:.0%}."
            ),
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
