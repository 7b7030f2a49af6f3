"""Folders of tasks to fine-tune models on, and the diagnostic set that a model of MNLI also answers."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.info import TaskInfo, read_task_info
from fairseq_electra.pretraining.binarized import load_dictionary
from fairseq_electra.pretraining.dictionary import dictionary_digest

DIAGNOSTIC = "AX"  # has no training set: GLUE asks for the predictions of a model trained on MNLI


@dataclass(frozen=True)
class Task:
    """A task's folder, what it is, and a digest of its files, the diagnostic set's included."""

    folder: Path
    info: TaskInfo
    sha256: str


def trainable(folder: Path) -> Task:
    """Read a task that has something to train and something to score on.

    Raises:
        InputError: it lacks one of them, cannot be read, or the diagnostic set beside it does not fit it.
    """
    info = read_task_info(folder)
    lacking = [split for split in ("train", "valid") if split not in info.examples]
    if lacking:
        raise InputError(f"{folder} has no {' and no '.join(lacking)}; a task to fine-tune on needs both")
    digest = hashlib.sha256()
    for each_folder in filter(None, (folder, diagnostic_set(folder, info))):
        for path in sorted(path for path in each_folder.rglob("*") if path.is_file()):
            digest.update(str(path.relative_to(each_folder)).encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return Task(folder, info, digest.hexdigest())


def diagnostic_set(folder: Path, info: TaskInfo) -> Path | None:
    """Return the folder of the diagnostic set beside that of MNLI; None if there is none, or for other tasks.

    Raises:
        InputError: it has nothing to judge, or was prepared in another way than MNLI.
    """
    diagnostic = folder.resolve().with_name(DIAGNOSTIC)
    if info.name != "MNLI" or not diagnostic.is_dir():
        return None
    other = read_task_info(diagnostic)
    digests = [dictionary_digest(load_dictionary(each / "input0").symbols) for each in (folder, diagnostic)]
    same = {
        "vocabulary": digests[0] == digests[1],
        "--max-positions": other.max_positions == info.max_positions,
        "columns of text": other.inputs == info.inputs,
        "labels": set(other.labels) == set(info.labels),
        "splits": "test" in other.examples,
    }
    differs = [what for what, is_same in same.items() if not is_same]
    if differs:
        raise InputError(
            f"{diagnostic}, which a net of MNLI judges as well, was prepared with other"
            f" {' and '.join(differs)} than {folder} needs; prepare both from GLUE's files with one command"
            " line, or move it away"
        )
    return diagnostic
