"""A sentence task as fairseq's sentence_prediction and sentence_ranking read it, and our own task.json.

::

    DIR/task.json                    TaskInfo
    DIR/input0/{train,valid,...}     first sentence, or context of a choice; dict.txt and tokenizer.json
    DIR/input1, input2, ...          second sentence, or the choices
    DIR/label/dict.txt, train.bin    classes; for numbers and choices DIR/label/train.label, one a line
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tokenizers import Tokenizer

from fairseq_electra.errors import ExampleError, InputError, listed, shortened
from fairseq_electra.files.faults import STRICT, Faults
from fairseq_electra.files.text import atomic_folder, atomic_write
from fairseq_electra.finetuning.info import TaskInfo, finish_folder
from fairseq_electra.finetuning.sentences import RANKING
from fairseq_electra.finetuning.sentences.read import Example
from fairseq_electra.pretraining.encode import check_ids, encode_lines, write_binarized
from fairseq_electra.pretraining.unknown import Unknown
from fairseq_electra.pretraining.wordpiece import (
    BOS_ID,
    DICTIONARY_FILE,
    EOS_ID,
    LEADING,
    UNK_ID,
    load_wordpiece,
    write_entries,
)
from fairseq_electra.progress import Progress


def truncate(texts: Sequence[list[int]], max_length: int) -> list[list[int]]:
    """Cut texts so that together they have at most ``max_length`` ids.

    The longest text, the last of equally long ones, loses its last id until they fit.

    Source: google-research/electra finetune/classification/classification_tasks.py::_truncate_seq_pair.
    """
    lengths = [len(text) for text in texts]
    while sum(lengths) > max_length:
        lengths[max(range(len(lengths)), key=lambda i: (lengths[i], i))] -= 1
    return [text[:length] for text, length in zip(texts, lengths, strict=True)]


def fit(texts: Sequence[list[int]], kind: str, max_positions: int) -> list[list[int]]:
    """Cut the texts of an example so that its rows have at most ``max_positions`` tokens.

    An empty text becomes ``<unk>``. A pair gives way by :func:`truncate`. The context of a multiple choice
    stands in all its rows, so it gives way to the longest choice, and a choice to nothing but half of the
    row.
    """
    texts = [text or [UNK_ID] for text in texts]
    if kind != RANKING:
        return truncate(texts, max_positions - 1 - len(texts))
    max_length = max_positions - 3
    choices = [text[: max_length // 2] for text in texts[1:]]
    return [texts[0][: max_length - max(map(len, choices))], *choices]


def is_cut(texts: Sequence[list[int]], fitted: Sequence[list[int]]) -> bool:
    """Tell whether :func:`fit` has left out a part of an example's texts."""
    return any(len(after) < len(before) for before, after in zip(texts, fitted, strict=True))


def rows_of(texts: Sequence[list[int]], kind: str) -> list[list[int]]:
    """Make the rows of an example: one, ``<s> A </s> [B </s>]``, or one for each choice of a multiple choice.

    The row of a choice is ``<s> choice </s> context </s>``.
    """
    parts = [[choice, texts[0]] for choice in texts[1:]] if kind == RANKING else [texts]
    return [[BOS_ID, *(i for text in part for i in [*text, EOS_ID])] for part in parts]


def encode_texts(
    tokenizer: Tokenizer,
    texts: Sequence[Sequence[str]],
    unknown: Unknown | None = None,
    progress: Progress | None = None,
) -> list[list[list[int]]]:
    """Return the ids of every text of every example.

    ``unknown`` counts what the vocabulary does not know, ``progress`` the examples.
    """
    lines = (text for each in (progress or Progress()).count(texts) for text in each)
    flat = (ids for batch in encode_lines(tokenizer, lines, unknown) for ids in batch)
    return [[next(flat) for _ in each] for each in texts]


