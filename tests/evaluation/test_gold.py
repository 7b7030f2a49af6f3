"""Scores of labelled files for nets that predict numbers, and for plain tags."""

import types

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from fairseq_electra.data.conll import Sentence
from fairseq_electra.data.examples import Example
from fairseq_electra.data.tags import BIO, NONE, entities_of
from fairseq_electra.errors import InputError
from fairseq_electra.evaluation.gold import score_examples, score_questions, score_sentences_of_words

NUMBERS = [0.25, 3.5, 1.0, 2.0]


def predictor(labels, answers=(), tags=None, task=None, **more):
    """One that answers as it is told."""

    def told(inputs):
        assert len(list(inputs)) == len(answers)
        return iter(answers)

    said = types.SimpleNamespace(labels=labels, net=types.SimpleNamespace(task=task), number_read=0, tag=tags, **more)
    return type("Told", (), {"__call__": lambda self, inputs: told(inputs), "__getattr__": lambda self, name: getattr(said, name)})()


def test_numbers_of_a_net_without_a_task_are_scored_by_both_correlations():
    target = [1, 2.5, 0.5, 4]
    examples = [Example((f"text {i}",), str(label), f"a.tsv, line {i}") for i, label in enumerate(target)]
    net = predictor(["LABEL_0"], [{"score": value, "logits": [value]} for value in NUMBERS])
    answers, metrics = score_examples(net, examples)
    expected = {"pearson": 100 * pearsonr(NUMBERS, target)[0], "spearman": 100 * spearmanr(NUMBERS, target)[0]}
    assert metrics == pytest.approx(expected) and [answer["gold"] for answer in answers] == ["1", "2.5", "0.5", "4"]
    for label in ("much", "inf"):
        with pytest.raises(InputError, match=r"^a, line 7: the label '.*' is no number, and the network was trained on numbers$"):
            score_examples(net, [Example(("x",), label, "a, line 7")])


def test_plain_tags_are_scored_by_accuracy_and_macro_f1():
    labels, found = ["DET", "NOUN", "VERB"], ["DET", "NOUN", "NOUN"]
    scores = np.log(np.eye(3, dtype=np.float32)[[labels.index(tag) for tag in found]] + 0.1)
    sentences = [Sentence(["the", "dog", "runs"], entities_of(["DET", "NOUN", "VERB"], NONE), "a, line 1")]
    net = predictor(labels, tags=lambda words: iter([(found, scores)]))
    answers, metrics = score_sentences_of_words(net, sentences, NONE)
    assert metrics == pytest.approx({"accuracy": 200 / 3, "macro_f1": 100 * (1 + 2 / 3 + 0) / 3})
    assert answers[0]["tags"] == found and answers[0]["gold"] == ["DET", "NOUN", "VERB"]
    with pytest.raises(InputError, match="the network's tags, DET, NOUN, VERB, are not those of entities; give --scheme none"):
        score_sentences_of_words(net, sentences, BIO)


def test_the_best_answer_is_needed_above_the_threshold_too():
    with pytest.raises(ValueError, match="n_best must be 1 or more"):
        score_questions(predictor([], n_best=0), None)
