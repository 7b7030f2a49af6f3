"""What a prepared task is: ``task.json`` in its folder, which goes along with the checkpoints."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.sentences import PREDICTION, RANKING
from fairseq_electra.pretraining.dictionary import read_symbols
from fairseq_electra.pretraining.wordpiece import DICTIONARY_FILE, LEADING, TOKENIZER_FILE

TASK_FILE = "task.json"
TUNED_FOR = "tuned_for"  # in a checkpoint's extra_state: what the function of this name returns


@dataclass(frozen=True)
class TaskInfo:
    """What a task is.

    Args:
        name: of the task.
        kind: name of the task that trains on it: one of :data:`fairseq_electra.finetuning.kinds.KINDS`.
        inputs: texts of an example; of a multiple choice, the context and every choice; of a question, itself
            and its context.
        labels: classes, or tags, in the order of their scores; empty where there are none.
        metrics: to score predictions with, the first of them decides.
        max_positions: tokens of the longest row.
        examples: number of them by split.
        shortened: by split, how many of them did not fit into ``max_positions``.
        cut: by split, how many questions were cut to ``max_question``, or sentences have a word that was cut
            to a row.
        rows: by split, how many there are, where an example may have several.
        stride: of windows, in pieces; 0: there are no windows.
        max_question: pieces of the longest question.
        unanswerable: some questions have no answer.
        columns: names of an example's texts in JSON lines; empty where files of the task have none.
        unlabelled: splits without labels, where the files of the split do not tell.
        label_column: name of the column with the label; empty where it has none.
        scheme: how the files' labels are written. Of tags one of :data:`words.tags.SCHEMES`; where a text has
            several labels, what stands between them; else empty.
        word_column, tag_column: numbers of the files' columns with words and tags, as
            :class:`words.columns.WordColumns` has them.
    """

    name: str
    kind: str
    inputs: int
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    max_positions: int
    examples: dict[str, int] = field(default_factory=dict)
    shortened: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    stride: int = 0
    max_question: int = 0
    unanswerable: bool = False
    columns: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    label_column: str = ""
    scheme: str = ""
    word_column: int = 1
    tag_column: int = 0
    cut: dict[str, int] = field(default_factory=dict)

    @property
    def regression(self) -> bool:
        """Whether the labels are numbers."""
        return self.kind == PREDICTION and not self.labels

    @property
    def choices(self) -> int:
        """How many choices there are; 0: it is no multiple choice."""
        return self.inputs - 1 if self.kind == RANKING else 0


def read_task_info(folder: str | Path) -> TaskInfo:
    """Read ``task.json`` of a prepared folder.

    Raises:
        InputError: there is none, or it is not one of ours, or a name in it leads out of the folder where
            files are named after it.
    """
    path = Path(folder) / TASK_FILE
    if not path.is_file():
        raise InputError(f"no {path}; make the folder with fairseq-electra prepare")
    return task_info(path.read_text(encoding="utf-8"), path)


def task_info(text: str, path: Path) -> TaskInfo:
    """Read the text of a ``task.json``.

    Args:
        text: JSON.
        path: names the file in errors.

    Raises:
        InputError: as for :func:`read_task_info`.
    """
    try:
        values = json.loads(text)
        values |= {name: tuple(values[name]) for name in ("labels", "metrics")}
        # not in folders of before
        values |= {name: tuple(values.get(name, ())) for name in ("columns", "unlabelled")}
        info = TaskInfo(**values)
        for each in ("examples", "shortened", "rows", "cut"):
            if not isinstance(getattr(info, each, {}), dict):
                raise ValueError(f"{each} has no numbers by split")
        names = [
            ("name", info.name),
            *(("split", split) for part in (info.examples, info.shortened, info.rows) for split in part),
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path} is damaged ({error}); make the folder again with fairseq-electra prepare"
        ) from error
    for what, name in names:
        if not is_plain_name(name):
            raise InputError(
                f"{path}: the {what} {name!r} leads out of the folder where files are named after it; make"
                " the folder again with fairseq-electra prepare, or give it a plain name there"
            )
    return info


def tuned_for(folder: Path) -> dict[str, Any]:
    """Return what the files of a folder, of a task or of checkpoints, say of a model that was tuned on it.

    Returns:
        ``labels``, in the order of their ids, empty without ``label/dict.txt``; ``task``, the text of
        ``task.json``, empty where there is none.
    """
    dictionary, task = folder / "label" / DICTIONARY_FILE, folder / TASK_FILE
    labels = read_symbols(dictionary)[len(LEADING) :] if dictionary.is_file() else []
    return {
        "labels": [label for label in labels if not label.startswith("madeupword")],
        "task": task.read_text(encoding="utf-8") if task.is_file() else "",
    }


def is_plain_name(name: object) -> bool:
    """Tell whether a name can be that of a file or folder, and leads nowhere else."""
    return isinstance(name, str) and not {"/", "\\", "\0"} & set(name) and name not in (".", "..")


def finish_folder(folder: Path, vocabulary: str | Path, info: TaskInfo) -> TaskInfo:
    """Write the files that every task's folder has: the vocabulary, into ``input0``, and ``task.json``.

    Returns:
        ``info``.
    """
    for name in (DICTIONARY_FILE, TOKENIZER_FILE):
        (folder / "input0" / name).write_bytes((Path(vocabulary) / name).read_bytes())
    (folder / TASK_FILE).write_text(json.dumps(asdict(info), indent=2) + "\n", encoding="utf-8")
    return info
