"""Pre-train, fine-tune and compare in minutes, on a laptop and without downloads.

Pre-trains electra_tiny on the built-in corpus, fine-tunes it with fairseq's own sentence_prediction on "were
two neighbouring words of this sentence swapped?", and compares it with the same model from scratch, with
TF-IDF and with the larger class. The parts are those of other commands: corpus, vocab, encode, prepare and
finetune.

    fairseq-electra quickstart --output runs/quickstart
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.errors import InputError
from fairseq_electra.files.table import Columns
from fairseq_electra.files.text import atomic_write
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.sentences import PREDICTION
from fairseq_electra.finetuning.sentences.folder import write_task_folder
from fairseq_electra.finetuning.sentences.read import Example, classes_of, read_examples
from fairseq_electra.pretraining.corpus import write_corpus
from fairseq_electra.pretraining.encode import SPLITS
from fairseq_electra.pretraining.log import read_record
from fairseq_electra.pretraining.prepare import RunningText, encode_text, learn_vocabulary

SIZE, VOCABULARY = "tiny", 4096
UPDATES, TOKENS = 1200, 64  # updates of pre-training, tokens of its rows
EXAMPLES = {"train": 2500, "valid": 800, "test": 1200}
MAX_POSITIONS = 128  # largest length of a row in fine-tuning, in tokens
LEARNING_RATES = (1e-4, 1e-3)  # one of them is within a factor of 3.2 of any rate from 3e-5 to 3e-3
SEEDS = (1, 2, 3)
MODELS = {"scratch": "electra_tiny from scratch", "pretrained": "electra_tiny, pre-trained"}
COLUMNS = Columns(("sentence",), "swapped", header=("swapped", "sentence"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--output",
        default="runs/quickstart",
        metavar="DIR",
        help="folder for all that is made (default %(default)s)",
    )
    parser.add_argument(
        "--updates", type=int, default=UPDATES, help="updates of pre-training (default %(default)s)"
    )


def run(args: argparse.Namespace) -> None:
    """Run all steps and print the table."""
    start, folder = time.time(), Path(args.output)
    if pretrained_checkpoint(folder).exists():
        raise InputError(f"{folder} holds a finished or interrupted run; remove it, or give another --output")
    print("1/4 text, vocabulary and labels", flush=True)
    number, fingerprint = write_corpus(folder / "text")
    print(f"{folder / 'text'}: {number:,} documents, fingerprint {fingerprint}", flush=True)
    prepare(folder)
    print(f"2/4 pre-training, {args.updates:,} updates", flush=True)
    pretrain(folder, args.updates)
    print("3/4 fine-tuning: two models, a learning rate for each, three seeds", flush=True)
    scores = finetune(folder)
    print("4/4 results\n")
    baselines = {"majority": majority(folder), "tfidf": tfidf(folder)}
    results: dict[str, Any] = {**scores, **baselines, "seconds": round(time.time() - start)}
    with atomic_write(folder / "results.json") as stream:
        stream.write(json.dumps(results, indent=2) + "\n")
    print(table(results))


def pretrained_checkpoint(folder: Path) -> Path:
    """Return the path of the checkpoint that pre-training writes."""
    return folder / "pretrained" / "checkpoint_last.pt"


def prepare(folder: Path) -> None:
    """Make ``vocab``, ``data-bin`` for pre-training and ``swap-bin`` for fine-tuning, from ``text``."""
    text, vocabulary = folder / "text", folder / "vocab"
    learn_vocabulary(RunningText([text / "train.txt"]).lines(), vocabulary, VOCABULARY)
    for split in SPLITS[:2]:  # test is not even validated on
        encode_text(RunningText([text / f"{split}.txt"]), vocabulary, folder / "data-bin" / split)
    splits = {split: examples_of(folder, split) for split in SPLITS}
    labels, metrics = classes_of(splits["train"]), ("accuracy",)
    info = TaskInfo(
        "swap", PREDICTION, 1, labels, metrics, MAX_POSITIONS, columns=COLUMNS.texts, label_column="swapped"
    )
    write_task_folder(folder / "swap-bin", vocabulary, splits, info)


def examples_of(folder: Path, split: str) -> list[Example]:
    """Read the labelled sentences of a split that the comparison uses."""
    return read_examples(folder / "text" / f"{split}.swap.tsv", COLUMNS)[: EXAMPLES[split]]


def pretrain(folder: Path, updates: int) -> None:
    """Run ``fairseq-train`` with the recipe for short runs, on the CPU, and print its progress."""
    from fairseq_electra.speedrun.machine import this_cpu
    from fairseq_electra.speedrun.one_run import follow
    from fairseq_electra.speedrun.plan import Plan, warmup_updates
    from fairseq_electra.speedrun.pretraining import PROGRESS_LINES, training_arguments

    recipe = MODEL_SIZES[SIZE].pretraining
    plan = Plan(SIZE, recipe.batch, recipe.lr, warmup_updates(SIZE, updates), updates, save_every=updates)
    log, shown = folder / "pretrain.log", 0
    log.unlink(missing_ok=True)
    arguments = training_arguments(
        folder / "data-bin", pretrained_checkpoint(folder).parent, plan, this_cpu(), TOKENS
    )
    for _, line in follow(arguments, log):
        record = read_record(line)
        if record is None or record["subset"] != "train_inner":
            continue
        share = record["num_updates"] / updates
        if int(share * PROGRESS_LINES) > shown:
            shown = int(share * PROGRESS_LINES)
            print(
                f"    {share:4.0%}   masked_lm_accuracy {record['masked_lm_accuracy']:.1f} %   "
                f"disc_auc {record['disc_auc']:.3f}   {record['wall']:4.0f} s",
                flush=True,
            )


def finetune(folder: Path) -> dict[str, dict]:
    """Fine-tune both models with the study of ``fairseq-electra finetune``.

    Returns:
        for each model the learning rate, chosen on valid with a seed that is not reported, and the accuracies
        on test, in per cent.

    Raises:
        InputError: a run failed or diverged.
    """
    import fairseq_electra

    fairseq_electra.register()
    from fairseq_electra.finetuning.nets import read_net
    from fairseq_electra.finetuning.study import Settings, study
    from fairseq_electra.speedrun.glue import short_options
    from fairseq_electra.speedrun.machine import this_cpu

    machine, output = this_cpu(), folder / "finetune"
    summary = study(
        [
            read_net(f"scratch=scratch:{SIZE}"),
            read_net(f"pretrained={pretrained_checkpoint(folder)}"),
        ],
        [folder / "swap-bin"],
        output,
        Settings(extra=(*short_options(SIZE), *machine.options)),
        rates=LEARNING_RATES,
        seeds=SEEDS,
        processes=machine.processes,
        say=lambda line: print(f"    {line}", flush=True),
    )["summary"]
    for line in summary:
        if diverged := [seed for seed, trouble in line["degenerate_seeds"].items() if trouble == "diverged"]:
            raise InputError(
                f"{line['net']} diverged with seed {', '.join(diverged)}; its logs are in"
                f" {output / line['net']}"
            )
    return {
        line["net"]: {"lr": line["lr"], "accuracy": line["metrics"]["test"]["accuracy"]["values"]}
        for line in summary
    }


def majority(folder: Path) -> float:
    """Return the accuracy in per cent of always predicting the class that is more frequent in train."""
    train, test = ([example.label for example in examples_of(folder, split)] for split in ("train", "test"))
    return 100 * test.count(statistics.mode(train)) / len(test)


def tfidf(folder: Path) -> float:
    """Return the accuracy, in per cent, of logistic regression on TF-IDF of words and word pairs.

    Its strength of regularisation is chosen on valid.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    splits = [examples_of(folder, split) for split in SPLITS]
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    vectorizer.fit([example.texts[0] for example in splits[0]])
    features = [vectorizer.transform([example.texts[0] for example in examples]) for examples in splits]
    labels = [[example.label for example in examples] for examples in splits]
    train, valid, test = zip(features, labels, strict=True)
    models = [LogisticRegression(C=strength, max_iter=1000).fit(*train) for strength in (0.1, 1, 10, 100)]
    return 100 * max(models, key=lambda model: model.score(*valid)).score(*test)


def table(results: dict) -> str:
    """Markdown table of the results, and what the difference is worth."""
    lines = [
        "| were two neighbouring words swapped? | test accuracy, % | spread of 3 seeds |",
        "|---|---|---|",
    ]
    lines += [
        f"| always the larger class | {results['majority']:.1f} | |",
        f"| TF-IDF of words and word pairs, logistic regression | {results['tfidf']:.1f} | |",
    ]
    means, spreads = {}, {}
    for net, name in MODELS.items():
        scores = results[net]["accuracy"]
        means[net], spreads[net] = statistics.mean(scores), statistics.stdev(scores)
        lines.append(
            f"| {name} (learning rate {results[net]['lr']:g}) | {means[net]:.1f} | {spreads[net]:.1f} |"
        )
    difference = means["pretrained"] - means["scratch"]
    bound = 2 * ((spreads["pretrained"] ** 2 + spreads["scratch"] ** 2) / len(SEEDS)) ** 0.5
    verdict = "above" if difference > bound else "NOT above"
    lines.append(
        f"\npre-trained minus scratch: {difference:.1f}, {verdict} twice its standard error ({bound:.1f})"
    )
    return "\n".join(lines)
