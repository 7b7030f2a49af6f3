"""Scores of labelled files for nets that predict numbers, and for plain tags."""

import types
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from fairseq_electra.errors import InputError
from fairseq_electra.files.table import Columns
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.questions.predict import AnswerPredictor, score_questions
from fairseq_electra.finetuning.questions.read import read_squad
from fairseq_electra.finetuning.request import Request
from fairseq_electra.finetuning.sentences import PREDICTION, RANKING
from fairseq_electra.finetuning.sentences.predict import SentencePredictor, score_examples
from fairseq_electra.finetuning.sentences.read import Example, read_examples
from fairseq_electra.finetuning.words.predict import TagPredictor, score_sentences_of_words
from fairseq_electra.finetuning.words.read import Sentence, read_conll
from fairseq_electra.finetuning.words.tags import BIO, NONE, TAG_METRICS, all_tags, entities_of, tags_of

REAL = Path(__file__).parents[3] / "shared" / "data"
NUMBERS = [0.25, 3.5, 1.0, 2.0]


def predictor(labels, answers=(), tags=None, task=None, kind=PREDICTION, **more):
    """One that answers as it is told."""

    def told(inputs):
        assert len(list(inputs)) == len(answers)
        return iter(answers)

    said = types.SimpleNamespace(
        labels=labels,
        answers=answers,
        tuned=types.SimpleNamespace(task=task, kind=kind),
        number_read=0,
        tag=tags,
        **more,
    )
    return type(
        "Told",
        (),
        {
            "__call__": lambda self, inputs: told(inputs),
            "__getattr__": lambda self, name: getattr(said, name),
        },
    )()


def test_a_tsv_whose_first_line_does_not_name_the_columns_is_read_as_lines_with_a_warning(tmp_path, capsys):
    task = TaskInfo("pairs", PREDICTION, 2, (), ("pearson",), 64, columns=("sentence1", "sentence2"))
    net = predictor([], ["first", "second"], task=task, usual_columns=(), inputs=0)
    net.columns = lambda named: SentencePredictor.columns(net, named)
    for name, header, number in (("a.tsv", "premise\thypothesis", 2), ("b.tsv", "sentence2\tsentence1", 1)):
        net.answers[:] = ["an answer"] * number
        (tmp_path / name).write_text(f"{header}\none\ttwo\n")
        request = Request(str(tmp_path / name))
        assert len(list(SentencePredictor.answers_to_file(net, request))) == number
        said = capsys.readouterr().err
        assert ("does not name 'sentence1', 'sentence2', so all lines are read as text" in said) == (
            number == 2
        )


def test_score_examples_of_unknown_task_scores_numbers_by_both_correlations():
    target = [1, 2.5, 0.5, 4]
    examples = [Example((f"text {i}",), str(label), f"a.tsv, line {i}") for i, label in enumerate(target)]
    net = predictor(["LABEL_0"], [{"score": value, "logits": [value]} for value in NUMBERS])
    answers, metrics = score_examples(net, examples)
    expected = {
        "pearson": 100 * pearsonr(NUMBERS, target)[0],
        "spearman": 100 * spearmanr(NUMBERS, target)[0],
    }
    assert metrics == pytest.approx(expected) and [answer["gold"] for answer in answers] == [
        "1",
        "2.5",
        "0.5",
        "4",
    ]
    for label in ("much", "inf"):
        with pytest.raises(
            InputError,
            match=r"^a, line 7: the label '.*' is no number, and the network was trained on numbers$",
        ):
            score_examples(net, [Example(("x",), label, "a, line 7")])


def test_score_examples_of_unknown_task_scores_choices_by_accuracy():
    """Its only label, LABEL_0, is that of each choice's score, not of a number."""
    logits, right = [[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]], ["1", "1", "1"]
    examples = [
        Example(("context", "first", "second"), label, f"a.jsonl, line {i}") for i, label in enumerate(right)
    ]
    for task in (None, TaskInfo("SWAG", RANKING, 3, (), ("accuracy",), 64)):
        net = predictor(
            ["LABEL_0"],
            [{"choice": int(np.argmax(each)), "logits": each} for each in logits],
            task=task,
            kind=RANKING,
        )
        answers, metrics = score_examples(net, examples)
        assert (
            metrics == {"accuracy": pytest.approx(200 / 3)}
            and [answer["gold"] for answer in answers] == right
        )
    with pytest.raises(
        InputError, match=r"the label '1\.5' is none of the network's, 0, 1; give it as in training"
    ):
        score_examples(
            predictor(["LABEL_0"], kind=RANKING),
            [Example(("context", "first", "second"), "1.5", "a.jsonl, line 1")],
        )


