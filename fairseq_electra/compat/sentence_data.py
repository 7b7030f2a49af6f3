"""The data of fairseq's tasks for sentences are checked before they are used.

- tasks/sentence_prediction.py and sentence_ranking.py::load_dataset read labels and texts separately, and
  never compare their numbers. Without labels a multiple choice has a loss of 0, and the other tasks end in a
  KeyError. Here files with different numbers of lines, and splits without labels, are refused.
- load_dictionary and setup_task of both end in Python's error about dict.txt where a folder is absent, and
  accept any --num-classes. Here absent files, a folder of another task and a wrong number of classes are
  refused.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fairseq_electra.errors import InputError, listed
from fairseq_electra.finetuning.info import TASK_FILE, read_task_info
from fairseq_electra.finetuning.kinds import kind_of
from fairseq_electra.finetuning.sentences import PREDICTION
from fairseq_electra.pretraining.binarized import count_lines, unknown_in_folder
from fairseq_electra.pretraining.wordpiece import DICTIONARY_FILE, read_entries

logger = logging.getLogger(__name__)


def check_before_loading() -> None:
    """Change load_dataset of both tasks."""
    for task in _tasks():
        task.load_dataset = _with_checked_split(task.load_dataset)


def check_before_setup() -> None:
    """Change setup_task of both tasks."""
    for task in _tasks():
        task.setup_task = classmethod(_with_checked_folder(task.setup_task.__func__))


def _tasks() -> tuple[Any, Any]:
    from fairseq.tasks.sentence_prediction import SentencePredictionTask
    from fairseq.tasks.sentence_ranking import SentenceRankingTask

    return SentencePredictionTask, SentenceRankingTask


def _with_checked_split(plain: Callable) -> Callable:
    def load_dataset(self, split, *args, **kwargs):
        from fairseq.distributed.utils import get_global_rank

        settings = getattr(self, "cfg", None) or self.args
        check_numbers_of_lines(Path(settings.data), split)
        check_labels(Path(settings.data), split)
        unknown = (
            unknown_in_folder(settings.data, split, len(self.source_dictionary)) if split == "train" else ""
        )
        if unknown and get_global_rank() == 0:
            logger.warning(unknown)
        try:
            return plain(self, split, *args, **kwargs)
        except (ValueError, AssertionError, EOFError) as error:
            raise InputError(
                f"{settings.data}: {split} cannot be read ({error}); make the folder again"
            ) from error

    return load_dataset


def _with_checked_folder(plain: Callable) -> Callable:
    def setup_task(cls, args, **kwargs):
        needed = [Path(args.data) / "input0" / DICTIONARY_FILE]
        has_classes = getattr(args, "_name", None) == PREDICTION and not args.regression_target
        if has_classes:
            needed.append(Path(args.data) / "label" / DICTIONARY_FILE)
        for path in needed:
            if not path.is_file():
                raise InputError(
                    f"no {path}; fairseq-electra prepare makes such folders, and --regression-target is for"
                    " numbers"
                )
        if (Path(args.data) / TASK_FILE).is_file():
            kind = kind_of(read_task_info(args.data), args.data)
            if not kind.of_fairseq:
                raise InputError(f"{args.data} was prepared for --task {kind.name}, not {PREDICTION}")
        check_number_of_classes(Path(args.data), args.num_classes, has_classes)
        return plain(cls, args, **kwargs)

    return setup_task


def check_number_of_classes(folder: Path, num_classes: int, has_classes: bool) -> None:
    """Refuse a --num-classes that is not the number of labels, or of the choices of a multiple choice.

    Args:
        folder: The prepared folder.
        num_classes: The value of the option.
        has_classes: Whether the labels are classes; else they are numbers, or choices.

    Raises:
        InputError: The numbers differ, or a label is not one of the choices.
    """
    if has_classes:
        path = folder / "label" / DICTIONARY_FILE
        names = [name for name in read_entries(path) if not name.startswith("madeupword")]
        if len(names) != num_classes:
            than = "more" if len(names) > num_classes else "fewer"
            raise InputError(
                f"{path} names {len(names)} labels, {listed(names)}: {than} than --num-classes {num_classes};"
                f" give {len(names)}"
            )
    choices = len(list(folder.glob("input[0-9]*"))) - 1
    if choices <= 1:
        return
    if not has_classes:
        _check_choices(folder, min(num_classes, choices))
    if choices != num_classes:
        raise InputError(
            f"{folder} has {choices} choices (input1 to input{choices}), not {num_classes}; give"
            f" --num-classes {choices}"
        )


def _check_choices(folder: Path, choices: int) -> None:
    for path in sorted(folder.glob("label/*.label")):
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        for number, line in enumerate(lines, 1):
            if not (line.strip().isdecimal() and int(line) < choices):
                raise InputError(
                    f"{path}, line {number}: {line.strip()!r} is not a choice from 0 to {choices - 1}"
                )


def check_labels(folder: Path, split: str) -> None:
    """Refuse a split that has no labels to train on and to score with."""
    if not any((folder / "label" / f"{split}{ending}").is_file() for ending in (".idx", ".label")):
        raise InputError(
            f"{split} of {folder} has no labels; apply the model to its file with fairseq-electra predict"
        )


def check_numbers_of_lines(folder: Path, split: str) -> None:
    """Refuse a split whose files of texts and labels have different numbers of lines."""
    texts = [each / f"{split}.idx" for each in sorted(folder.glob("input[0-9]*"))]
    absent = [path for path in texts if not path.is_file()]
    if absent:
        present = ", ".join(sorted(path.stem for path in absent[0].parent.glob("*.idx"))) or "nothing"
        raise InputError(
            f"no {absent[0]}, the folder holds {present}; fairseq-electra prepare makes such folders"
        )
    numbers = {path: count_lines(path) for path in [*texts, *folder.glob(f"label/{split}.idx")]}
    for path in folder.glob(f"label/{split}.label"):
        with open(path, "rb") as stream:
            numbers[path] = sum(1 for _ in stream)
    first = texts[0]
    for path, number in numbers.items():
        if number != numbers[first]:
            raise InputError(
                f"{path} has {number:,} lines and {first} has {numbers[first]:,}; make all of them from the"
                " same examples"
            )
