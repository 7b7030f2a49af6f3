"""Tags that a fine-tuned model gives to words, and their scores on a labelled file."""

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from fairseq_electra.errors import InputError, listed, shortened
from fairseq_electra.files.inputs import Input
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.predictor import LINES_AT_ONCE, Predictor, Scored
from fairseq_electra.finetuning.request import Request
from fairseq_electra.finetuning.sameness import MIN_WORDS, constant_warning
from fairseq_electra.finetuning.words.columns import FIRST_AND_LAST, WordColumns
from fairseq_electra.finetuning.words.cut import spans_of_words
from fairseq_electra.finetuning.words.folder import NUM_SPECIAL, Row, encode_words, rows_of_words
from fairseq_electra.finetuning.words.metrics import in_order, score_words, tags_of_words, word_scores
from fairseq_electra.finetuning.words.read import Sentence, read_conll, read_words, with_column
from fairseq_electra.finetuning.words.rows import TagRows
from fairseq_electra.finetuning.words.tags import (
    BIO,
    NONE,
    PLAIN_TAG_METRICS,
    TAG_METRICS,
    entities_of,
    legal_transitions,
    scheme_of,
    tags_of,
)


def form_of(task: TaskInfo | None) -> tuple[str, WordColumns]:
    """Return how the files of a training write their tags, and their columns, where known."""
    return (
        (BIO, FIRST_AND_LAST)
        if task is None
        else (task.scheme or BIO, WordColumns(task.word_column, task.tag_column))
    )