def test_score_sentences_of_words_scores_plain_tags_by_accuracy_and_macro_f1():
    labels, found = ["DET", "NOUN", "VERB"], ["DET", "NOUN", "NOUN"]
    scores = np.log(np.eye(3, dtype=np.float32)[[labels.index(tag) for tag in found]] + 0.1)
    sentences = [Sentence(["the", "dog", "runs"], entities_of(["DET", "NOUN", "VERB"], NONE), "a, line 1")]
    net = predictor(labels, tags=lambda words: iter([(found, scores)]))
    answers, metrics = score_sentences_of_words(net, sentences, NONE)
    assert metrics == pytest.approx({"accuracy": 200 / 3, "macro_f1": 100 * (1 + 2 / 3 + 0) / 3})
    assert answers[0]["tags"] == found and answers[0]["gold"] == ["DET", "NOUN", "VERB"]
    with pytest.raises(
        InputError, match="the network's tags, DET, NOUN, VERB, are not those of entities; give --scheme none"
    ):
        score_sentences_of_words(net, sentences, BIO)


def test_score_questions_needs_the_best_answer_above_the_threshold_too():
    with pytest.raises(ValueError, match="n_best must be 1 or more"):
        score_questions(predictor([], n_best=0), None)


class PerfectTags(TagPredictor):
    """Always right, but for the last word of every tenth sentence."""

    def __init__(self, labels, gold):
        self.labels, self.gold, self.number_read, self.tuned = (
            labels,
            iter(gold),
            0,
            types.SimpleNamespace(task=None),
        )

    def tag(self, words):
        """Look the tags up."""
        for _ in words:
            number, tags = next(self.gold)
            scores = np.log(
                np.eye(len(self.labels), dtype=np.float32)[[self.labels.index(tag) for tag in tags]] + 1e-3
            )
            scores[-1] = np.roll(scores[-1], 1) if number % 10 == 0 else scores[-1]
            yield [self.labels[tag] for tag in scores.argmax(1)], scores


class PerfectAnswers(AnswerPredictor):
    """Always right about where an answer is, and sure that there is none in every third question."""

    def __init__(self, squad, threshold):
        self.squad, self.threshold, self.n_best = squad, threshold, 1
        self._info = types.SimpleNamespace(unanswerable=True)

    def __call__(self, inputs):
        for number, (question, _) in enumerate(zip(self.squad.questions, inputs, strict=True)):
            yield {
                "n_best": [{"answer": question.answers[0][1] if question.answers else "x"}],
                "unanswerable": float(number % 3 == 0),
            }


class PerfectClasses(SentencePredictor):
    """Always right, but for the first example."""

    def __init__(self, labels, gold):
        self.labels, self.gold, self.tuned = labels, gold, types.SimpleNamespace(task=None, kind=PREDICTION)

    def __call__(self, inputs):
        for number, (_, label) in enumerate(zip(inputs, self.gold, strict=True)):
            right = self.labels.index(label) ^ (number == 0)
            yield {"logits": [float(i == right) for i in range(len(self.labels))]}


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no {REAL}")
def test_score_file_scores_a_real_file_of_words():
    path = REAL / "ner" / "wnut17" / "dev.conll"
    sentences = read_conll(path, BIO)
    gold = [tags_of(each.entities, len(each.words), BIO) for each in sentences]
    labels = all_tags(sorted({entity.type for each in sentences for entity in each.entities}), BIO)
    request = Request(str(path), is_gold=True)
    _, metrics = PerfectTags(labels, enumerate(gold)).score_file(request)
    wrong = len(range(0, len(gold), 10))
    assert (
        metrics["accuracy"] == pytest.approx(100 - 100 * wrong / sum(map(len, gold)))
        and 50 < metrics["entity_f1"] < 100
    )
    _, metrics = PerfectTags(labels, ((1, tags) for tags in gold)).score_file(request)
    assert metrics == dict.fromkeys(TAG_METRICS, 100.0)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no {REAL}")
def test_score_file_scores_real_questions_at_the_given_threshold():
    path = REAL / "squad" / "dev-v2.0.json"
    squad = read_squad(path)
    request = Request(str(path), is_gold=True)
    _, metrics = PerfectAnswers(squad, 0.5).score_file(request)
    right = [(number % 3 == 0) == (not question.answers) for number, question in enumerate(squad.questions)]
    assert (
        metrics["exact_match"] == metrics["f1"] == pytest.approx(100 * sum(right) / len(right))
        and metrics["threshold"] == 0.5
    )
    assert metrics["best_answer_f1"] == 100


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no {REAL}")
def test_score_file_scores_a_real_file_of_pairs():
    path, columns = REAL / "glue" / "RTE" / "dev.tsv", Columns(("sentence1", "sentence2"), "label")
    gold = [example.label for example in read_examples(path, columns)]
    request = Request(str(path), is_gold=True, text=columns.texts, label=str(columns.label))
    _, metrics = PerfectClasses(["entailment", "not_entailment"], gold).score_file(request)
    assert len(gold) == 277 and metrics == pytest.approx({"accuracy": 100 * 276 / 277})
