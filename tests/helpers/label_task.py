"""A small task of texts with several labels, whose labels stand for words of the text."""

import csv
import json
import random
from pathlib import Path

from fairseq_electra import cli

NUMBERS = {"train": 160, "valid": 24, "test": 10}
WORDS = {"code": ("import", "return"), "name": ("python", "module"), "number": ("integer", "float")}


def write_sources(folder: Path, corpus_lines: list[str]) -> None:
    """Write texts of real words; train is a CSV, valid JSON lines with lists, and test a TSV."""
    rng = random.Random(1)
    known = {word for words in WORDS.values() for word in words}
    others = [
        word
        for line in corpus_lines[:300]
        for word in line.lower().split()
        if word.isalpha() and word.isascii()
    ]
    others = [word for word in others if word not in known]
    for split, number in NUMBERS.items():
        rows = []
        for _ in range(number):
            labels = [label for label in WORDS if rng.random() < 0.4]
            words = [
                *rng.choices(others, k=rng.randint(1, 4)),
                *(rng.choice(WORDS[label]) for label in labels),
            ]
            rng.shuffle(words)
            rows.append((" ".join(words), labels))
        if split == "train":
            with open(folder / "train.csv", "w", newline="", encoding="utf-8") as stream:
                csv.writer(stream).writerows(
                    [("text", "topics"), *((text, ",".join(own)) for text, own in rows)]
                )
        elif split == "valid":
            lines = [json.dumps({"text": text, "topics": own}) for text, own in rows]
            (folder / "valid.jsonl").write_text("\n".join(lines) + "\n")
        else:
            lines = ["text\ttopics", *(f"{text}\t{','.join(own)}" for text, own in rows)]
            (folder / "test.tsv").write_text("\n".join(lines) + "\n")


def prepare(folder: Path, vocabulary: Path, *more) -> Path:
    """Prepare the task in ``folder/topics``."""
    given = [
        *["prepare", "--multi-label", "--vocab", vocabulary, "--destdir", folder / "topics"],
        *["--max-positions", "32"],
    ]
    given += ["--text", "text", "--label", "topics"]
    for split, ending in (("train", "csv"), ("valid", "jsonl"), ("test", "tsv")):
        given += [f"--{split}", folder / f"{split}.{ending}"]
    assert cli.main([str(word) for word in [*given, *more]]) == 0
    return folder / "topics"
