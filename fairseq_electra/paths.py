"""Paths are checked first: a mistake in one is answered at once, not behind seconds of imports."""

import os
from collections.abc import Iterable
from pathlib import Path

from fairseq_electra.errors import InputError

CHECKPOINT, DATA, VOCABULARY = "checkpoint", "data folder", "folder of a vocabulary"


def require(kind: str, *paths: str | Path | None) -> None:
    """Refuse a path that is not there.

    Args:
        kind: what it should be, for the message.
        paths: to look for; None and ``-``, standard input, are taken for granted.

    Raises:
        InputError: nothing is there.
    """
    for path in paths:
        if path is not None and str(path) != "-" and not Path(path).exists():
            raise InputError(f"no such {kind}: {path}; check the path")


def require_of_training(arguments: Iterable[str]) -> None:
    """Check the paths on a command line of ``fairseq-train``: of the data, if they come first, and of the checkpoints to start from.

    Args:
        arguments: without the name of the command.
    """
    words = list(arguments)
    if words and not words[0].startswith("-") and "=" not in words[0]:  # of fairseq-hydra-train
        require(DATA, *words[0].split(os.pathsep))
    for i, word in enumerate(words):
        option, given, value = word.partition("=")
        if option in ("--finetune-from-model", "--path", "--continue-once"):
            require(CHECKPOINT, value if given else words[i + 1] if i + 1 < len(words) else None)
