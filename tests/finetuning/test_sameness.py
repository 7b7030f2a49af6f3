"""A net that says the same of everything is told in validation, by predict and, as "constant", in studies."""

import argparse
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from fairseq.data import Dictionary
from fairseq.tasks.sentence_prediction import SentencePredictionTask
from fairseq.tasks.sentence_ranking import SentenceRankingTask
from torch import nn

from fairseq_electra.finetuning.evaluation import VALID
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.multilabel import MULTI_LABEL
from fairseq_electra.finetuning.multilabel.predict import LabelPredictor
from fairseq_electra.finetuning.questions import ANSWERING
from fairseq_electra.finetuning.questions import predict as questions
from fairseq_electra.finetuning.questions.predict import AnswerPredictor
from fairseq_electra.finetuning.sameness import (
    MIN_EXAMPLES,
    MIN_INPUTS,
    MIN_WORDS,
    PredictionRange,
    constant_warning,
)
from fairseq_electra.finetuning.sentences import PREDICTION, RANKING
from fairseq_electra.finetuning.sentences import predict as sentences
from fairseq_electra.finetuning.sentences.predict import SentencePredictor
from fairseq_electra.finetuning.sentences.scores import SentenceEvaluation
from fairseq_electra.finetuning.words import TAGGING
from fairseq_electra.finetuning.words import predict as words
from fairseq_electra.finetuning.words.folder import TagFolder
from fairseq_electra.finetuning.words.predict import TagPredictor
from fairseq_electra.finetuning.words.rows import TagRows
from fairseq_electra.finetuning.words.tags import TAG_METRICS
from fairseq_electra.tasks import question_answering, token_classification
from fairseq_electra.tasks.question_answering import QuestionAnsweringTask
from fairseq_electra.tasks.token_classification import TokenClassificationTask


def range_of(*batches) -> PredictionRange:
    found = PredictionRange()
    for batch in batches:
        found.add(torch.as_tensor(batch))
    return found


def test_prediction_range_tells_equal_from_nearly_equal_predictions():
    assert range_of([2] * 6, [], [2] * 4).same(MIN_EXAMPLES) == [2]
    assert range_of([2] * 9).same(MIN_EXAMPLES) is None and PredictionRange().same(0) is None
    assert range_of([2] * 9, [3], [2] * 5).same(MIN_EXAMPLES) is None
    assert (
        range_of([[3, 7]] * 10).same(MIN_EXAMPLES) == [3, 7]
        and range_of([[3, 7]] * 10, [[3, 8]]).same(MIN_EXAMPLES) is None
    )
    nan = float("nan")
    for batches in ([[0.5] * 12, [nan]], [[nan], [0.5] * 12], [[nan] * 12]):
        assert range_of(*batches).same(MIN_EXAMPLES) is None
    assert (
        range_of([0.5, 0.5009] * 5).same(MIN_EXAMPLES) == [0.5]
        and range_of([0.5, 0.502] * 5).same(MIN_EXAMPLES) is None
    )


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("spread", [0.0, 1e-4, 1.0])
def test_prediction_range_and_is_constant_agree(columns, spread):
    generator = torch.Generator().manual_seed(columns)
    scores = torch.tensor([0.1, 0.9, 0.2])[:columns] + spread * torch.randn(40, columns, generator=generator)
    found = PredictionRange()
    for part in scores.split(7):
        found.add_scores(part)
    plain = np.ptp(scores.numpy()) < 1e-3 if columns == 1 else len(np.unique(scores.numpy().argmax(1))) == 1
    judged = SentenceEvaluation(Path(), TaskInfo("x", PREDICTION, 1, (), (), 16)).is_constant(scores.numpy())
    assert (found.same(MIN_EXAMPLES) is not None) == judged == plain == (spread < 1)


def test_merge_judges_all_processes_together():
    left, right = range_of([1] * 6), range_of([1] * 6)
    assert left.merge([right, PredictionRange()]).same(12) == [1] and left.same(12) is None
    assert left.merge([range_of([0] * 6)]).same(12) is None and PredictionRange().merge([]).same(0) is None