class _RowsInMemory:
    """Rows of words in memory."""

    def __init__(self, rows: list[Row]):
        self.rows, self.sizes = rows, np.array([len(row.pieces) + NUM_SPECIAL for row in rows])

    def row(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        row = self.rows[index]
        scored = np.full(len(row.pieces), -1)
        scored[row.first_pieces] = 0
        return np.array(row.pieces), scored


class TagPredictor(Predictor):
    """Entities of lines of text.

    Yields ``words``, ``tags``, the best sequence of them that is legal, ``entities``, of each ``type``,
    ``text``, ``begin`` and ``end`` in the line, in characters, and ``logits``, the log-probabilities of each
    word's tags. For other tags than those of entities, ``entities`` is empty.
    """

    inputs = 1

    @property
    def scheme(self) -> str | None:
        """The scheme of the tags; None: they are not those of entities, or were to be kept as they are."""
        task = self.tuned.task
        return None if task is not None and task.scheme == NONE else scheme_of(self.labels)

    def answer(self, numbers: list[int], inputs: list[Input]) -> Iterator[dict]:
        """Answer some inputs."""
        lines = [given if isinstance(given, str) else given[0] for given in inputs]
        spans = [spans_of_words(line) for line in lines]
        words = [[line[a:b] for a, b in each] for line, each in zip(lines, spans, strict=True)]
        for line, spans_of_line, (tags, scores) in zip(lines, spans, self.tag(words), strict=True):
            yield self._answer(line, spans_of_line, tags) | {"logits": scores.tolist()}

    def tag(self, words: list[list[str]]) -> Iterator[tuple[list[str], np.ndarray]]:
        """Yield for each sentence its tags, and the log-probabilities of all tags, (words, K), float32."""
        max_pieces = self.max_positions - NUM_SPECIAL
        stride = (
            self.tuned.task.stride if self.tuned.task and self.tuned.task.stride else max(1, max_pieces // 2)
        )
        encoded = encode_words(self.tuned.tokenizer, words, self.unknown)
        self.number_cut += sum(
            any(len(pieces) > max_pieces for pieces in pieces_of_line) for pieces_of_line in encoded
        )
        rows = [
            row
            for pieces_of_line in encoded
            if pieces_of_line
            for row in rows_of_words(pieces_of_line, max_pieces, stride)
        ]
        lengths = [len(words_of_line) for words_of_line in words]
        scores = np.zeros((0, len(self.labels)), dtype=np.float32)
        if rows:
            batches = self.tuned.batches(TagRows(_RowsInMemory(rows), ""))
            scores = in_order(
                torch.cat(
                    [word_scores(self.tuned.model, self.head, batch).cpu() for batch in batches]
                ).numpy()
            )
        transitions = None if self.scheme is None else legal_transitions(self.labels)
        tags = tags_of_words(scores, np.repeat(np.arange(len(words)), lengths), transitions)
        self.prediction_range.add(torch.from_numpy(tags))
        bounds = np.cumsum(lengths)[:-1]
        for tags_of_line, scores_of_line in zip(
            np.split(tags, bounds), np.split(scores, bounds), strict=True
        ):
            yield [self.labels[tag] for tag in tags_of_line], scores_of_line

    def lines(self, request: Request) -> Iterator[str]:
        """See :meth:`Predictor.lines`."""
        if not request.words:
            return super().lines(request)
        if request.text or request.logits:
            raise InputError(
                "--words puts a tag behind each word, so --text and --logits have no place beside it; leave"
                " them out"
            )
        scheme, columns = form_of(self.tuned.task)
        return self.tag_lines(read_words(request.path, scheme, columns))

    def score_file(self, request: Request) -> Scored:
        """See :meth:`Predictor.score_file`."""
        trained, columns = form_of(self.tuned.task)
        scheme = request.scheme or trained
        return score_sentences_of_words(self, read_conll(request.path, scheme, columns=columns), scheme)

    def tag_lines(self, sentences: Iterable[list[tuple[str, str | None]]]) -> Iterator[str]:
        """Add a column with the tags to lines.

        The lines are as :func:`fairseq_electra.finetuning.words.read.read_words` yields them.
        """
        remaining = iter(sentences)
        while batch := list(itertools.islice(remaining, LINES_AT_ONCE)):
            words = [[word for _, word in lines if word is not None] for lines in batch]
            self.number_read += sum(map(bool, words))
            predictions = self.tag(words)
            for lines, (tags, _) in zip(batch, predictions, strict=True):
                remaining_tags = iter(tags)
                yield from (
                    line if word is None else with_column(line, next(remaining_tags)) for line, word in lines
                )

    @property
    def what_was_cut(self) -> str:
        """Ends the sentence; lines are read whole, in several rows."""
        return f"have a word that was cut to {self.max_positions - NUM_SPECIAL} pieces"

    def warning(self) -> str:
        """See :meth:`Predictor.warning`; text may well hold no entity."""
        same = self.prediction_range.same(MIN_WORDS)
        return (
            ""
            if same is None
            else constant_warning(self.in_words(same), self.prediction_range.number, "words")
        )

    def in_words(self, prediction: list[float]) -> str:
        """See :meth:`Predictor.in_words`."""
        return repr(self.labels[int(prediction[0])])

    def _answer(self, line: str, spans: list[tuple[int, int]], tags: list[str]) -> dict:
        entities = []
        for entity in entities_of(tags, self.scheme) if self.scheme else ():
            begin, end = spans[entity.first][0], spans[entity.end - 1][1]
            entities.append({"type": entity.type, "text": line[begin:end], "begin": begin, "end": end})
        return {"entities": entities, "words": [line[a:b] for a, b in spans], "tags": tags}


def score_sentences_of_words(predictor: TagPredictor, sentences: list[Sentence], scheme: str) -> Scored:
    """Score entities, whatever the scheme of the file, or with the scheme ``none`` the tags themselves."""
    labels = tuple(predictor.labels)
    own_scheme = NONE if scheme == NONE else scheme_of(labels)
    if own_scheme is None:
        raise InputError(
            f"the network's tags, {listed(labels)}, are not those of entities; give --scheme {NONE}"
        )
    gold = [tags_of(each.entities, len(each.words), own_scheme) for each in sentences]
    for each, tags in zip(sentences, gold, strict=True):
        unknown = [tag for tag in tags if tag not in labels]
        if unknown:
            raise InputError(
                f"{each.place}: the tag {shortened(unknown[0])!r} in this sentence is none of the network's,"
                f" {listed(labels)}"
            )
    tagged = list(_tagged(predictor, sentences))
    answers = [
        {"words": each.words, "tags": tags, "logits": scores.tolist(), "gold": right}
        for each, (tags, scores), right in zip(sentences, tagged, gold, strict=True)
    ]
    number = np.repeat(np.arange(len(sentences)), [len(each.words) for each in sentences])
    target = np.array([labels.index(tag) for tags in gold for tag in tags])
    metrics = PLAIN_TAG_METRICS if own_scheme == NONE else TAG_METRICS
    return Scored(
        answers,
        score_words(np.concatenate([scores for _, scores in tagged]), target, number, labels, metrics),
    )


def _tagged(predictor: TagPredictor, sentences: list[Sentence]) -> Iterator[tuple[list[str], np.ndarray]]:
    remaining = iter(sentences)
    while batch := list(itertools.islice(remaining, LINES_AT_ONCE)):
        predictor.number_read += len(batch)
        yield from predictor.tag([each.words for each in batch])
