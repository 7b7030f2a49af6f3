"""Score a fine-tuned net on a labelled file, with the metrics that a study of its task reports."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fairseq_electra.errors import InputError, listed, shortened
from fairseq_electra.files.table import Columns
from fairseq_electra.finetuning.kind import PLAIN_TAG_METRICS, RANKING, TAG_METRICS
from fairseq_electra.finetuning.predictions import LINES_AT_ONCE, AnswerPredictor, Predictor, SentencePredictor, TagPredictor
from fairseq_electra.finetuning.questions.metrics import score_answers
from fairseq_electra.finetuning.questions.read import Squad, read_squad
from fairseq_electra.finetuning.sentences.metrics import score
from fairseq_electra.finetuning.sentences.read import Example, read_examples
from fairseq_electra.finetuning.words.columns import WordColumns
from fairseq_electra.finetuning.words.metrics import score_words
from fairseq_electra.finetuning.words.read import Sentence, read_conll
from fairseq_electra.finetuning.words.tags import NONE, scheme_of, tags_of


class Scored(NamedTuple):
    """What a net answered, in the file's order, each answer with the right one under ``gold``, and what that is worth by metric."""

    answers: list[dict]
    metrics: dict[str, float]


@dataclass(frozen=True)
class GoldForm:
    """How a labelled file is to be read, as ``prepare`` reads it.

    Args:
        columns: of sentences.
        scheme: of tags, one of :data:`tags.SCHEMES`.
        words: columns of words and tags.
    """

    columns: Columns
    scheme: str
    words: WordColumns


def score_file(predictor: Predictor, path: str, form: GoldForm) -> Scored:
    """Let a net answer all inputs of a labelled file, and score the answers.

    Args:
        predictor: of the net; of one for questions with an ``n_best`` of 1 or more.
        path: TSV or JSON lines for sentences, words in columns for tags, a file that :func:`read_squad` reads for questions.
        form: how to read it.

    Raises:
        InputError: the file cannot be read, or has a label that the net does not know; names the line.
    """
    if isinstance(predictor, TagPredictor):
        return score_sentences_of_words(predictor, read_conll(path, form.scheme, columns=form.words), form.scheme)
    if isinstance(predictor, AnswerPredictor):
        return score_questions(predictor, read_squad(path))
    assert isinstance(predictor, SentencePredictor)
    return score_examples(predictor, read_examples(path, form.columns))


def score_examples(predictor: SentencePredictor, examples: list[Example]) -> Scored:
    """Score classes, numbers or choices.

    Returns:
        the metrics of the task; where it is not known, accuracy, or of numbers both correlations.
    """
    of_choices, labels = predictor.net.kind == RANKING, predictor.labels
    numbers = len(labels) == 1 and not of_choices
    target = _targets(examples, None if numbers else [str(i) for i in range(len(examples[0].texts) - 1)] if of_choices else labels)
    answers = list(predictor(example.texts for example in examples))
    logits = np.array([answer["logits"] for answer in answers], dtype=np.float32)
    known = predictor.net.task.metrics if predictor.net.task else ()
    metrics = score(known or (("pearson", "spearman") if numbers else ("accuracy",)), logits, target)
    return Scored([answer | {"gold": example.label} for answer, example in zip(answers, examples, strict=True)], metrics)


def _targets(examples: list[Example], labels: list[str] | None) -> np.ndarray:
    """Classes from 0 on, or without ``labels`` numbers. Shape: (N,)."""
    found: list[float] = []
    for example in examples:
        label = example.label or ""
        if labels is not None and label not in labels:
            raise InputError(
                f"{example.place}: the label {shortened(label)!r} is none of the network's, {listed(labels)}; give it as in training"
            )
        try:
            found.append(float(label) if labels is None else labels.index(label))
        except ValueError:
            found.append(math.nan)
        if not math.isfinite(found[-1]):
            raise InputError(f"{example.place}: the label {shortened(label)!r} is no number, and the network was trained on numbers")
    return np.array(found, dtype=np.float64 if labels is None else np.int64)


def score_sentences_of_words(predictor: TagPredictor, sentences: list[Sentence], scheme: str) -> Scored:
    """Score tags: entities, whatever scheme the file has them in, or with the scheme ``none`` the tags themselves."""
    labels = tuple(predictor.labels)
    own = NONE if scheme == NONE else scheme_of(labels)
    if own is None:
        raise InputError(f"the network's tags, {listed(labels)}, are not those of entities; give --scheme {NONE}")
    gold = [tags_of(each.entities, len(each.words), own) for each in sentences]
    for each, tags in zip(sentences, gold, strict=True):
        strange = [tag for tag in tags if tag not in labels]
        if strange:
            raise InputError(f"{each.place}: the tag {shortened(strange[0])!r} in this sentence is none of the network's, {listed(labels)}")
    tagged = list(_tagged(predictor, sentences))
    answers = [
        {"words": each.words, "tags": tags, "logits": scores.tolist(), "gold": right}
        for each, (tags, scores), right in zip(sentences, tagged, gold, strict=True)
    ]
    number = np.repeat(np.arange(len(sentences)), [len(each.words) for each in sentences])
    target = np.array([labels.index(tag) for tags in gold for tag in tags])
    metrics = PLAIN_TAG_METRICS if own == NONE else TAG_METRICS
    return Scored(answers, score_words(np.concatenate([scores for _, scores in tagged]), target, number, labels, metrics))


def _tagged(predictor: TagPredictor, sentences: list[Sentence]) -> Iterator[tuple[list[str], np.ndarray]]:
    remaining = iter(sentences)
    while batch := list(itertools.islice(remaining, LINES_AT_ONCE)):
        predictor.number_read += len(batch)
        yield from predictor.tag([each.words for each in batch])


def score_questions(predictor: AnswerPredictor, squad: Squad) -> Scored:
    """Score answers by SQuAD's rules, of nets that know questions without an answer with the predictor's threshold."""
    if predictor.n_best < 1:
        raise ValueError("n_best must be 1 or more: above the threshold the best answer is needed too")
    found = list(predictor((question.text, squad.contexts[question.context]) for question in squad.questions))
    best = [answer["n_best"][0]["answer"] if answer["n_best"] else "" for answer in found]
    golds = [[text for _, text in question.answers] for question in squad.questions]
    unanswerable = np.array([answer["unanswerable"] for answer in found]) if predictor.unanswerable else None
    answers = [{"id": question.id, **answer, "gold": gold} for question, answer, gold in zip(squad.questions, found, golds, strict=True)]
    return Scored(answers, score_answers(best, golds, unanswerable, predictor.threshold))
