"""Pre-train, fine-tune and compare in minutes, on a laptop and without downloads.

Pre-trains electra_tiny on the built-in corpus, fine-tunes it with fairseq's own sentence_prediction on "were two neighbouring words of
this sentence swapped?", and compares it with the same net from scratch, with TF-IDF and with the larger class.

    fairseq-electra quickstart --output runs/quickstart
"""

import argparse
import json
import os
import shlex
import statistics
import time
from pathlib import Path

from fairseq_electra.cli import corpus as corpus_command
from fairseq_electra.errors import InputError
from fairseq_electra.files.text import read_lines, written_whole
from fairseq_electra.finetuning.runs import train_all
from fairseq_electra.pretraining.encode import SPLITS, encode_to_binary, write_binarized
from fairseq_electra.pretraining.log import read_record
from fairseq_electra.pretraining.wordpiece import (
    DICTIONARY_FILE,
    EOS,
    LEADING,
    load_wordpiece,
    save_vocabulary,
    train_wordpiece,
)
from fairseq_electra.speedrun.one_run import follow

VOCABULARY = 4096
PRETRAINING = {"updates": 1200, "rows": 32, "tokens": 64, "lr": 1e-3}
FINETUNING = {"train": 2500, "valid": 800, "test": 1200, "epochs": 3, "batch": 32}
LEARNING_RATES = (1e-4, 1e-3)  # one of them is within a factor of 3.2 of any rate from 3e-5 to 3e-3
CHOOSING_SEED, SEEDS = 0, (1, 2, 3)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--output", default="runs/quickstart", metavar="DIR", help="folder for all that is made (default %(default)s)")
    parser.add_argument("--updates", type=int, default=PRETRAINING["updates"], help="of pre-training (default %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Run all steps and print the table."""
    start, folder = time.time(), Path(args.output)
    if (folder / "pretrained" / "checkpoint_last.pt").exists():
        raise InputError(f"{folder} holds a finished or broken-off run; remove it, or give another --output")
    print("1/4 text, vocabulary and labels", flush=True)
    corpus_command.run(argparse.Namespace(output=str(folder / "text")))
    prepare(folder)
    print(f"2/4 pre-training, {args.updates:,} updates", flush=True)
    pretrain(folder, args.updates)
    print("3/4 fine-tuning: two nets, a learning rate for each, three seeds", flush=True)
    results = finetune(folder)
    print("4/4 results\n")
    results |= {"majority": majority(folder), "tfidf": tfidf(folder), "seconds": round(time.time() - start)}
    with written_whole(folder / "results.json") as stream:
        stream.write(json.dumps(results, indent=2) + "\n")
    print(table(results))


def prepare(folder: Path) -> None:
    """Make ``data-bin`` for pre-training and ``swap-bin`` in the layout of fairseq's sentence_prediction."""
    text, vocabulary = folder / "text", folder / "vocab"
    save_vocabulary(train_wordpiece(read_lines(text / "train.txt"), VOCABULARY), vocabulary)
    tokenizer = load_wordpiece(vocabulary)
    for split in SPLITS[:2]:  # the files of test are not even validated on
        encode_to_binary(tokenizer, read_lines(text / f"{split}.txt"), folder / "data-bin" / split, vocabulary)
    for split in SPLITS:
        labels, sentences = read_examples(folder, split)
        encode_to_binary(tokenizer, sentences, folder / "swap-bin" / "input0" / split, vocabulary)
        ids = [[len(LEADING) + label] for label in labels]
        write_binarized(folder / "swap-bin" / "label" / split, [ids], len(LEADING) + 2, LEADING.index(EOS))
    with written_whole(folder / "swap-bin" / "label" / DICTIONARY_FILE) as stream:
        stream.write("0 1\n1 1\n")


def read_examples(folder: Path, split: str) -> tuple[list[int], list[str]]:
    """Labels and sentences of a split, as many as the comparison uses."""
    lines = list(read_lines(folder / "text" / f"{split}.swap.tsv"))[: FINETUNING[split]]
    pairs = [line.split("\t", 1) for line in lines]
    return [int(label) for label, _ in pairs], [sentence for _, sentence in pairs]


def pretrain(folder: Path, updates: int) -> None:
    """Run ``fairseq-train`` and show how it goes."""
    folders = ["--save-dir", str(folder / "pretrained")]
    options = shlex.split(f"""
        --task electra_pretraining --arch electra_tiny --criterion replaced_token_detection --autocast bf16 --cpu
        --tokens-per-sample {PRETRAINING["tokens"]} --batch-size {PRETRAINING["rows"]}
        --optimizer electra_adam --adam-betas '(0.9, 0.98)' --bias-correction off --lr {PRETRAINING["lr"]} --clip-norm 1.0
        --lr-scheduler polynomial_decay --warmup-updates {updates // 20} --total-num-update {updates} --max-update {updates}
        --no-epoch-checkpoints --validate-interval 1000 --log-format json --log-interval {max(updates // 20, 1)} --num-workers 0
    """)
    log = folder / "pretrain.log"
    log.unlink(missing_ok=True)
    for _, line in follow([str(folder / "data-bin"), *folders, *options], log):
        record = read_record(line)
        if record is not None and record["subset"] == "train_inner":
            print(
                f"    {record['num_updates'] / updates:4.0%}   generator right {record['masked_lm_accuracy']:.1f} %   "
                f"detection AUC {record['disc_auc']:.3f}   {record['wall']:4.0f} s",
                flush=True,
            )


def finetune(folder: Path) -> dict:
    """Fine-tune both nets: the learning rate is chosen on valid with a seed that is not reported, then the others are scored on test."""
    nets = {
        "pretrained": ["--finetune-from-model", str(folder / "pretrained" / "checkpoint_last.pt")],
        "scratch": ["--model-size", "tiny"],
    }
    found: dict[str, dict[str, float]] = {}

    def run_all(runs: list[tuple[str, float, int]]) -> None:
        named = {f"{net}-lr{lr:g}-seed{seed}": finetuning_arguments(folder, nets[net], lr, seed) for net, lr, seed in runs}
        for name, trouble, validations in train_all(named, folder / "finetune", max(1, min(os.cpu_count() or 1, 4))):
            if trouble:
                raise InputError(f"run {name} failed: {trouble}; its log is {folder / 'finetune' / name}.log")
            found[name] = last_accuracies(validations)
            print(f"    {name:<28} valid {found[name]['valid']:.1f}   test {found[name]['test']:.1f}", flush=True)

    run_all([(net, lr, CHOOSING_SEED) for net in nets for lr in LEARNING_RATES])
    chosen = {net: max(LEARNING_RATES, key=lambda lr: found[f"{net}-lr{lr:g}-seed{CHOOSING_SEED}"]["valid"]) for net in nets}
    run_all([(net, chosen[net], seed) for net in nets for seed in SEEDS])
    return {net: {"lr": lr, "accuracy": [found[f"{net}-lr{lr:g}-seed{seed}"]["test"] for seed in SEEDS]} for net, lr in chosen.items()}


def finetuning_arguments(folder: Path, start: list[str], lr: float, seed: int) -> list[str]:
    """Arguments of one ``fairseq-train`` with the stock task; ``start`` says where the net comes from."""
    updates = FINETUNING["epochs"] * -(-FINETUNING["train"] // FINETUNING["batch"])
    options = shlex.split(f"""
        --task sentence_prediction --criterion sentence_prediction --arch electra_encoder --pooling mean --autocast bf16
        --num-classes 2 --init-token 0 --max-positions 128 --shorten-method truncate
        --batch-size {FINETUNING["batch"]} --max-epoch {FINETUNING["epochs"]} --seed {seed}
        --optimizer electra_adam --bias-correction --lr {lr} --clip-norm 1.0
        --lr-scheduler polynomial_decay --warmup-updates {updates // 10} --total-num-update {updates}
        --valid-subset valid,test --batch-size-valid 64 --validate-interval {FINETUNING["epochs"]} --no-save
    """)
    return [str(folder / "swap-bin"), "--save-dir", str(folder / "finetune"), *start, *options]


def last_accuracies(found: list[dict]) -> dict[str, float]:
    """Accuracy in per cent on valid and on test, at the end of a run."""
    return {record["subset"]: record["accuracy"] for record in found}


def majority(folder: Path) -> float:
    """Accuracy, in per cent, of always saying what is more frequent in train."""
    train, test = read_examples(folder, "train")[0], read_examples(folder, "test")[0]
    return 100 * sum(label == round(statistics.mean(train)) for label in test) / len(test)


def tfidf(folder: Path) -> float:
    """Accuracy, in per cent, of logistic regression on TF-IDF of words and word pairs, its strength chosen on valid."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    (train_y, train_x), (valid_y, valid_x), (test_y, test_x) = (read_examples(folder, split) for split in SPLITS)
    features = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    train_x = features.fit_transform(train_x)
    models = [LogisticRegression(C=strength, max_iter=1000).fit(train_x, train_y) for strength in (0.1, 1, 10, 100)]
    best = max(models, key=lambda model: model.score(features.transform(valid_x), valid_y))
    return 100 * best.score(features.transform(test_x), test_y)


def table(results: dict) -> str:
    """Markdown table of the results, and what the difference is worth."""
    lines = ["| were two neighbouring words swapped? | test accuracy, % | spread of 3 seeds |", "|---|---|---|"]
    lines += [
        f"| always the larger class | {results['majority']:.1f} | |",
        f"| TF-IDF of words and word pairs, logistic regression | {results['tfidf']:.1f} | |",
    ]
    means, spreads = {}, {}
    for net, name in (("scratch", "electra_tiny from scratch"), ("pretrained", "electra_tiny, pre-trained")):
        scores = results[net]["accuracy"]
        means[net], spreads[net] = statistics.mean(scores), statistics.stdev(scores)
        lines.append(f"| {name} (learning rate {results[net]['lr']:g}) | {means[net]:.1f} | {spreads[net]:.1f} |")
    difference = means["pretrained"] - means["scratch"]
    bound = 2 * ((spreads["pretrained"] ** 2 + spreads["scratch"] ** 2) / len(SEEDS)) ** 0.5
    verdict = "above" if difference > bound else "NOT above"
    lines.append(f"\npre-trained minus scratch: {difference:.1f}, {verdict} twice its standard error ({bound:.1f})")
    return "\n".join(lines)
