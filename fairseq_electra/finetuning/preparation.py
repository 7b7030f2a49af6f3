"""What the preparations of all kinds of tasks share: their files, and examples that cannot be used."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from fairseq_electra.errors import InputError
from fairseq_electra.files.faults import Faults
from fairseq_electra.files.text import check_is_new
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.paths import VOCABULARY, require
from fairseq_electra.progress import Progress

SPLITS = ("train", "valid", "test")
LONGEST_ROW = 128  # of sentences and words, in tokens
AnyPath = str | Path
Say = Callable[[str], object]
Result = TypeVar("Result")


def check_paths(destdir: AnyPath, vocabulary: AnyPath, files: dict[str, AnyPath] | None = None) -> None:
    """Refuse a folder to write that is there already, and a vocabulary or files that are not.

    Args:
        destdir: folder to write.
        vocabulary: folder with ``tokenizer.json`` and ``dict.txt``.
        files: by split.
    """
    require(VOCABULARY, str(vocabulary))
    require("file", *(str(path) for path in (files or {}).values()))
    check_is_new(Path(destdir))


def given_files(train: AnyPath | None, valid: AnyPath | None, test: AnyPath | None) -> dict[str, AnyPath]:
    """Return the files of the splits that have one."""
    return {split: path for split, path in zip(SPLITS, (train, valid, test), strict=True) if path}


def require_files(files: dict[str, AnyPath]) -> None:
    """Refuse to prepare a task without any file."""
    if not files:
        raise InputError("give the files: --train FILE --valid FILE, and --test FILE where there is one")


def read_with_progress(what: AnyPath, read: Callable[..., Result], *arguments: object) -> Result:
    """Call a reader, and show meanwhile what is read."""
    with Progress() as progress:
        progress.stage(f"reading {what}")
        return read(*arguments)


def report_faults(faults: Faults, splits: dict[str, list]) -> None:
    """Refuse examples that cannot be used, or name those that are left out."""
    faults.raise_unless_skipped({split: len(examples) for split, examples in splits.items()})
    if faults.errors:
        warn(f"left out: {len(faults.errors):,} examples: {faults.listing()}")


def warn(message: str) -> None:
    """Write a message on standard error."""
    print(message, file=sys.stderr)


def example_counts(info: TaskInfo) -> str:
    """Say how many examples each split has."""
    return ", ".join(f"{split} {number:,}" for split, number in info.examples.items())


def row_counts(info: TaskInfo, unit: str) -> str:
    """Say how many examples lie in several rows, which are called ``unit``, and how many rows there are."""
    several, number = sum(info.shortened.values()), sum(info.rows.values())
    return f"{several:,} in several {unit} of {info.max_positions} tokens, {number:,} {unit} in all"
