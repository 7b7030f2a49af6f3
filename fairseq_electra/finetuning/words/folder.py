"""Tagged words as the task token_classification reads them.

::

    DIR/task.json                            TaskInfo
    DIR/input0/{train,valid,...}             rows of pieces; with dict.txt and tokenizer.json
    DIR/label/{train,valid,...}              for each piece the tag of the word it begins, or <pad>; dict.txt
    DIR/sentences/{train,valid,...}.npy      (rows,) int32: number of the sentence that a row is of

A sentence that is longer than a row lies in several, which overlap. The tag of a word stands where the word
has most context, so each word is learned and scored once.
"""

import functools
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from fairseq_electra.errors import ExampleError, InputError, listed, shortened
from fairseq_electra.files.faults import STRICT, Faults
from fairseq_electra.files.text import atomic_folder
from fairseq_electra.finetuning.info import TaskInfo, finish_folder
from fairseq_electra.finetuning.sentences.folder import encode_texts
from fairseq_electra.finetuning.windows import best_window
from fairseq_electra.finetuning.words.read import Sentence
from fairseq_electra.finetuning.words.tags import BIO, BIOES, NONE, OUTSIDE, all_tags, tags_of
from fairseq_electra.pretraining.binarized import open_binarized
from fairseq_electra.pretraining.encode import check_ids, write_binarized
from fairseq_electra.pretraining.pieces import pieces_of
from fairseq_electra.pretraining.unknown import Unknown
from fairseq_electra.pretraining.wordpiece import (
    DICTIONARY_FILE,
    EOS_ID,
    LEADING,
    MASK,
    PAD_ID,
    UNK_ID,
    load_wordpiece,
    write_entries,
)
from fairseq_electra.progress import Progress

NUM_SPECIAL = 2  # special tokens of a row: <s> words </s>


class Row:
    """Some of a sentence's words.

    Attributes:
        pieces: their ids.
        first_pieces: where the words begin that are scored in this row, in pieces.
        words: numbers of these.
    """

    def __init__(self, pieces: list[int], first_pieces: list[int], words: list[int]):
        self.pieces, self.first_pieces, self.words = pieces, first_pieces, words


def encode_words(
    tokenizer: Tokenizer,
    sentences: Sequence[Sequence[str]],
    unknown: Unknown | None = None,
    progress: Progress | None = None,
) -> list[list[list[int]]]:
    """Return the ids of every word of every sentence; together they are those of the words joined by blanks.

    ``unknown`` counts what the vocabulary does not know, ``progress`` the sentences.
    """
    pieces = pieces_of(tokenizer)
    texts = [pieces.texts_of_words(words) for words in sentences]
    return encode_texts(tokenizer, texts, unknown, progress)


def rows_of_words(words: Sequence[list[int]], max_pieces: int, stride: int) -> list[Row]:
    """Cut a sentence into rows at words.

    Args:
        words: ids of the pieces of each word.
        max_pieces: largest number of pieces of a row; a longer word is cut.
        stride: smallest number of pieces from row to row; it is at least a word.
    """
    words = [(word or [UNK_ID])[:max_pieces] for word in words]
    starts = [0, *accumulate(len(word) for word in words)]
    spans, first = [], 0
    while True:
        end = first
        while end < len(words) and starts[end + 1] - starts[first] <= max_pieces:
            end += 1
        spans.append((first, end))
        if end == len(words):
            break
        following = first + 1
        while following < end and starts[following] - starts[first] < stride:
            following += 1
        first = following
    best = best_window(starts[-1], [(starts[start], starts[stop]) for start, stop in spans])
    rows = []
    for i, (start, stop) in enumerate(spans):
        scored_words = [word for word in range(start, stop) if best[starts[word]] == i]
        pieces = [piece for word in words[start:stop] for piece in word]
        rows.append(Row(pieces, [starts[word] - starts[start] for word in scored_words], scored_words))
    return rows


