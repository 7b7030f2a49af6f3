"""Small sentence tasks with true labels, made through the commands that a user types."""

import csv
import io
import json
from pathlib import Path

import numpy as np

from fairseq_electra.finetuning.info import read_task_info
from fairseq_electra.finetuning.recipes import arguments, recipe_for
from tests.helpers.commands import electra, electra_here, with_options

SINGLE, PAIR, NUMBERS, CHOICE = "single", "pair", "numbers", "SWAG"
SIZES = {"train": 48, "valid": 21, "test": 10}
PAIRS_TSV = "one\ttwo\tclass\na b\tc d\tyes\ne f\tg h\tno\ni j\tk l\tyes\n"


def write_sources(folder: Path, corpus_lines: list[str]) -> None:
    """Text of the built-in corpus.

    Label: does the first sentence hold more than 12 words? As a number: how many words.
    """
    lines = [
        line.replace("\t", " ")[: 40 + 5 * (i % 17)] for i, line in enumerate(corpus_lines) if len(line) > 130
    ]
    first = 0
    for split, size in SIZES.items():
        chosen = lines[first : first + 2 * size]
        first += 2 * size
        words = [len(line.split()) for line in chosen]
        pairs = list(zip(chosen[::2], chosen[1::2], words[::2], strict=True))
        (folder / f"single-{split}.tsv").write_text(
            "text\tlabel\n" + "".join(f"{a}\t{int(n > 12)}\n" for a, _, n in pairs)
        )
        rows = [{"one": a, "two": b, "class": "long" if n > 12 else "short"} for a, b, n in pairs]
        (folder / f"pair-{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / f"numbers-{split}.tsv").write_text(
            "a\tb\twords\n" + "".join(f"{a}\t{b}\t{n / 4}\n" for a, b, n in pairs)
        )
        stream = io.StringIO()
        table = csv.writer(stream)
        endings = [f"ending{i}" for i in range(4)]
        table.writerow(["", "sent1", "sent2", *endings, *(["label"] if split != "test" else [])])
        for i, (a, b, n) in enumerate(pairs):
            table.writerow(
                [
                    i,
                    a,
                    "So",
                    *(f"{b} {'of that' * k}" for k in range(4)),
                    *([n % 4] if split != "test" else []),
                ]
            )
        (folder / "swag").mkdir(exist_ok=True)
        (folder / "swag" / f"{'val' if split == 'valid' else split}.csv").write_text(stream.getvalue())


def prepare_all(folder: Path, vocabulary: Path, corpus_lines: list[str]) -> Path:
    """Prepare the four tasks in ``folder/bin``."""
    write_sources(folder, corpus_lines)
    arguments = {
        SINGLE: ["--text", "text", "--label", "label", "--metrics", "mcc", "accuracy", "f1"],
        PAIR: ["--text", "one", "two", "--label", "class", "--metrics", "accuracy", "mcc"],
        NUMBERS: ["--text", "a", "b", "--label", "words", "--regression"],
    }
    for name, given in arguments.items():
        ending = "jsonl" if name == PAIR else "tsv"
        files = [word for split in SIZES for word in (f"--{split}", folder / f"{name}-{split}.{ending}")]
        electra(
            *["prepare", "--vocab", vocabulary, "--destdir", folder / "bin" / name, "--max-positions", "40"],
            *given,
            *files,
        )
    electra(
        *["prepare", "--vocab", vocabulary, "--destdir", folder / "bin" / CHOICE, "--max-positions", "40"],
        *["--swag", folder / "swag"],
    )
    return folder / "bin"


def texts_of(folder: Path, name: str, split: str) -> list[str]:
    """The inputs of a split as ``fairseq-electra predict`` takes them."""
    if name == CHOICE:
        rows = csv.DictReader(
            io.StringIO((folder / "swag" / f"{'val' if split == 'valid' else split}.csv").read_text())
        )
        return [
            "\t".join([row["sent1"], *(f"{row['sent2']} {row[f'ending{i}']}" for i in range(4))])
            for row in rows
        ]
    if name == PAIR:
        return [
            "{one}\t{two}".format(**json.loads(line))
            for line in (folder / f"pair-{split}.jsonl").read_text().splitlines()
        ]
    return [line.rsplit("\t", 1)[0] for line in (folder / f"{name}-{split}.tsv").read_text().splitlines()[1:]]


def predict(checkpoint: Path, lines: list[str], *more, **kwargs) -> list[dict]:
    """Run ``fairseq-electra predict``."""
    done = electra(
        "predict", checkpoint, "--logits", *more, input="".join(f"{line}\n" for line in lines), **kwargs
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def logits_in(run: Path) -> dict[str, np.ndarray]:
    """The scores that a run of ``fairseq-electra finetune`` left."""
    with np.load(run / "logits.npz") as file:
        return {split: file[split] for split in file.files}


def stock(data, save_dir, net, *more):
    """The command line that `finetune` would use, without its schedule's length."""
    own = arguments(read_task_info(data), recipe_for("tiny", ""), 1)
    return [
        *[data, "--finetune-from-model", net, "--save-dir", save_dir],
        *own,
        *["--cpu", "--log-format", "json", "--log-interval", "1"],
        *more,
    ]


def prepare_pairs(folder: Path, vocabulary: Path, *more):
    """Prepare files such as ``PAIRS_TSV`` in this process; returns status and what was printed."""
    given = [
        *["--text", "one", "two", "--label", "class", "--train", folder / "train.tsv"],
        *["--valid", folder / "valid.tsv"],
    ]
    given = ["--vocab", vocabulary, "--destdir", folder / "bin", *given]
    return electra_here("prepare", *with_options(given, more))
