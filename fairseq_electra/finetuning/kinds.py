"""The table of all kinds of tasks. A new one is a folder beside this module, and its name here."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.info import TASK_FILE, TaskInfo, read_task_info
from fairseq_electra.finetuning.kind import TaskKind

if TYPE_CHECKING:
    from fairseq_electra.finetuning.evaluation import Evaluation

PACKAGES = ("sentences", "words", "questions", "multilabel")
KINDS: dict[str, TaskKind] = {
    kind.name: kind
    for package in PACKAGES
    for kind in importlib.import_module(f"{__package__}.{package}.kind").KINDS
}


def kind_of(info: TaskInfo, folder: str | Path = "the folder") -> TaskKind:
    """Return the kind of a task; ``folder`` names it in errors.

    Raises:
        InputError: there is no such kind.
    """
    if info.kind not in KINDS:
        raise InputError(
            f"{Path(folder) / TASK_FILE} names the task {info.kind!r}, and there are {', '.join(KINDS)}; make"
            " the folder again with fairseq-electra prepare"
        )
    return KINDS[info.kind]


def evaluation_of(folder: Path, info: TaskInfo | None = None) -> Evaluation:
    """Return how networks are scored on a task's folder, which ``info`` need not be read from again."""
    info = info or read_task_info(folder)
    return kind_of(info, folder).evaluation(folder, info)