def write_tag_folder(
    folder: str | Path,
    vocabulary: str | Path,
    splits: dict[str, list[Sentence]],
    info: TaskInfo,
    bioes: bool = False,
    unknown: Unknown | None = None,
    progress: Progress | None = None,
) -> TaskInfo:
    """Write a task; nothing is left behind where something is wrong.

    Args:
        folder: new or empty.
        vocabulary: folder with ``tokenizer.json`` and ``dict.txt``.
        splits: sentences by split.
        info: what the task is; ``labels``, ``examples``, ``rows``, ``shortened``, sentences in several rows,
            and ``cut`` are filled in.
        bioes: write the tags as BIOES, else as BIO; without a scheme in ``info`` they are written as they
            are.
        unknown: counts what the vocabulary does not know.
        progress: told how many sentences are cut into pieces.

    Returns:
        the finished info.

    Raises:
        InputError: a split has an entity of a type, or a tag, that train has not; names file and line. Or the
            row has no room.
    """
    max_pieces = info.max_positions - NUM_SPECIAL
    if max_pieces < 8 or not 1 <= info.stride <= max_pieces:
        raise InputError(
            f"--max-positions {info.max_positions} and --stride {info.stride}: rows need 10 tokens, and a"
            " stride within them"
        )
    scheme = NONE if info.scheme == NONE else BIOES if bioes else BIO
    progress = progress or Progress()
    splits = with_known_types(splits, scheme=scheme)
    types = types_of(splits["train"])
    if scheme == NONE and (symbols := set(types) & {*LEADING, MASK}):
        raise InputError(
            f"train has the tag {min(symbols)!r}, which is a symbol of fairseq's; call it something else"
        )
    labels = all_tags(types, scheme)
    tokenizer = load_wordpiece(vocabulary)
    check_ids(tokenizer, vocabulary)
    counts, rows, in_several, cut = {}, {}, {}, {}
    with atomic_folder(folder) as partial:
        for split, sentences in splits.items():
            progress.stage(f"{folder}, {split}", "sentences", len(sentences))
            pieces = encode_words(tokenizer, [each.words for each in sentences], unknown, progress)
            of_sentence = _write_split(
                partial, split, sentences, pieces, labels, scheme, info, tokenizer.get_vocab_size()
            )
            counts[split], rows[split] = len(sentences), len(of_sentence)
            in_several[split] = int((np.bincount(of_sentence) > 1).sum())
            cut[split] = sum(any(len(word) > max_pieces for word in each) for each in pieces)
        write_entries(partial / "label" / DICTIONARY_FILE, labels)
        finished = replace(info, examples=counts, rows=rows, shortened=in_several, cut=cut, labels=labels)
        return finish_folder(partial, vocabulary, finished)


def types_of(sentences: Sequence[Sentence]) -> list[str]:
    """List the types of entities; of tags without a scheme, the tags."""
    return sorted({entity.type for sentence in sentences for entity in sentence.entities})


def with_known_types(
    splits: dict[str, list[Sentence]], faults: Faults = STRICT, scheme: str = BIO
) -> dict[str, list[Sentence]]:
    """Return the sentences of each split that have only entities of types that train has.

    ``faults`` gathers the others.

    Args:
        splits: sentences by split.
        faults: gathers sentences that cannot be used.
        scheme: of the tags; without one, each is a type.

    Raises:
        InputError: there is another sentence; names file and line.
    """
    types, known = types_of(splits["train"]), dict[str, list[Sentence]]()
    what, kind = ("a tag", "with a tag") if scheme == NONE else ("an entity", "with an entity of a type")
    for split, sentences in splits.items():
        known[split] = []
        for sentence in sentences:
            with faults:
                unknown = [entity.type for entity in sentence.entities if entity.type not in types]
                if unknown:
                    message = (
                        f"{sentence.place}: {what} {shortened(unknown[0])!r} in this sentence; train has"
                        f" {listed(types) or 'none'}"
                    )
                    raise ExampleError(f"{kind} that train has not", message)
                known[split].append(sentence)
    return known