def write_task_folder(
    folder: str | Path,
    vocabulary: str | Path,
    splits: dict[str, list[Example]],
    info: TaskInfo,
    double_unordered: bool = False,
    unknown: Unknown | None = None,
    progress: Progress | None = None,
) -> TaskInfo:
    """Write a task; nothing is left behind where something is wrong.

    Args:
        folder: new or empty.
        vocabulary: folder with ``tokenizer.json`` and ``dict.txt``.
        splits: examples by split.
        info: what the task is; ``examples`` is filled in.
        double_unordered: add every pair of train the other way round.
        unknown: counts what the vocabulary does not know.
        progress: told how many examples are cut into pieces.

    Returns:
        the finished info.

    Raises:
        InputError: a label is unknown, missing or no number, or examples differ in their number of texts;
            names file and line. Or only pairs can be turned round, and these are none.
    """
    progress = progress or Progress()
    check_task(splits, info, double_unordered)
    tokenizer = load_wordpiece(vocabulary)
    check_ids(tokenizer, vocabulary)
    counts, shortened = {}, {}
    with atomic_folder(folder) as partial:
        for split, examples in splits.items():
            if double_unordered and split == "train":
                examples = examples + [
                    Example(example.texts[::-1], example.label, example.place) for example in examples
                ]
            progress.stage(f"{folder}, {split}", "examples", len(examples))
            texts = encode_texts(tokenizer, [example.texts for example in examples], unknown, progress)
            shortened[split] = write_inputs(partial, split, texts, info, tokenizer.get_vocab_size())
            labels = [example.label for example in examples if example.label is not None]
            if labels:
                _write_labels(partial / "label", split, labels, info)
            counts[split] = len(examples)
        return finish_folder(partial, vocabulary, replace(info, examples=counts, shortened=shortened))


def check_task(splits: dict[str, list[Example]], info: TaskInfo, double_unordered: bool = False) -> None:
    """Refuse what :func:`write_task_folder` cannot write; arguments and errors as there."""
    check_row_length(info)
    if double_unordered and (info.kind == RANKING or info.inputs != 2):
        raise InputError(
            f"--double-unordered is for pairs of sentences, and {info.name} has none; leave it out"
        )
    for split, examples in splits.items():
        usable_examples(split, examples, info)


def check_row_length(info: TaskInfo) -> None:
    """Refuse rows that are too short for a pair, or longer than any network reads."""
    if not 16 <= info.max_positions <= 65535:
        raise InputError(
            f"--max-positions must lie between 16 and 65535, got {info.max_positions}; ELECTRA uses 128 for"
            " sentences"
        )


def usable_examples(
    split: str, examples: list[Example], info: TaskInfo, faults: Faults = STRICT
) -> list[Example]:
    """Return the examples of a split that can be trained on or scored; ``faults`` gathers the others.

    Raises:
        InputError: as :func:`write_task_folder`.
    """
    known = set(info.labels or map(str, range(info.choices)))
    labelled, some_labelled = (
        not split.startswith("test"),
        any(example.label is not None for example in examples),
    )
    usable = []
    for example in examples:
        with faults:
            _check_example(example, info, known, labelled, some_labelled)
            usable.append(example)
    return usable


def _check_example(
    example: Example, info: TaskInfo, known: set[str], labelled: bool, some_labelled: bool
) -> None:
    if len(example.texts) != info.inputs:
        raise InputError(f"{example.place}: {len(example.texts)} texts where {info.inputs} are expected")
    if example.label is None:
        if labelled:
            raise ExampleError(
                "without a label", f"{example.place}: no label; only splits named test... may lack them"
            )
        if some_labelled:
            message = (
                f"{example.place}: no label, where other examples of its split have one; give all a label or"
                " none"
            )
            raise ExampleError("without a label", message)
    elif info.regression:
        if not _is_number(example.label):
            message = (
                f"{example.place}: the label {shortened(example.label)!r} is no number; leave out"
                " --regression for classes"
            )
            raise ExampleError("with a label that is no number", message)
    elif example.label not in known:
        label, names = shortened(example.label), listed(sorted(known))
        message = f"{example.place}: unknown label {label!r}; known are {names}; name all with --labels"
        raise ExampleError("with an unknown label", message)


def _is_number(label: str) -> bool:
    try:
        return math.isfinite(float(label))
    except ValueError:
        return False


def write_inputs(
    folder: Path, split: str, examples: list[list[list[int]]], info: TaskInfo, vocabulary_size: int
) -> int:
    """Write the texts; returns how many examples were shortened."""
    columns: list[list[list[int]]] = [[] for _ in range(info.inputs)]
    shortened = 0
    for texts in examples:
        fitted = fit(texts, info.kind, info.max_positions)
        shortened += is_cut(texts, fitted)
        for column, text in zip(columns, fitted, strict=True):
            column.append(text)
    for i, column in enumerate(columns):
        write_binarized(folder / f"input{i}" / split, [column], vocabulary_size, EOS_ID)
    return shortened


def _write_labels(folder: Path, split: str, labels: list[str], info: TaskInfo) -> None:
    if not info.labels:
        # Python reads numbers such as 1_000, which NumPy does not
        with atomic_write(folder / f"{split}.label") as stream:
            stream.writelines(f"{float(label)!r}\n" if info.regression else f"{label}\n" for label in labels)
        return
    ids = [[len(LEADING) + info.labels.index(label)] for label in labels]
    write_binarized(folder / split, [ids], len(LEADING) + len(info.labels), EOS_ID)
    write_entries(folder / DICTIONARY_FILE, info.labels)
