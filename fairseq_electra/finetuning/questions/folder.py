"""Questions and contexts as the task question_answering reads them: ids, offsets, windows, memory-mapped.

::

    DIR/task.json                        TaskInfo
    DIR/input0/{train,valid,...}         questions in pieces; with dict.txt and tokenizer.json
    DIR/input1/{train,valid,...}         contexts in pieces, each once
    DIR/offsets/{train,valid,...}.npy    (pieces of all contexts, 2) int32: first and end character of each
    DIR/windows/{train,valid,...}.npy    (windows, 6) int32: the columns of WindowColumn
    DIR/text/{train,valid,...}.jsonl     for each question id, number of its context, its text and answers
    DIR/text/{train,valid,...}.contexts.jsonl
"""

import functools
import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from enum import IntEnum
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from fairseq_electra.errors import ExampleError, InputError, shortened
from fairseq_electra.files.faults import STRICT, Faults
from fairseq_electra.files.text import atomic_folder
from fairseq_electra.finetuning.info import TaskInfo, finish_folder
from fairseq_electra.finetuning.questions.read import Question, Squad
from fairseq_electra.finetuning.windows import number_of_windows, windows_of
from fairseq_electra.pretraining.binarized import Binarized, open_binarized
from fairseq_electra.pretraining.encode import LINES_PER_BATCH, check_ids, write_binarized
from fairseq_electra.pretraining.unknown import Unknown
from fairseq_electra.pretraining.wordpiece import EOS_ID, UNK_ID, load_wordpiece
from fairseq_electra.progress import Progress

NUM_SPECIAL = 3  # special tokens of a row: <s> question </s> window </s>
SHORTEST_WINDOW = 8


class WindowColumn(IntEnum):
    """Columns of a table of windows.

    The window is the half-open range of pieces of the context from FIRST to END. The answer is the pieces
    from ANSWER_FIRST to ANSWER_LAST, both included; both are -1 if the window does not hold it.
    """

    QUESTION = 0
    CONTEXT = 1
    FIRST = 2
    END = 3
    ANSWER_FIRST = 4
    ANSWER_LAST = 5


def write_question_folder(
    folder: str | Path,
    vocabulary: str | Path,
    splits: dict[str, Squad],
    info: TaskInfo,
    unknown: Unknown | None = None,
    faults: Faults = STRICT,
    progress: Progress | None = None,
) -> TaskInfo:
    """Write a task; nothing is left behind where something is wrong.

    Args:
        folder: new or empty.
        vocabulary: folder with ``tokenizer.json`` and ``dict.txt``.
        splits: questions by split.
        info: what the task is; ``examples``, ``rows``, ``shortened``, questions in several windows, and
            ``cut`` are filled in.
        unknown: counts what the vocabulary does not know of the questions and contexts.
        faults: gathers questions of whose answer the vocabulary leaves nothing.
        progress: told how many contexts are cut into pieces, and how many windows are made, of how many.

    Returns:
        the finished info.

    Raises:
        InputError: a row has no room for a question and a window, or nothing is left of an answer once the
            vocabulary has cut it into pieces; names the question.
    """
    if info.stride < 1 or info.max_question < 1:
        raise InputError(
            f"--stride {info.stride} and --max-question {info.max_question} must be 1 or more; SQuAD's are"
            " 128 and 64"
        )
    if info.max_positions - NUM_SPECIAL - info.max_question < SHORTEST_WINDOW:
        raise InputError(
            f"--max-positions {info.max_positions} leaves no window of {SHORTEST_WINDOW} pieces behind a"
            f" question of {info.max_question}; SQuAD's are 512 and 64"
        )
    tokenizer = load_wordpiece(vocabulary)
    check_ids(tokenizer, vocabulary)
    progress = progress or Progress()
    counts, rows, shortened, cut = {}, {}, {}, {}
    with atomic_folder(folder) as partial:
        for split, squad in splits.items():
            windows, cut[split] = _write_split(
                partial, split, squad, info, tokenizer, unknown, faults, progress
            )
            windows_of_each = np.bincount(windows[:, WindowColumn.QUESTION])
            counts[split], rows[split] = len(windows_of_each), len(windows)
            shortened[split] = int((windows_of_each > 1).sum())
        faults.raise_unless_skipped(counts)
        return finish_folder(
            partial, vocabulary, replace(info, examples=counts, rows=rows, shortened=shortened, cut=cut)
        )