def labels() -> Dictionary:
    dictionary = Dictionary()
    for name in ("no", "yes"):
        dictionary.add_symbol(name)
    return dictionary


def stock_task(kind: str):
    if kind == RANKING:
        task = SentenceRankingTask.__new__(SentenceRankingTask)
        task.args = argparse.Namespace(ranking_head_name="head", num_classes=3)
    else:
        task = SentencePredictionTask.__new__(SentencePredictionTask)
        task.cfg = argparse.Namespace(
            classification_head_name="head", num_classes=2, regression_target=kind == "numbers"
        )
        task._label_dictionary = labels()
    return task


@pytest.mark.parametrize(
    ("kind", "scores", "said"),
    [(PREDICTION, [-1.0, 1.0], "'yes'"), ("numbers", [2.5], "2.500"), (RANKING, [0.0, 0.1, 0.2], "choice 2")],
)
def test_stock_tasks_warn_of_constant_predictions_in_validation_only(kind, scores, said, caplog):
    task, model, head = stock_task(kind), nn.Module(), nn.Identity()
    model.classification_heads = nn.ModuleDict({"head": head})

    def pass_through_head(batch: torch.Tensor) -> None:
        for part in batch.split(1, 1) if kind == RANKING else [batch]:  # a choice after the other
            head(part)

    def validate(*batches: torch.Tensor) -> str:
        caplog.clear()
        task.begin_valid_epoch(1, model.eval())
        for batch in batches:
            pass_through_head(batch)
        task.post_validate(model, {}, None)
        return caplog.text

    alike, other = torch.tensor([scores] * 6), torch.tensor([[-score for score in scores]])
    expected = f"the net answers {said} for all 12 examples of this validation set"
    assert expected in validate(alike, alike)
    model.train()
    pass_through_head(other)
    assert expected in validate(alike, alike)
    assert not validate(alike) and not validate(alike, other, alike)


def test_tasks_of_words_and_questions_warn_of_constant_predictions(monkeypatch, caplog):
    words = TokenClassificationTask.__new__(TokenClassificationTask)
    words.info = types.SimpleNamespace(labels=("B", "O"), metrics=TAG_METRICS)
    rows = TagRows.__new__(TagRows)
    rows.words = TagFolder.__new__(TagFolder)
    monkeypatch.setattr(token_classification, "score_split", lambda *rest: {})
    columns = np.stack([np.arange(12), np.zeros(12), np.zeros(12), np.ones(12)], 1)
    words.score(rows, columns)
    assert "the net answers 'O' for all 12 words of this validation set" in caplog.text

    questions = QuestionAnsweringTask.__new__(QuestionAnsweringTask)
    questions.info = types.SimpleNamespace(unanswerable=False)
    rows = question_answering.QuestionRows.__new__(question_answering.QuestionRows)
    rows.questions = question_answering.QuestionFolder.__new__(question_answering.QuestionFolder)
    monkeypatch.setattr(question_answering.QuestionFolder, "context_of_each", lambda self: [])
    monkeypatch.setattr(question_answering, "answers_of_questions", lambda folder, gathered, count: gathered)
    monkeypatch.setattr(question_answering, "whole_words", lambda answers, contexts: answers)
    monkeypatch.setattr(question_answering, "score_split", lambda *rest: {})
    questions.score(rows, np.tile(np.array([3.0, 9.0, -1.0, 0.0]), (12, 1, 1)))
    assert "the net answers characters 3 to 9 for all 12 questions of this validation set" in caplog.text
    caplog.clear()
    varied = np.tile(np.array([3.0, 9.0, -1.0, 0.0]), (12, 1, 1))
    varied[5, 0, 1] = 8
    questions.score(rows, varied)
    assert not caplog.text
    questions.info.unanswerable, rows.questions.split = True, VALID
    # what all are: 0, above the first and not above the second
    for threshold, warned in ((-0.5, True), (0.0, False)):
        caplog.clear()
        monkeypatch.setattr(
            question_answering, "score_split", lambda *rest, found=threshold: {"threshold": found}
        )
        questions.score(rows, varied)
        assert (
            "the net answers nothing for all 12 questions of this validation set" in caplog.text
        ) == warned


