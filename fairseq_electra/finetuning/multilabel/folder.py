"""Texts with several labels as the task multi_label_classification reads them.

::

    DIR/task.json                        TaskInfo
    DIR/input0/{train,valid,...}         first text; with dict.txt and tokenizer.json
    DIR/input1/{train,valid,...}         second text of pairs
    DIR/label/dict.txt                   labels, in the order of their scores
    DIR/label/{train,valid,...}.npy      (examples, labels) bool: which labels an example has
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fairseq_electra.errors import ExampleError, InputError, listed, shortened
from fairseq_electra.files.faults import STRICT, Faults
from fairseq_electra.files.text import atomic_folder
from fairseq_electra.finetuning.info import TaskInfo, finish_folder
from fairseq_electra.finetuning.multilabel.read import LabelledText
from fairseq_electra.finetuning.sentences.folder import check_row_length, encode_texts, write_inputs
from fairseq_electra.pretraining.binarized import open_binarized
from fairseq_electra.pretraining.encode import check_ids
from fairseq_electra.pretraining.unknown import Unknown
from fairseq_electra.pretraining.wordpiece import BOS_ID, DICTIONARY_FILE, load_wordpiece, write_entries
from fairseq_electra.progress import Progress


def write_label_folder(
    folder: str | Path,
    vocabulary: str | Path,
    splits: dict[str, list[LabelledText]],
    info: TaskInfo,
    unknown: Unknown | None = None,
    progress: Progress | None = None,
) -> TaskInfo:
    """Write a task; nothing is left behind where something is wrong.

    Args:
        folder: new or empty.
        vocabulary: folder with ``tokenizer.json`` and ``dict.txt``.
        splits: examples by split.
        info: what the task is; ``examples``, ``shortened`` and ``unlabelled`` are filled in.
        unknown: counts what the vocabulary does not know.
        progress: told how many examples are cut into pieces.

    Returns:
        the finished info.

    Raises:
        InputError: an example has an unknown label, or rows are too short; names file and line.
    """
    check_row_length(info)
    for split, examples in splits.items():
        usable_texts(split, examples, info)
    tokenizer, progress = load_wordpiece(vocabulary), progress or Progress()
    check_ids(tokenizer, vocabulary)
    counts, shortened, unlabelled = {}, {}, []
    with atomic_folder(folder) as partial:
        (partial / "label").mkdir()
        for split, examples in splits.items():
            progress.stage(f"{folder}, {split}", "examples", len(examples))
            texts = encode_texts(tokenizer, [example.texts for example in examples], unknown, progress)
            shortened[split] = write_inputs(partial, split, texts, info, tokenizer.get_vocab_size())
            counts[split] = len(examples)
            if examples[0].labels is None:
                unlabelled.append(split)
            else:
                targets = label_table([example.labels or () for example in examples], info.labels)
                np.save(partial / "label" / f"{split}.npy", targets)
        write_entries(partial / "label" / DICTIONARY_FILE, info.labels)
        finished = replace(info, examples=counts, shortened=shortened, unlabelled=tuple(unlabelled))
        return finish_folder(partial, vocabulary, finished)


def label_table(labels_of_each: Sequence[Sequence[str]], labels: Sequence[str]) -> np.ndarray:
    """Tell which labels examples have. Shape: (N, K), bool."""
    index_of = {label: i for i, label in enumerate(labels)}
    table = np.zeros((len(labels_of_each), len(labels)), dtype=bool)
    for row, labels_of_text in zip(table, labels_of_each, strict=True):
        row[[index_of[label] for label in labels_of_text]] = True
    return table


def usable_texts(
    split: str, examples: list[LabelledText], info: TaskInfo, faults: Faults = STRICT
) -> list[LabelledText]:
    """Return the examples that can be trained on or scored; ``faults`` gathers the others.

    Raises:
        InputError: an example has a label that the task has not, or lacks the list of its labels.
    """
    usable, known = [], set(info.labels)
    for example in examples:
        with faults:
            if example.labels is None and not split.startswith("test"):
                raise ExampleError(
                    "without labels", f"{example.place}: no labels; only splits named test... may lack them"
                )
            unknown = [label for label in example.labels or () if label not in known]
            if unknown:
                message = (
                    f"{example.place}: unknown label {shortened(unknown[0])!r}; known are"
                    f" {listed(info.labels)}"
                )
                raise ExampleError("with an unknown label", f"{message}; name all with --labels")
            usable.append(example)
    return usable


class LabelFolder:
    """A split of a prepared folder, mapped.

    Args:
        folder: written by :func:`write_label_folder`.
        split: train, valid, ...
        info: what the task is.
        vocabulary_size: ids must be smaller than this.

    Attributes:
        sizes: tokens of each row. Shape: (N,).
        targets: which labels each example has. Shape: (N, K), bool.

    Raises:
        InputError: a file is missing, or they do not belong together.
    """

    def __init__(self, folder: str | Path, split: str, info: TaskInfo, vocabulary_size: int):
        self._texts = [
            open_binarized(Path(folder) / f"input{i}" / split, vocabulary_size) for i in range(info.inputs)
        ]
        self._starts = [np.concatenate([[0], text.line_sizes.cumsum(dtype=np.int64)]) for text in self._texts]
        self.targets = read_label_table(folder, split, info)
        if any(len(text.line_sizes) != len(self.targets) for text in self._texts):
            raise InputError(
                f"{folder}: the texts and labels of {split} are not equally many; make the folder again"
            )
        self.sizes = 1 + np.sum([text.line_sizes for text in self._texts], axis=0)

    def row(self, index: int) -> np.ndarray:
        """Return the ids of ``<s> A </s> [B </s>]``. Shape: (T,)."""
        parts = [
            text.ids[starts[index] : starts[index + 1]]
            for text, starts in zip(self._texts, self._starts, strict=True)
        ]
        return np.concatenate([[BOS_ID], *parts])


def read_label_table(folder: str | Path, split: str, info: TaskInfo) -> np.ndarray:
    """Map which labels the examples of a split have. Shape: (N, K), bool.

    Raises:
        InputError: the file is missing or damaged, or of other labels.
    """
    path = Path(folder) / "label" / f"{split}.npy"
    try:
        table = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot read {path} ({error}); make the folder again with fairseq-electra prepare"
        ) from error
    if table.dtype != bool or table.shape != (info.examples.get(split), len(info.labels)):
        raise InputError(
            f"{path} does not hold {len(info.labels)} labels of each example; make the folder again"
        )
    return table
