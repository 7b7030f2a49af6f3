"""Prepare a task's folder by a call, from one of several sources: functions in the tasks' subpackages."""

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.kinds import PACKAGES
from fairseq_electra.finetuning.preparation import AnyPath

SOURCES: dict[str, Callable[..., TaskInfo | list[TaskInfo]]] = {
    name: function
    for package in PACKAGES
    for name, function in importlib.import_module(f"{__package__}.{package}.prepare").SOURCES.items()
}


def options_of(source: str) -> tuple[str, ...]:
    """Name the options of a source: its function's arguments after the folder and the vocabulary."""
    return tuple(inspect.signature(SOURCES[source]).parameters)[2:]


def prepare(source: str, destdir: AnyPath, vocabulary: AnyPath, **options: Any) -> TaskInfo | list[TaskInfo]:
    """Prepare a task, of GLUE several; ``fairseq-electra prepare`` does no more.

    ::

        prepare("text", "my-bin", "vocab", text=["sentence"], label="class", train="train.tsv")
        prepare("squad", "squad-bin", "vocab", train="train-v2.0.json", valid="dev-v2.0.json")

    Args:
        source: one of :data:`SOURCES`.
        destdir: folder to write.
        vocabulary: folder with ``tokenizer.json`` and ``dict.txt``.
        options: those of the source, as :func:`sentences.prepare.prepare_text` and others list them.

    Returns:
        what the task is; of GLUE a list.

    Raises:
        InputError: a file, an example or an option cannot be used; nothing is written.
    """
    for name in options:
        if name not in options_of(source):
            its_sources = (f"--{each.replace('_', '-')}" for each in SOURCES if name in options_of(each))
            raise InputError(
                f"--{name.replace('_', '-')} is an option of {', '.join(its_sources)}, not of"
                f" --{source.replace('_', '-')}; leave it out"
            )
    return SOURCES[source](destdir, vocabulary, **options)