def net(kind: str, names: list[str]):
    return types.SimpleNamespace(
        kind=kind,
        labels={"head": names},
        max_length=64,
        tokenizer=None,
        task=None,
        model=None,
        batches=lambda rows: [rows],
    )


@pytest.mark.parametrize(
    ("kind", "names", "columns", "said"),
    [
        (PREDICTION, ["no", "yes"], 2, "'yes'"),
        (PREDICTION, ["score"], 1, "0.000"),
        (RANKING, [], 4, "choice 3"),
    ],
)
def test_predict_warns_of_constant_classes_numbers_and_choices(monkeypatch, kind, names, columns, said):
    monkeypatch.setattr(
        sentences, "encode_texts", lambda tokenizer, texts, *_: [[[5]] * len(parts) for parts in texts]
    )
    monkeypatch.setattr(
        sentences,
        "logits_of",
        lambda net, head, examples: torch.arange(columns).float().repeat(len(examples), 1),
    )
    predictor = SentencePredictor(net(kind, names), "head")
    text = "a\tb\tc\td\te" if kind == RANKING else "a"
    assert len(list(predictor([text] * MIN_INPUTS))) == MIN_INPUTS
    assert predictor.warning() == constant_warning(said, MIN_INPUTS, "inputs")
    predictor.prediction_range.add_scores(torch.arange(columns).flip(0).float()[None] - 1)
    assert predictor.warning() == ""


def test_predict_warns_of_constant_tags(monkeypatch):
    def scores(model, head, rows):
        number = torch.arange(MIN_WORDS)
        return torch.stack(
            [number, torch.zeros(MIN_WORDS), torch.zeros(MIN_WORDS), torch.ones(MIN_WORDS)], 1
        ).float()

    monkeypatch.setattr(
        words, "encode_words", lambda tokenizer, texts, *_: [[[5]] * len(words) for words in texts]
    )
    monkeypatch.setattr(words, "word_scores", scores)
    predictor = TagPredictor(net(TAGGING, ["B-X", "O"]), "head")
    list(predictor(["a"] * MIN_WORDS))
    assert predictor.warning() == constant_warning("'O'", MIN_WORDS, "words")
    predictor.prediction_range.add(torch.tensor([0]))
    assert predictor.warning() == ""


def test_predict_warns_of_constant_answers(monkeypatch):
    for name in ("find_windows", "in_memory", "Questions"):
        monkeypatch.setattr(questions, name, lambda *rest: None)
    monkeypatch.setattr(
        questions, "question_pieces", lambda tokenizer, questions, *_: [[5] for _ in questions]
    )
    monkeypatch.setattr(questions, "context_pieces", lambda *_, **__: ([[5]], [np.zeros((1, 2))]))
    monkeypatch.setattr(
        questions, "answers_to", lambda *rest: np.tile(np.array([0.0, 4.0, -1.0, 0.0]), (MIN_INPUTS, 1, 1))
    )
    predictor = AnswerPredictor(net(ANSWERING, []), "head")
    answers = list(predictor(["who?\tthey did"] * MIN_INPUTS))
    assert answers[0]["answer"] == "they" and predictor.warning() == constant_warning(
        "characters 0 to 4", MIN_INPUTS, "inputs"
    )


def test_predict_warns_of_constant_labels(monkeypatch):
    monkeypatch.setattr(
        sentences, "encode_texts", lambda tokenizer, texts, *_: [[[5]] * len(parts) for parts in texts]
    )
    monkeypatch.setattr(
        sentences,
        "logits_of",
        lambda net, head, examples: torch.tensor([[1.0, -1.0]]).repeat(len(examples), 1),
    )
    predictor = LabelPredictor(net(MULTI_LABEL, ["joy", "fear"]), "head")
    answers = list(predictor(["a"] * MIN_INPUTS))
    assert answers[0]["labels"] == ["joy"] and predictor.warning() == constant_warning(
        "'joy'", MIN_INPUTS, "inputs"
    )
    predictor.prediction_range.add(torch.tensor([[1, 1]]))
    assert predictor.warning() == ""
