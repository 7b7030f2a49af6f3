"""Folders of tasks with several labels for a text, from files with named columns."""

from collections.abc import Sequence
from pathlib import Path

from fairseq_electra.errors import InputError, shortened
from fairseq_electra.files.faults import Faults
from fairseq_electra.files.table import Columns, has_labels, in_quotes
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.multilabel import METRICS, MULTI_LABEL, SEPARATOR
from fairseq_electra.finetuning.multilabel.folder import usable_texts, write_label_folder
from fairseq_electra.finetuning.multilabel.read import LabelledText, labels_in, read_labelled_texts
from fairseq_electra.finetuning.preparation import (
    LONGEST_ROW,
    AnyPath,
    Say,
    check_paths,
    example_counts,
    given_files,
    read_with_progress,
    report_faults,
)
from fairseq_electra.finetuning.sentences.prepare import (
    are_too_many,
    check_names,
    empty_texts,
    warn_of_quoted_cells,
    without_label,
)
from fairseq_electra.pretraining.unknown import Unknown
from fairseq_electra.progress import Progress


def prepare_multi_label(
    destdir: AnyPath,
    vocabulary: AnyPath,
    *,
    text: Sequence[str] = (),
    label: str = "",
    label_separator: str = SEPARATOR,
    train: AnyPath | None = None,
    valid: AnyPath | None = None,
    test: AnyPath | None = None,
    header: Sequence[str] = (),
    quoted: bool = False,
    labels: Sequence[str] = (),
    max_positions: int = LONGEST_ROW,
    skip_bad: bool = False,
    say: Say = print,
) -> TaskInfo:
    """Prepare texts or pairs with several labels each, from TSV, JSON lines or CSV.

    Args:
        destdir: folder to write.
        vocabulary: folder with ``tokenizer.json`` and ``dict.txt``.
        text: the column with the text, or the two columns.
        label: the column with the labels, a separator between them; in JSON lines also a list of them.
        label_separator: a character, or several.
        train, valid, test: the files; that of test may lack labels.
        header: names of the columns, where a TSV does not begin with them.
        quoted: cells of a TSV may stand in quotes.
        labels: all labels, in the order of their scores; empty: those of train, sorted.
        max_positions: tokens of the longest row.
        skip_bad: leave out examples that cannot be used, and list them on standard error.
        say: takes a line on the folder.

    Returns:
        what the task is.

    Raises:
        InputError: a file, an example or an argument cannot be used; nothing is written.
    """
    files, faults = given_files(train, valid, test), Faults(skip_bad)
    check_paths(destdir, vocabulary, files)
    if not (text and label and train):
        raise InputError("--multi-label needs --text COLUMN, --label COLUMN and --train FILE beside it")
    if len(text) > 2:
        raise InputError(f"--text names {len(text)} columns; a row holds one sentence or a pair")
    if label in text:
        raise InputError(f"--label {label!r} is a column of --text as well; name the column with the labels")
    if not label_separator.strip(" "):
        raise InputError(
            f"--label-separator {label_separator!r}: give what stands between labels, such as ',' or ';'"
        )
    columns = Columns(tuple(text), label, tuple(header) or None, quoted=quoted)
    splits = {
        split: _read(path, columns, label_separator, split == "test", faults) for split, path in files.items()
    }
    known = tuple(labels) or labels_in(splits["train"])
    if not known:
        report_faults(faults, splits)
        raise InputError(f"{train}: no text has a label in {label!r}; there is nothing to learn")
    if not labels and are_too_many(known, len(splits["train"])):
        raise InputError(
            f"{train}: the column {label!r} has {len(known):,} different labels in {len(splits['train']):,}"
            f" examples, such as {shortened(known[-1])!r}, so they are no labels; are --text and --label"
            " swapped, or is --label-separator another?"
        )
    check_names(known)
    info = TaskInfo(
        Path(destdir).resolve().name,
        MULTI_LABEL,
        len(text),
        known,
        METRICS,
        max_positions,
        columns=columns.texts,
        label_column=label,
        scheme=label_separator,
    )
    splits = {split: usable_texts(split, examples, info, faults) for split, examples in splits.items()}
    report_faults(faults, splits)
    return _write(destdir, vocabulary, splits, info, say)


def _read(
    path: AnyPath, columns: Columns, separator: str, may_lack_labels: bool, faults: Faults
) -> list[LabelledText]:
    if may_lack_labels and not has_labels(path, columns):
        columns = without_label(columns)
    examples = read_with_progress(path, read_labelled_texts, path, columns, separator, faults)
    number = sum(in_quotes(text) for example in examples for text in example.texts)
    warn_of_quoted_cells(path, columns, number, len(examples) * len(columns.texts))
    return examples


def _write(
    folder: AnyPath, vocabulary: AnyPath, splits: dict[str, list[LabelledText]], info: TaskInfo, say: Say
) -> TaskInfo:
    """Write the task, and say what it is."""
    unknown = Unknown()
    with Progress() as progress:
        finished = write_label_folder(folder, vocabulary, splits, info, unknown, progress)
    numbers_of_labels = [
        len(example.labels)
        for examples in splits.values()
        for example in examples
        if example.labels is not None
    ]
    cut = sum(finished.shortened.values())
    more = f"; {cut:,} cut to {info.max_positions} tokens" if cut else ""
    more += empty_texts(example.texts for examples in splits.values() for example in examples)
    more += "".join(
        f"; {split} has no labels" for split, examples in splits.items() if examples[0].labels is None
    )
    mean = sum(numbers_of_labels) / len(numbers_of_labels)
    summary = f"{len(info.labels)} labels, {mean:.2f} for a text on average"
    say(f"{folder}: {example_counts(finished)}; {summary}; {', '.join(info.metrics)}{more}; {unknown}")
    unknown.warn(str(folder))
    return finished


SOURCES = {"multi_label": prepare_multi_label}
