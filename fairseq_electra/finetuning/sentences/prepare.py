"""Folders of tasks on sentences, from GLUE, SWAG, RACE, or files with named columns."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fairseq_electra.errors import InputError, listed, shortened
from fairseq_electra.files.faults import Faults
from fairseq_electra.files.table import Columns, has_labels, is_csv, is_json
from fairseq_electra.files.text import check_is_new
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.preparation import (
    LONGEST_ROW,
    AnyPath,
    Say,
    check_paths,
    example_counts,
    given_files,
    read_with_progress,
    report_faults,
    warn,
)
from fairseq_electra.finetuning.sentences import PREDICTION, RANKING
from fairseq_electra.finetuning.sentences.folder import check_task, usable_examples, write_task_folder
from fairseq_electra.finetuning.sentences.glue import FOLDERS, GLUE, glue_task
from fairseq_electra.finetuning.sentences.metrics import OF_NUMBERS
from fairseq_electra.finetuning.sentences.multiple_choice import (
    RACE_LETTERS,
    SWAG_ENDINGS,
    read_race,
    read_swag,
)
from fairseq_electra.finetuning.sentences.read import Example, classes_of, quoted_cells, read_examples
from fairseq_electra.paths import VOCABULARY, require
from fairseq_electra.pretraining.unknown import Unknown
from fairseq_electra.pretraining.wordpiece import LEADING, MASK
from fairseq_electra.progress import Progress

# labels that are more than this many, and more than half of the examples, are no classes
MANY_CLASSES = 20
HOLD_OUT_SEED = 1
Splits = dict[str, list[Example]]


def prepare_glue(
    destdir: AnyPath,
    vocabulary: AnyPath,
    glue: AnyPath,
    *,
    tasks: Sequence[str] = (),
    max_positions: int = LONGEST_ROW,
    double_unordered: bool = False,
    hold_out: float | None = None,
    say: Say = print,
) -> list[TaskInfo]:
    """Prepare GLUE's tasks, each in a subfolder.

    Args:
        destdir: folder for the subfolders.
        vocabulary: folder with ``tokenizer.json`` and ``dict.txt``.
        glue: GLUE's folder.
        tasks: names of the tasks; empty: all there are.
        max_positions: tokens of the longest row.
        double_unordered: add each pair of train the other way round, in tasks where order says nothing.
        hold_out: share of the training examples that becomes valid, to choose on; the development and test
            sets are left out then.
        say: takes a line on each task.

    Returns:
        what the tasks are.

    Raises:
        InputError: a file or an example cannot be used, or a subfolder is there already. Nothing is written.
    """
    require(VOCABULARY, str(vocabulary))
    present = [
        name for name in GLUE if any((Path(glue) / each).is_dir() for each in FOLDERS.get(name, (name,)))
    ]
    if not present and not tasks:
        raise InputError(
            f"{glue} holds no folder of GLUE ({', '.join(GLUE)}); give the folder that holds them"
        )
    missing = [name for name in GLUE if name not in present]
    if missing and not tasks:
        say(f"not there: {', '.join(missing)}")
    names = tasks or [name for name in present if hold_out is None or "train" in GLUE[name].files]
    if not names:
        raise InputError(f"{glue} holds no task with training examples, of which --hold-out takes a share")
    for name in names:  # all of them, before minutes of reading
        check_is_new(Path(destdir) / name)
    read = {
        name: read_with_progress(f"{glue}, {name}", glue_task, glue, name, max_positions) for name in names
    }
    if hold_out is not None:
        read = {name: (held_out(name, splits, hold_out), info) for name, (splits, info) in read.items()}
    doubled = {name: double_unordered and GLUE[name].unordered for name in names}
    if len(read) > 1:  # nothing is written where one of them is wrong
        for name, (splits, info) in read.items():
            check_task(splits, info, doubled[name])
    return [_write(Path(destdir) / name, vocabulary, *read[name], doubled[name], say) for name in read]


def held_out(task: str, splits: Splits, share: float) -> Splits:
    """Return ``train`` without a random share of its examples, and these as ``valid``.

    Raises:
        InputError: there are no training examples, or one of the two would have none.
    """
    examples = splits.get("train", [])
    if not examples:
        raise InputError(f"{task} has no training examples for --hold-out; leave it out of --tasks")
    number = round(share * len(examples)) if 0 < share < 1 else 0
    if not 0 < number < len(examples):
        raise InputError(
            f"--hold-out {share:g} leaves no examples in train or in valid, as {task} has"
            f" {len(examples):,}; give a share between 0 and 1, such as 0.1"
        )
    order = np.random.default_rng(HOLD_OUT_SEED).permutation(len(examples))
    chosen = set(order[:number].tolist())
    parts: Splits = {"train": [], "valid": []}
    for index, example in enumerate(examples):
        parts["valid" if index in chosen else "train"].append(example)
    return parts


def prepare_swag(
    destdir: AnyPath,
    vocabulary: AnyPath,
    swag: AnyPath,
    *,
    max_positions: int = LONGEST_ROW,
    say: Say = print,
) -> TaskInfo:
    """Prepare SWAG, a multiple choice, from its folder; further arguments as of :func:`prepare_glue`."""
    check_paths(destdir, vocabulary)
    info = TaskInfo("SWAG", RANKING, 1 + len(SWAG_ENDINGS), (), ("accuracy",), max_positions)
    return _write(Path(destdir), vocabulary, read_with_progress(swag, read_swag, swag), info, False, say)


def prepare_race(
    destdir: AnyPath, vocabulary: AnyPath, race: AnyPath, *, max_positions: int = 512, say: Say = print
) -> TaskInfo:
    """Prepare RACE, a multiple choice, from its folder; further arguments as of :func:`prepare_glue`."""
    check_paths(destdir, vocabulary)
    info = TaskInfo("RACE", RANKING, 1 + len(RACE_LETTERS), (), ("accuracy",), max_positions)
    return _write(Path(destdir), vocabulary, read_with_progress(race, read_race, race), info, False, say)


def prepare_text(
    destdir: AnyPath,
    vocabulary: AnyPath,
    text: Sequence[str],
    *,
    label: str = "",
    train: AnyPath | None = None,
    valid: AnyPath | None = None,
    test: AnyPath | None = None,
    header: Sequence[str] = (),
    quoted: bool = False,
    labels: Sequence[str] = (),
    regression: bool = False,
    metrics: Sequence[str] = (),
    max_positions: int = LONGEST_ROW,
    double_unordered: bool = False,
    skip_bad: bool = False,
    say: Say = print,
) -> TaskInfo:
    """Prepare a task of sentences or pairs with a class or a number each, from TSV, JSON lines or CSV.

    Args:
        destdir: folder to write.
        vocabulary: folder with ``tokenizer.json`` and ``dict.txt``.
        text: the column with the text, or the two columns.
        label: the column with the label.
        train, valid, test: the files; that of test may lack labels.
        header: names of the columns, where a TSV does not begin with them.
        quoted: cells of a TSV may stand in quotes.
        labels: all labels, in the order of their scores; empty: those of train, sorted.
        regression: the labels are numbers.
        metrics: to score with, the first of them decides; empty: accuracy, of numbers both correlations.
        max_positions: tokens of the longest row.
        double_unordered: add each pair of train the other way round.
        skip_bad: leave out examples that cannot be used, and list them on standard error.
        say: takes a line on the folder.

    Returns:
        what the task is.

    Raises:
        InputError: a file, an example or an argument cannot be used; nothing is written.
    """
    files = given_files(train, valid, test)
    check_paths(destdir, vocabulary, files)
    if not label or not train:
        raise InputError("--text needs --label COLUMN and --train FILE beside it")
    if len(text) > 2:
        raise InputError(f"--text names {len(text)} columns; a row holds one sentence or a pair")
    if label in text:
        raise InputError(f"--label {label!r} is a column of --text as well; name the column with the labels")
    columns = Columns(tuple(text), label, tuple(header) or None, quoted=quoted, numbers=regression)
    if regression and labels:
        raise InputError(
            "--labels names classes, and with --regression the labels are numbers; leave out one of the two"
        )
    faults = Faults(skip_bad)
    splits = {split: _examples(path, columns, split == "test", faults) for split, path in files.items()}
    if not splits["train"]:
        report_faults(faults, splits)
    try:
        known = () if regression else _classes(splits["train"], labels, label, train)
    except InputError:
        # what cannot be used may well be why
        faults.raise_unless_skipped({split: len(examples) for split, examples in splits.items()})
        raise
    chosen = tuple(metrics or (("pearson", "spearman") if regression else ("accuracy",)))
    _check_metrics(chosen, regression, known)
    name = Path(destdir).resolve().name
    info = TaskInfo(
        name, PREDICTION, len(text), known, chosen, max_positions, columns=columns.texts, label_column=label
    )
    splits = {split: usable_examples(split, examples, info, faults) for split, examples in splits.items()}
    report_faults(faults, splits)
    return _write(Path(destdir), vocabulary, splits, info, double_unordered, say)


def _check_metrics(metrics: tuple[str, ...], regression: bool, labels: tuple[str, ...]) -> None:
    if any((name in OF_NUMBERS) != regression for name in metrics):
        raise InputError(
            f"--metrics {' '.join(metrics)}: {', '.join(OF_NUMBERS)} are for numbers (--regression), the"
            " others for classes"
        )
    if "f1" in metrics and len(labels) != 2:
        raise InputError(
            f"--metrics f1 is for two classes, and there are {len(labels)}: {listed(labels)}; use macro_f1"
        )


def _classes(examples: list[Example], named: Sequence[str], column: str, path: AnyPath) -> tuple[str, ...]:
    """Return the classes of train, in the order of their scores, and refuse what can be none."""
    labels = tuple(named or classes_of(examples))
    if not named and are_too_many(labels, len(examples)):
        number = (
            f"{len(labels):,} different values in {len(examples):,} examples, such as"
            f" {shortened(labels[-1])!r}"
        )
        raise InputError(
            f"{path}: the column {column!r} has {number}, so they are no classes; are --text and --label"
            " swapped? For numbers, give --regression"
        )
    check_names(labels)
    if len(labels) == 1:
        raise InputError(
            f"{path}: every label is {labels[0]!r}; two or more are needed, or --regression for numbers"
        )
    return labels


def are_too_many(labels: Sequence[str], examples: int) -> bool:
    """Tell whether these values can be no labels: more than MANY_CLASSES, and than half of the examples."""
    return len(labels) > MANY_CLASSES and 2 * len(labels) > examples


def check_names(labels: Sequence[str]) -> None:
    """Refuse labels that are named twice, or are symbols of the dictionary."""
    unusable = [label for label in labels if labels.count(label) > 1 or label in (*LEADING, MASK)]
    if unusable:
        raise InputError(
            f"--labels: {unusable[0]!r} stands there twice, or is a symbol of fairseq's; name each label"
            " once, by another name"
        )


def _examples(path: AnyPath, columns: Columns, may_lack_labels: bool, faults: Faults) -> list[Example]:
    if may_lack_labels and not has_labels(path, columns):
        columns = without_label(columns)
    examples = read_with_progress(path, read_examples, path, columns, faults)
    cells = len(examples) * (len(columns.texts) + (columns.label is not None))
    warn_of_quoted_cells(path, columns, quoted_cells(examples), cells)
    return examples


def empty_texts(examples: Iterable[Sequence[str]]) -> str:
    """Say how many texts are empty, which are read as ``<unk>``; empty if none is."""
    number = sum(not text.strip() for texts in examples for text in texts)
    return f"; {number:,} texts are empty" if number else ""


def without_label(columns: Columns) -> Columns:
    """Return the columns of a file without labels."""
    header = tuple(name for name in columns.header if name != columns.label) if columns.header else None
    return replace(columns, label=None, header=header)


def warn_of_quoted_cells(path: AnyPath, columns: Columns, number: int, cells: int) -> None:
    """Warn of a TSV with cells in quotes, ``number`` of its ``cells``, that is read as if these were text."""
    if number and not (columns.quoted or is_json(path) or is_csv(path)):
        what = f"{number:,} of {cells:,} cells begin and end with quotes"
        warn(f"warning: {path}: {what}, which are read as text; if they are not, give --quoted")


def _write(
    folder: Path, vocabulary: AnyPath, splits: Splits, info: TaskInfo, double_unordered: bool, say: Say
) -> TaskInfo:
    """Write one task, and say what it is."""
    unknown = Unknown()
    with Progress() as progress:
        finished = write_task_folder(folder, vocabulary, splits, info, double_unordered, unknown, progress)
    what = (
        f"{info.choices} choices"
        if info.choices
        else f"{len(info.labels)} labels"
        if info.labels
        else "numbers"
    )
    cut = sum(finished.shortened.values())
    more = (f"; {cut:,} cut to {info.max_positions} tokens" if cut else "") + f"; {unknown}"
    more += empty_texts(example.texts for examples in splits.values() for example in examples)
    more += "".join(
        f"; {split} has no labels" for split, examples in splits.items() if examples[0].label is None
    )
    metrics = ", ".join(f"f1 of {info.labels[1]!r}" if name == "f1" else name for name in info.metrics)
    say(f"{folder}: {example_counts(finished)}; {what}; {metrics}{more}")
    unknown.warn(str(folder))
    return finished


SOURCES = {"glue": prepare_glue, "swag": prepare_swag, "race": prepare_race, "text": prepare_text}
