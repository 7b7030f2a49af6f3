"""The files of a comparison: read, written, compared with the plan; and the lock of a run."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fairseq_electra.errors import InputError
from fairseq_electra.files.text import atomic_write
from fairseq_electra.locks import open_lock


def read_json(path: Path) -> dict[str, Any]:
    """Read a file of a comparison.

    Raises:
        InputError: it is damaged.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError(f"{type(values).__name__} where an object should be")
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); remove it, and it is made again") from error
    return values


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a file of a comparison."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as stream:
        stream.write(json.dumps(values, indent=2) + "\n")


def check_same(path: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse what was made by another plan.

    Raises:
        InputError: a setting differs.
    """
    differs = [name for name in {**now, **before} if before.get(name) != now.get(name)]
    if differs:
        name = differs[0]
        raise InputError(
            f"{path} was made with {name} {before.get(name)!r}, and the plan has {now.get(name)!r}; give"
            " another --output, or remove it"
        )


@contextlib.contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Wait until no other process is in here: two budgets of one run must not train it side by side."""
    descriptor = open_lock(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