def _write_split(
    folder: Path,
    split: str,
    sentences: list[Sentence],
    pieces: list[list[list[int]]],
    labels: tuple[str, ...],
    scheme: str,
    info: TaskInfo,
    vocabulary_size: int,
) -> np.ndarray:
    """Write one split, of each word the ids of its pieces; returns the sentence of each row.

    Shape: (rows,).
    """
    id_of = {label: len(LEADING) + i for i, label in enumerate(labels)}
    id_of.setdefault(OUTSIDE, len(LEADING))  # words without tags, which are never scored, where O is no tag
    texts, targets, of_sentence = [], [], []
    for i, (sentence, words) in enumerate(zip(sentences, pieces, strict=True)):
        tags = tags_of(sentence.entities, len(words), scheme)
        for row in rows_of_words(words, info.max_positions - NUM_SPECIAL, info.stride):
            target = [PAD_ID] * len(row.pieces)
            for first, word in zip(row.first_pieces, row.words, strict=True):
                target[first] = id_of[tags[word]]
            texts.append(row.pieces)
            targets.append(target)
            of_sentence.append(i)
    write_binarized(folder / "input0" / split, [texts], vocabulary_size, EOS_ID)
    write_binarized(folder / "label" / split, [targets], len(LEADING) + len(labels), EOS_ID)
    (folder / "sentences").mkdir(exist_ok=True)
    rows = np.array(of_sentence, dtype=np.int32)
    np.save(folder / "sentences" / f"{split}.npy", rows)
    return rows


class TagFolder:
    """A split of a prepared folder, mapped.

    Args:
        folder: written by :func:`write_tag_folder`.
        split: train, valid, ...
        vocabulary_size: ids must be smaller than this.
        labels: number of tags.

    Attributes:
        sizes: tokens of each row, ``<s>`` and ``</s>`` counted. Shape: (rows,).
        sentences: that a row is of. Shape: (rows,).

    Raises:
        InputError: a file is missing, or they do not belong together.
    """

    def __init__(self, folder: str | Path, split: str, vocabulary_size: int, labels: int):
        text = open_binarized(Path(folder) / "input0" / split, vocabulary_size)
        tags = open_binarized(Path(folder) / "label" / split, len(LEADING) + labels)
        path = Path(folder) / "sentences" / f"{split}.npy"
        try:
            self.sentences = np.load(path, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise InputError(
                f"cannot read {path} ({error}); make the folder again with fairseq-electra prepare"
            ) from error
        if not np.array_equal(text.line_sizes, tags.line_sizes) or len(self.sentences) != len(
            text.line_sizes
        ):
            raise InputError(
                f"{folder}: input0, label and sentences of {split} are not of the same rows; make the folder"
                " again"
            )
        self._ids, self._tags = text.ids, tags.ids
        self._starts = np.concatenate([[0], text.line_sizes.cumsum(dtype=np.int64)])
        self.sizes = text.line_sizes + 1

    def row(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids of a row's pieces, and for each the tag of the word that begins there, from 0 on, or -1.

        Shapes: (pieces,) twice.
        """
        ids_of_row = slice(self._starts[index], self._starts[index + 1] - 1)
        tags = self._tags[ids_of_row].astype(np.int64) - len(LEADING)
        return self._ids[ids_of_row], np.where(tags >= 0, tags, -1)

    @functools.cached_property
    def targets(self) -> tuple[np.ndarray, np.ndarray]:
        """Tags of all words in order, and of each word the number of its sentence. Shapes: (words,) twice."""
        tags = self._tags.astype(np.int64) - len(LEADING)
        row = np.repeat(np.arange(len(self.sizes)), self.sizes - 1)
        return tags[tags >= 0], np.asarray(self.sentences)[row[tags >= 0]]