def _write_split(
    folder: Path,
    split: str,
    squad: Squad,
    info: TaskInfo,
    tokenizer: Tokenizer,
    unknown: Unknown | None,
    faults: Faults,
    progress: Progress,
) -> tuple[np.ndarray, int]:
    """Write one split; returns its windows (:class:`WindowColumn`) and the number of questions cut."""
    progress.stage(f"{split}: cutting contexts into pieces", "contexts", len(squad.contexts))
    contexts, offsets = context_pieces(tokenizer, squad.contexts, progress, unknown)
    squad = replace(squad, questions=_with_answers_in_pieces(squad.questions, offsets, split, faults))
    if not squad.questions:
        return np.empty((0, len(WindowColumn)), dtype=np.int32), 0
    uncut = question_pieces(tokenizer, (question.text for question in squad.questions), sys.maxsize, unknown)
    questions = [pieces[: info.max_question] for pieces in uncut]
    windows = find_windows(squad.questions, questions, offsets, info, split, progress)
    size = tokenizer.get_vocab_size()
    write_binarized(folder / "input0" / split, [questions], size, EOS_ID)
    write_binarized(folder / "input1" / split, [contexts], size, EOS_ID)
    for name in ("offsets", "windows", "text"):
        (folder / name).mkdir(exist_ok=True)
    np.save(folder / "offsets" / f"{split}.npy", np.concatenate(offsets))
    np.save(folder / "windows" / f"{split}.npy", windows)
    with open(folder / "text" / f"{split}.jsonl", "w", encoding="utf-8") as stream:
        for question in squad.questions:
            record = {
                "id": question.id,
                "context": question.context,
                "text": question.text,
                "answers": question.answers,
            }
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")
    with open(folder / "text" / f"{split}.contexts.jsonl", "w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(context, ensure_ascii=False) + "\n" for context in squad.contexts)
    return windows, sum(len(pieces) > info.max_question for pieces in uncut)


def _with_answers_in_pieces(
    questions: list[Question], offsets: list[np.ndarray], split: str, faults: Faults
) -> list[Question]:
    """Return the questions that have no answer, or one of which the vocabulary leaves something.

    ``faults`` gathers the others.
    """
    usable = []
    for question in questions:
        with faults:
            for start, text in question.answers[:1]:
                pieces_of_span(
                    offsets[question.context], start, text, place=f"{split}, question {question.id}"
                )
            usable.append(question)
    return usable


def question_pieces(
    tokenizer: Tokenizer, texts: Iterable[str], max_length: int, unknown: Unknown | None = None
) -> list[list[int]]:
    """Return the ids of questions, cut to ``max_length``.

    ``unknown`` counts what the vocabulary does not know of them.
    """
    texts = list(texts)
    ids = [
        encoding.ids or [UNK_ID] for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    ]
    if unknown is not None:
        unknown.add(tokenizer, texts, ids)
    return [each[:max_length] for each in ids]


def context_pieces(
    tokenizer: Tokenizer, texts: list[str], progress: Progress | None = None, unknown: Unknown | None = None
) -> tuple[list[list[int]], list[np.ndarray]]:
    """Ids of contexts, and of each piece where it begins and ends in the text, in characters.

    Shape of each: (pieces, 2), int32.

    A context of which the vocabulary's normalization leaves nothing is one ``<unk>`` that covers no
    character. ``progress`` counts them, ``unknown`` what the vocabulary does not know of them.
    """
    progress = progress or Progress()
    ids, offsets = [], []
    for first in range(0, len(texts), LINES_PER_BATCH):
        for encoding in tokenizer.encode_batch(
            texts[first : first + LINES_PER_BATCH], add_special_tokens=False
        ):
            progress.add()
            ids.append(encoding.ids or [UNK_ID])
            offsets.append(np.array(encoding.offsets or [(0, 0)], dtype=np.int32))
    if unknown is not None:
        unknown.add(tokenizer, texts, ids)
    return ids, offsets


def find_windows(
    questions: list[Question],
    pieces: list[list[int]],
    offsets: list[np.ndarray],
    info: TaskInfo,
    place: str,
    progress: Progress | None = None,
) -> np.ndarray:
    """Find the windows of each question, and the pieces of its first answer in them.

    Args:
        questions: N.
        pieces: of each its ids.
        offsets: of each context, as :func:`context_pieces` gives them.
        info: ``max_positions`` and ``stride`` are used.
        place: names the questions in errors.
        progress: told how many windows there will be, and counts them.

    Returns:
        the columns of :class:`WindowColumn`. Shape: (windows, 6), int32.
    """
    progress, windows = progress or Progress(), []
    max_lengths = [info.max_positions - NUM_SPECIAL - len(question) for question in pieces]
    lengths = (len(offsets[question.context]) for question in questions)
    total = sum(
        number_of_windows(length, max_length, info.stride)
        for length, max_length in zip(lengths, max_lengths, strict=True)
    )
    progress.stage(f"{place}: making windows of {len(questions):,} questions", "windows", total)
    for number, question in enumerate(questions):
        pieces_of_context = offsets[question.context]
        first = last = -1
        if question.answers:
            first, last = pieces_of_span(
                pieces_of_context, *question.answers[0], place=f"{place}, question {question.id}"
            )
        for start, end in progress.count(
            windows_of(len(pieces_of_context), max_lengths[number], info.stride)
        ):
            answer = (first, last) if start <= first and last < end else (-1, -1)
            windows.append((number, question.context, start, end, *answer))
    return np.array(windows, dtype=np.int32)


def pieces_of_span(offsets: np.ndarray, start: int, text: str, place: str) -> tuple[int, int]:
    """Find the fewest pieces that hold a text: number of the first and of the last.

    Raises:
        InputError: no piece holds any of it.
    """
    first = int(np.searchsorted(offsets[:, 1], start, side="right"))
    last = int(np.searchsorted(offsets[:, 0], start + len(text), side="left")) - 1
    if last < first:
        message = (
            f"{place}: the vocabulary's normalization leaves nothing of the answer {shortened(text)!r}; take"
            " the question out"
        )
        raise ExampleError("with an answer of which the vocabulary leaves nothing", message)
    return first, last


class Questions:
    """Questions, their contexts in pieces, and the windows of these.

    Args:
        questions: ids of each.
        contexts: ids of each.
        offsets: where the pieces of all contexts begin and end in their texts, in characters. Shape: (pieces,
            2).
        windows: the columns of :class:`WindowColumn`. Shape: (windows, 6).
        split: a name for them.
    """

    def __init__(
        self, questions: "Lines", contexts: "Lines", offsets: np.ndarray, windows: np.ndarray, split: str = ""
    ):
        self._questions, self._contexts, self._offsets, self.windows, self.split = (
            questions,
            contexts,
            offsets,
            windows,
            split,
        )

    def __len__(self) -> int:
        return len(self._questions.sizes)

    def row(self, window: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids of a window's question and of its piece of the context. Shapes: (pieces,) twice."""
        question, context, first, end, *_ = self.windows[window]
        return self._questions[question], self._contexts[context][first:end]

    def sizes(self) -> np.ndarray:
        """Tokens of each window's row. Shape: (windows,)."""
        lengths = self.windows[:, WindowColumn.END] - self.windows[:, WindowColumn.FIRST]
        return self._questions.sizes[self.windows[:, WindowColumn.QUESTION]] + lengths + NUM_SPECIAL

    def offsets(self, context: int) -> np.ndarray:
        """Where a context's pieces begin and end in its text, in characters. Shape: (pieces, 2)."""
        first = self._contexts.starts[context] - context * self._contexts.gap
        return self._offsets[first : first + self._contexts.sizes[context]]


class QuestionFolder(Questions):
    """A split of a prepared folder, mapped.

    Args:
        folder: written by :func:`write_question_folder`.
        split: train, valid, ...
        vocabulary_size: ids must be smaller than this.

    Raises:
        InputError: a file is missing, or they do not belong together.
    """

    def __init__(self, folder: str | Path, split: str, vocabulary_size: int):
        self.folder = Path(folder)
        questions, contexts = (
            Lines.of(open_binarized(self.folder / name / split, vocabulary_size))
            for name in ("input0", "input1")
        )
        offsets, windows = (
            _map(self.folder / "offsets" / f"{split}.npy", 2),
            _map(self.folder / "windows" / f"{split}.npy", len(WindowColumn)),
        )
        super().__init__(questions, contexts, offsets, windows, split)
        pieces = int(contexts.sizes.sum())
        if len(offsets) != pieces:
            raise InputError(
                f"{folder}: {split} has {pieces:,} pieces, and offsets of {len(offsets):,}; make the folder"
                " again"
            )

    def texts(self) -> tuple[list[dict], list[str]]:
        """Read the questions, dicts with ``id``, ``context``, ``text`` and ``answers``, and the contexts."""
        return self._texts

    @functools.cached_property
    def _texts(self) -> tuple[list[dict], list[str]]:
        return [json.loads(line) for line in self._open("jsonl")], [
            json.loads(line) for line in self._open("contexts.jsonl")
        ]

    def context_of_each(self) -> list[str]:
        """Read the context of each question."""
        questions, contexts = self.texts()
        return [contexts[question["context"]] for question in questions]

    def _open(self, ending: str) -> list[str]:
        path = self.folder / "text" / f"{self.split}.{ending}"
        try:
            return path.read_text(encoding="utf-8").split("\n")[:-1]
        except OSError as error:
            raise InputError(f"no {path}; make the folder again with fairseq-electra prepare") from error


class Lines:
    """Lines of ids, one behind the other.

    Args:
        ids: of all. Shape: (ids,).
        sizes: of each line. Shape: (N,).
        gap: ids behind each line that do not belong to it.
    """

    def __init__(self, ids: np.ndarray, sizes: np.ndarray, gap: int = 0):
        self.ids, self.sizes, self.gap = ids, sizes, gap
        self.starts = np.concatenate([[0], (sizes + gap).cumsum(dtype=np.int64)[:-1]])

    @classmethod
    def of(cls, text: Binarized) -> "Lines":
        """Return those of a binarized text, without their ``</s>``."""
        return cls(text.ids, text.line_sizes - 1, 1)

    def __getitem__(self, line: int) -> np.ndarray:
        return self.ids[self.starts[line] : self.starts[line] + self.sizes[line]]


def in_memory(lines: list[list[int]]) -> Lines:
    """Put lists of ids one behind the other."""
    return Lines(
        np.concatenate([np.array(line, dtype=np.int64) for line in lines]),
        np.array([len(line) for line in lines]),
    )


def _map(path: Path, columns: int) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot read {path} ({error}); make the folder again with fairseq-electra prepare"
        ) from error
    if array.dtype != np.int32 or array.ndim != 2 or array.shape[1] != columns:
        raise InputError(f"{path} is not of this version; make the folder again with fairseq-electra prepare")
    return array
