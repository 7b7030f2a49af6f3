"""Answers of a fine-tuned net to inputs, in their order, whatever the batches are."""

import itertools
import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch

from fairseq_electra.errors import InputError
from fairseq_electra.files.inputs import Input, texts_in
from fairseq_electra.finetuning.kind import ANSWERING, MAX_QUESTION, RANKING, STRIDE, TAGGING, TaskInfo
from fairseq_electra.finetuning.questions.answering import answers_to
from fairseq_electra.finetuning.questions.answers import BEGIN, END, SCORE, UNANSWERABLE, whole_words
from fairseq_electra.finetuning.questions.folder import SHORTEST_WINDOW, Questions, context_pieces, find_windows, in_memory, question_pieces
from fairseq_electra.finetuning.questions.folder import SPECIAL as QUESTION_SPECIAL
from fairseq_electra.finetuning.questions.read import Question
from fairseq_electra.finetuning.sameness import OF_ANY, OF_ANY_WORDS, Range, characters, sentence
from fairseq_electra.finetuning.sentences.folder import encode_texts, fit, is_cut, rows_of
from fairseq_electra.finetuning.sentences.scores import logits_of
from fairseq_electra.finetuning.words.cut import spans_of_words
from fairseq_electra.finetuning.words.folder import SPECIAL, Row, rows_of_words
from fairseq_electra.finetuning.words.metrics import in_order, tags_of_words, word_scores
from fairseq_electra.finetuning.words.read import with_column
from fairseq_electra.finetuning.words.rows import TagRows
from fairseq_electra.finetuning.words.tags import entities_of, legal_transitions, scheme_of
from fairseq_electra.hub.interface import ElectraHubInterface
from fairseq_electra.pretraining.unknown import Unknown

LINES_AT_ONCE = 4096  # sorted by length among themselves


class Predictor(ABC):
    """Answers of a head to inputs: lines of text, or texts that are apart already, as a tuple.

    Args:
        net: with the head.
        head: its name.
        source: names the text in errors.
    """

    def __init__(self, net: ElectraHubInterface, head: str, source: str = "text"):
        self.net, self.head, self.source = net, head, source
        self.labels = net.labels[head]
        self.max_positions, self.number_read, self.number_cut = net.longest, 0, 0
        self.said, self.unknown = Range(), Unknown()  # what was answered, and what the vocabulary does not know of the inputs

    def __call__(self, inputs: Iterable[Input]) -> Iterator[dict]:
        """Answer each input.

        Raises:
            InputError: one is not as the head needs it; names it.
        """
        remaining = enumerate(iter(inputs), 1)
        while batch := list(itertools.islice(remaining, LINES_AT_ONCE)):
            self.number_read += len(batch)
            yield from self.answer([number for number, _ in batch], [given for _, given in batch])

    @abstractmethod
    def answer(self, numbers: list[int], inputs: list[Input]) -> Iterator[dict]:
        """Answer some inputs, whose numbers are for errors; counts in ``number_cut`` those that were cut."""

    def warning(self) -> str:
        """Return a sentence where the same was said of all inputs, or nothing."""
        same = self.said.same(OF_ANY)
        return "" if same is None else sentence(self.in_words(same), self.said.number, "inputs")

    @abstractmethod
    def in_words(self, said: list[float]) -> str:
        """Put into words what was said of all inputs, as :class:`Range` has it."""

    @property
    def what_was_cut(self) -> str:
        """Ends the sentence that says how many inputs were cut, and to what."""
        return f"were cut to {self.max_positions} tokens, the longest row of the training"


class SentencePredictor(Predictor):
    """Classes, numbers and choices: of a text, or of several, in a line with tabs between them: a pair, or a context and its choices.

    Yields ``logits`` and, for classes, ``label`` and ``probabilities`` by label, for numbers ``score``, for a multiple choice ``choice``,
    from 0 on, and ``probabilities``. All inputs must have as many texts as the training, or as the first.
    """

    def __init__(self, net: ElectraHubInterface, head: str, source: str = "text"):
        super().__init__(net, head, source)
        self._expected = net.task.inputs if net.task else 0

    def answer(self, numbers: list[int], inputs: list[Input]) -> Iterator[dict]:
        """Answer some inputs."""
        texts, kind = [texts_in(given) for given in inputs], self.net.kind
        for number, parts in zip(numbers, texts, strict=True):
            self._expected = self._expected or max(len(parts), 2 if kind == RANKING else 1)
            check_texts(parts, self._expected, f"{self.source}, line {number}")
        encoded = encode_texts(self.net.tokenizer, texts, self.unknown)
        fitted = [fit(ids, kind, self.max_positions) for ids in encoded]
        self.number_cut += sum(map(is_cut, encoded, fitted))
        examples = [rows_of(ids, kind) for ids in fitted]
        logits = logits_of(self.net, self.head, examples)
        self.said.add_scores(logits)
        for scores, shares in zip(logits.tolist(), logits.double().softmax(1).tolist(), strict=True):
            yield self._answer(scores, shares) | {"logits": scores}

    def in_words(self, said: list[float]) -> str:
        """See :meth:`Predictor.in_words`."""
        if self.net.kind == RANKING:
            return f"choice {said[0]:.0f}"
        return f"{said[0]:.3f}" if len(self.labels) == 1 else repr(self.labels[int(said[0])])

    def _answer(self, scores: list[float], shares: list[float]) -> dict:
        best = scores.index(max(scores))
        if self.net.kind == RANKING:
            return {"choice": best, "probabilities": shares}
        if len(self.labels) == 1:
            return {"score": scores[0]}
        return {"label": self.labels[best], "probabilities": dict(zip(self.labels, shares, strict=True))}


