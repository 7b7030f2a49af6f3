"""A small task of tagged words, and its trainings."""

import json
import random
from pathlib import Path

from fairseq_electra import cli
from fairseq_electra.finetuning.info import read_task_info
from fairseq_electra.finetuning.recipes import Recipe, arguments
from tests.helpers.paths import USER_DIR
from tests.helpers.small_model import TINY_NET

NUMBERS = {"train": 64, "valid": 21, "test": 9}
LONGEST = 120
FIRST = {"name": ("python", "module", "class"), "code": ("import", "return", "yield")}
REST = ("object", "statement")


def write_sources(folder: Path, corpus_lines: list[str]) -> None:
    """Words of real text.

    Some words always begin an entity, and others go on with it; one sentence is longer than a row.
    """
    rng = random.Random(1)
    others = [
        word
        for line in corpus_lines[:300]
        for word in line.lower().split()
        if word.isalpha() and word.isascii()
    ]
    others = [
        word for word in others if word not in REST and all(word not in words for words in FIRST.values())
    ]
    for split, number in NUMBERS.items():
        lines = []
        for i in range(number):
            for _ in range(LONGEST if i == 1 else rng.randint(1, 14)):
                if rng.random() < 0.25:
                    kind = rng.choice(list(FIRST))
                    lines.append(f"{rng.choice(FIRST[kind])}\tB-{kind}")
                    lines += [f"{rng.choice(REST)}\tI-{kind}" for _ in range(rng.choice([0, 0, 1, 2]))]
                else:
                    lines.append(f"{rng.choice(others)}\tO")
            lines.append("")
        (folder / f"{split}.conll").write_text("\n".join(lines) + "\n")


def prepare(folder: Path, vocabulary: Path, *more) -> Path:
    """Prepare the task in ``folder/task``."""
    given = [
        *["prepare", "--conll", "--vocab", vocabulary, "--destdir", folder / "task"],
        *["--max-positions", "40"],
        *more,
    ]
    given += [word for split in NUMBERS for word in (f"--{split}", folder / f"{split}.conll")]
    assert cli.main([str(word) for word in given]) == 0
    return folder / "task"


def training(data: Path, save_dir: Path, *more) -> list[str]:
    """All arguments of fairseq-train, as the recipe has them, for a small net from nothing."""
    recipe = Recipe(lr=5e-3, layer_decay=1.0, epochs=6, batch_size=8)
    own = [
        str(data),
        "--user-dir",
        str(USER_DIR),
        "--save-dir",
        str(save_dir),
        *arguments(read_task_info(data), recipe, 1),
    ]
    own += [
        "--model-size",
        "tiny",
        *TINY_NET,
        *["--cpu", "--num-workers", "0", "--log-format", "json", "--log-interval", "1"],
    ]
    return [*own, *map(str, more)]


def predict_here(checkpoint: Path, lines: list[str], folder: Path, *more) -> list[dict]:
    """Run ``fairseq-electra predict`` in this process."""
    (folder / "lines.txt").write_text("".join(f"{line}\n" for line in lines))
    given = [
        *["predict", checkpoint, "--input", folder / "lines.txt", "--output", folder / "answers.jsonl"],
        "--logits",
        *more,
    ]
    assert cli.main([str(word) for word in given]) == 0
    return [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