def check_texts(parts: list[str], expected: int, place: str) -> None:
    """Refuse a line with another number of texts."""
    if len(parts) != expected:
        raise InputError(
            f"{place}: {len(parts)} texts between tabs, where {expected} are expected; write one input a line, as those of the training"
        )


class _Rows:
    """Rows of words in memory."""

    def __init__(self, rows: list[Row]):
        self.rows, self.sizes = rows, np.array([len(row.pieces) + SPECIAL for row in rows])

    def row(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        row = self.rows[index]
        scored = np.full(len(row.pieces), -1)
        scored[row.first_pieces] = 0
        return np.array(row.pieces), scored


class TagPredictor(Predictor):
    """Entities of lines of text.

    Yields ``words``, ``tags``, the best sequence of them that is legal, ``entities``, of each ``type``, ``text``, ``begin`` and ``end`` in
    the line, in characters, and ``logits``, the log-probabilities of each word's tags. For other tags than those
    of entities, ``entities`` is empty.
    """

    def answer(self, numbers: list[int], inputs: list[Input]) -> Iterator[dict]:
        """Answer some inputs."""
        lines = [given if isinstance(given, str) else given[0] for given in inputs]
        spans = [spans_of_words(line) for line in lines]
        words = [[line[a:b] for a, b in each] for line, each in zip(lines, spans, strict=True)]
        for line, own, (tags, scores) in zip(lines, spans, self.tag(words), strict=True):
            yield self._answer(line, own, tags) | {"logits": scores.tolist()}

    def tag(self, words: list[list[str]]) -> Iterator[tuple[list[str], np.ndarray]]:
        """Tag the words of sentences; yields for each its tags, and their log-probabilities, (words, K), float32."""
        room = self.max_positions - SPECIAL
        stride = self.net.task.stride if self.net.task and self.net.task.stride else max(1, room // 2)
        encoded = encode_texts(self.net.tokenizer, words, self.unknown)
        self.number_cut += sum(any(len(pieces) > room for pieces in each) for each in encoded)
        rows = [row for each in encoded if each for row in rows_of_words(each, room, stride)]
        lengths = [len(each) for each in words]
        scores = np.zeros((0, len(self.labels)), dtype=np.float32)
        if rows:
            batches = self.net.batches(TagRows(_Rows(rows), ""))
            scores = in_order(torch.cat([word_scores(self.net.model, self.head, batch).cpu() for batch in batches]).numpy())
        tags = tags_of_words(scores, np.repeat(np.arange(len(words)), lengths), legal_transitions(self.labels))
        self.said.add(torch.from_numpy(tags))
        bounds = np.cumsum(lengths)[:-1]
        for own, part in zip(np.split(tags, bounds), np.split(scores, bounds), strict=True):
            yield [self.labels[tag] for tag in own], part

    def tag_lines(self, sentences: Iterable[list[tuple[str, str | None]]]) -> Iterator[str]:
        """Add a column with the tags to lines as :func:`fairseq_electra.finetuning.words.read.read_words` yields them."""
        remaining = iter(sentences)
        while batch := list(itertools.islice(remaining, LINES_AT_ONCE)):
            words = [[word for _, word in lines if word is not None] for lines in batch]
            self.number_read += sum(map(bool, words))
            found = self.tag(words)
            for lines, (tags, _) in zip(batch, found, strict=True):
                own = iter(tags)
                yield from (line if word is None else with_column(line, next(own)) for line, word in lines)

    @property
    def what_was_cut(self) -> str:
        """Ends the sentence; lines are read whole, in several rows."""
        return f"have a word that was cut to {self.max_positions - SPECIAL} pieces"

    def warning(self) -> str:
        """See :meth:`Predictor.warning`; text may well hold no entity."""
        same = self.said.same(OF_ANY_WORDS)
        return "" if same is None else sentence(self.in_words(same), self.said.number, "words")

    def in_words(self, said: list[float]) -> str:
        """See :meth:`Predictor.in_words`."""
        return repr(self.labels[int(said[0])])

    def _answer(self, line: str, spans: list[tuple[int, int]], tags: list[str]) -> dict:
        scheme = scheme_of(self.labels)
        entities = []
        for entity in entities_of(tags, scheme) if scheme else ():
            begin, end = spans[entity.first][0], spans[entity.end - 1][1]
            entities.append({"type": entity.type, "text": line[begin:end], "begin": begin, "end": end})
        return {"entities": entities, "words": [line[a:b] for a, b in spans], "tags": tags}


class AnswerPredictor(Predictor):
    """Answers to questions and their contexts, in a line with a tab between.

    Yields ``answer``, as it stands in the context, ``begin`` and ``end`` there, in characters, and ``probability``; of nets that know
    questions without an answer ``unanswerable``, how likely this is one, on the scale of the study's threshold. ``n_best`` has the best
    answers.

    Args:
        net, head, source: as for :class:`Predictor`.
        threshold: above it, the answer is empty.
        n_best: how many answers to list; 0: none.
    """

    def __init__(self, net: ElectraHubInterface, head: str, source: str = "text", threshold: float = math.inf, n_best: int = 0):
        super().__init__(net, head, source)
        self.threshold, self.n_best = threshold, n_best
        longest_question = self.max_positions - QUESTION_SPECIAL - SHORTEST_WINDOW
        if longest_question < 1:
            raise InputError(f"the network has {self.max_positions} positions, too few for a question and its context")
        info = net.task or TaskInfo("", ANSWERING, 2, (), (), 0, stride=STRIDE, max_question=MAX_QUESTION, unanswerable=True)
        self._info = replace(info, max_positions=self.max_positions, max_question=min(info.max_question, longest_question))

    def answer(self, numbers: list[int], inputs: list[Input]) -> Iterator[dict]:
        """Answer some inputs."""
        texts = [texts_in(given) for given in inputs]
        for number, parts in zip(numbers, texts, strict=True):
            check_texts(parts, 2, f"{self.source}, line {number}")
        whole = question_pieces(self.net.tokenizer, (question for question, _ in texts), sys.maxsize, self.unknown)
        pieces = [question[: self._info.max_question] for question in whole]
        self.number_cut += sum(len(question) > self._info.max_question for question in whole)
        number_of = {context: i for i, context in enumerate(dict.fromkeys(context for _, context in texts))}
        contexts, offsets = context_pieces(self.net.tokenizer, list(number_of), unknown=self.unknown)
        asked = [Question(str(number), parts[0], number_of[parts[1]], ()) for number, parts in zip(numbers, texts, strict=True)]
        windows = find_windows(asked, pieces, offsets, self._info, self.source)
        questions = Questions(in_memory(pieces), in_memory(contexts), np.concatenate(offsets), windows)
        answers = whole_words(answers_to(self.net, self.head, questions), [context for _, context in texts])
        self.said.add(torch.from_numpy(answers[:, 0, [BEGIN, END]]))
        for (_, context), found in zip(texts, answers, strict=True):
            yield self._answer(context, found[np.isfinite(found[:, SCORE])], float(found[0, UNANSWERABLE]))

    @property
    def unanswerable(self) -> bool:
        """Whether the net knows questions without an answer."""
        return self._info.unanswerable

    @property
    def what_was_cut(self) -> str:
        """Ends the sentence; contexts are read whole, in several windows."""
        return f"have a question that was cut to {self._info.max_question} pieces"

    def in_words(self, said: list[float]) -> str:
        """See :meth:`Predictor.in_words`."""
        return characters(said)

    def _answer(self, context: str, found: np.ndarray, unanswerable: float) -> dict:
        listed = [
            {"answer": context[begin:end], "begin": begin, "end": end, "probability": math.exp(score)}
            for begin, end, score in zip(*found[:, [BEGIN, END]].astype(int).T.tolist(), found[:, SCORE].tolist(), strict=True)
        ]
        nothing = {"answer": "", "begin": 0, "end": 0, "probability": 0.0}
        best = nothing if unanswerable > self.threshold or not listed else listed[0]
        more = {"unanswerable": unanswerable} if self._info.unanswerable else {}
        return best | more | ({"n_best": listed[: self.n_best]} if self.n_best else {})


def predictor_of(net: ElectraHubInterface, head: str, source: str, threshold: float = math.inf, n_best: int = 0) -> Predictor:
    """Return the one for the kind of task that a net was trained for.

    Raises:
        InputError: one of the last two arguments is given, and the net does not answer questions, or not such without an answer.
    """
    if math.isnan(threshold):
        raise InputError("--threshold nan is no number; give one, such as that which validation logged")
    if net.kind == ANSWERING:
        if threshold < math.inf and net.task and not net.task.unanswerable:
            raise InputError("--threshold is for nets trained with questions without an answer; leave it out")
        return AnswerPredictor(net, head, source, threshold, n_best)
    if threshold < math.inf or n_best:
        raise InputError(f"--threshold and --n-best are for answers to questions, and this net was trained for {net.kind}; leave them out")
    return (TagPredictor if net.kind == TAGGING else SentencePredictor)(net, head, source)
