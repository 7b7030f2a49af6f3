"""Windows combined by hand, answers widened to words, and the threshold of valid for all other splits."""

import itertools
import math
import random
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from omegaconf import OmegaConf

from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.nets import Net
from fairseq_electra.finetuning.questions import ANSWERING
from fairseq_electra.finetuning.questions.answering import AnswerEvaluation
from fairseq_electra.finetuning.questions.answers import (
    BEGIN,
    END,
    SCORE,
    UNANSWERABLE,
    answers_of_questions,
    texts_of,
    whole_words,
)
from fairseq_electra.finetuning.questions.folder import (
    QuestionFolder,
    Questions,
    context_pieces,
    in_memory,
    pieces_of_span,
    write_question_folder,
)
from fairseq_electra.finetuning.questions.read import Question, Squad
from fairseq_electra.finetuning.questions.rows import QuestionRows
from fairseq_electra.finetuning.recipes import Recipe
from fairseq_electra.finetuning.results import LOGITS_FILE, summarize
from fairseq_electra.finetuning.study import Run
from fairseq_electra.finetuning.trainable import Task
from fairseq_electra.pretraining.wordpiece import train_wordpiece
from fairseq_electra.tasks.question_answering import QuestionAnsweringConfig, QuestionAnsweringTask

# options that come from other parts of a run's configuration
OF_THE_RUN = {"max_valid_steps": None, "train_subset": "train", "seed": 1}
INFO = TaskInfo("questions", ANSWERING, 2, (), ("f1", "exact_match"), 64, stride=16, max_question=16)


@pytest.fixture(scope="module")
def two_splits(tmp_path_factory, vocabulary):
    """A folder whose valid and test splits have unanswerable questions and need different thresholds."""
    context = "one two three four five six seven eight"
    words = {split: ["one", None, "three", "four", None, "six"] for split in ("train", "valid", "test")}
    splits = {}
    for split, gold in words.items():
        questions = [
            Question(f"{split}{i}", "which?", 0, ((context.index(word), word),) if word else ())
            for i, word in enumerate(gold)
        ]
        splits[split] = Squad([context], questions)
    names = ("f1", "exact_match", "answerable_f1", "unanswerable_accuracy", "best_answer_f1", "threshold")
    info = TaskInfo("both", ANSWERING, 2, (), names, 64, stride=16, max_question=8, unanswerable=True)
    folder = tmp_path_factory.mktemp("answers") / "both"
    info = write_question_folder(folder, vocabulary, splits, info)

    def scores(unanswerable):
        said = [
            (context.index(word or "two"), context.index(word or "two") + len(word or "two"), 0.9)
            for word in words["test"]
        ]
        return answer_lists(
            *((unsure, answer) for unsure, answer in zip(unanswerable, said, strict=True)), count=1
        )

    # valid separates at 0, test between 2 and 3
    found = {
        "valid": scores([-2.0, 1.0, -3.0, -1.0, 4.0, 0.0]),
        "test": scores([2.0, 3.0, 1.0, 2.0, 5.0, -1.0]),
    }
    return folder, info, found


def test_metrics_of_test_use_the_threshold_of_valid(two_splits):
    folder, info, scores = two_splits
    evaluation = AnswerEvaluation(folder, info)
    valid = evaluation.metrics("valid", scores["valid"])
    assert set(valid) == set(info.metrics) and valid["threshold"] == 0.5 and valid["f1"] == 100.0
    test = evaluation.metrics("test", scores["test"], scores["valid"])
    # the last answer, and both that have none
    assert test["threshold"] == 0.5 and test["f1"] == pytest.approx(100 * 3 / 6)
    assert (test["oracle_threshold"], test["oracle_f1"]) == (2.5, 100.0)
    with pytest.raises(ValueError, match="test is scored with the threshold of valid"):
        evaluation.metrics("test", scores["test"])


def test_metrics_score_a_test_set_without_answers_but_not_an_unlabelled_one(tmp_path, vocabulary, two_splits):
    _, info, scores = two_splits
    context = "one two three four five six seven eight"
    silent = Squad([context], [Question(f"q{i}", "which?", 0, ()) for i in range(6)])
    valid = Squad([context], [Question(f"v{i}", "which?", 0, ((0, "one"),)) for i in range(6)])
    info = write_question_folder(tmp_path / "bin", vocabulary, {"valid": valid, "test": silent}, info)
    found = AnswerEvaluation(tmp_path / "bin", info).metrics("test", scores["test"], scores["valid"])
    # all of test lie above
    assert found["threshold"] == -1.5 and found["f1"] == found["unanswerable_accuracy"] == 100.0
    unlabelled = replace(info, unlabelled=("test",))
    assert (
        AnswerEvaluation(tmp_path / "bin", unlabelled).metrics("test", scores["test"], scores["valid"])
        is None
    )


def test_metrics_of_an_ensemble_use_the_threshold_of_its_own_valid(two_splits, tmp_path):
    folder, info, scores = two_splits
    evaluation, results = AnswerEvaluation(folder, info), []
    for seed, shift in ((1, 0.0), (2, 10.0)):  # thresholds 0.5 and 10.5, of both together 5.5
        moved = {split: each + shift * (np.arange(4) == UNANSWERABLE) for split, each in scores.items()}
        place = tmp_path / "net" / info.name / f"lr0.1-seed{seed}"
        place.mkdir(parents=True)
        np.savez(place / LOGITS_FILE, **moved)
        metrics = {split: evaluation.metrics(split, each, moved["valid"]) for split, each in moved.items()}
        results.append(
            {"net": "net", "task": info.name, "lr": 0.1, "seed": seed, "trouble": "", "metrics": metrics}
        )
    found = summarize(results, info, folder, tmp_path)["metrics"]
    assert (
        found["test"]["threshold"]["values"] == [0.5, 10.5] and found["test"]["threshold"]["ensemble"] == 5.5
    )
    assert (
        found["test"]["f1"]["ensemble"] == pytest.approx(50.0)
        and found["test"]["oracle_f1"]["ensemble"] == 100.0
    )
    assert found["test"]["oracle_threshold"]["values"] == [2.5, 12.5] and "oracle_f1" not in found["valid"]


def test_record_says_that_the_threshold_is_that_of_valid(two_splits):
    folder, info, _ = two_splits
    run = Run(Net("net", "", "tiny"), Task(folder, info, ""), Recipe(1e-3), 1)
    assert run.record["threshold"] == "of valid"
    for other in (replace(info, unanswerable=False), replace(info, examples={"train": 6, "valid": 6})):
        assert "threshold" not in replace(run, task=Task(folder, other, "")).record


def test_validation_while_training_scores_test_with_the_threshold_of_valid(two_splits, caplog):
    folder, info, scores = two_splits
    task = QuestionAnsweringTask.setup_task(
        OmegaConf.merge(OmegaConf.structured(QuestionAnsweringConfig), OF_THE_RUN | {"data": str(folder)})
    )
    size = len(task.dictionary)
    rows = {split: QuestionRows(QuestionFolder(folder, split, size)) for split in scores}
    gathered = {split: windows_with(rows[split].questions, each) for split, each in scores.items()}
    assert task.score(rows["test"], gathered["test"])["threshold"] == math.inf
    assert "give --valid-subset valid,test" in caplog.text
    caplog.clear()
    task.score(rows["valid"], gathered["valid"])
    expected = AnswerEvaluation(folder, info).metrics("test", scores["test"], scores["valid"])
    assert task.score(rows["test"], gathered["test"]) == expected and not caplog.text
    task.begin_valid_epoch(2, None)
    assert task.score(rows["test"], gathered["test"])["threshold"] == math.inf


def windows_with(questions, answers):
    """What validation gathers: a window for each question, whose answer is given by pieces. Shape: (N, 5)."""
    offsets = questions.offsets(0)
    found = []
    for number, (begin, end, score, unsure) in enumerate(answers[:, 0]):
        first, last = np.searchsorted(offsets[:, 0], begin), np.searchsorted(offsets[:, 1], end)
        found.append((number, unsure, first, last, score))
    return np.array(found)


def make_questions(rng, number=7, contexts=4):
    """Questions to contexts of several windows, and where their pieces begin and end."""
    lengths = [rng.randrange(1, 60) for _ in range(contexts)]
    offsets = []
    for length in lengths:
        begins = np.cumsum([rng.randrange(1, 7) for _ in range(length)])
        offsets.append(np.stack([begins, begins + 1], 1).astype(np.int32))
    windows = []
    for question in range(number):
        context = rng.randrange(contexts)
        starts = range(0, max(1, lengths[context] - 8), 8)
        windows += [(question, context, start, min(lengths[context], start + 16), -1, -1) for start in starts]
    pieces = in_memory([[7] * length for length in lengths])
    return (
        Questions(
            in_memory([[5]] * number), pieces, np.concatenate(offsets), np.array(windows, dtype=np.int32)
        ),
        offsets,
    )


def random_windows(rng, questions, count, missing):
    """Return a row per window: its number, a no-answer score, and answers, best first, some missing."""
    rows = []
    for number, (_, _, first, end, _, _) in enumerate(questions.windows.tolist()):
        there = 0 if rng.random() < missing else rng.randrange(1, count + 1)
        scores = sorted(
            (rng.choice([rng.uniform(-9, 0), -float(rng.randrange(5))]) for _ in range(there)), reverse=True
        )
        answers = []
        for score in scores:
            begin = rng.randrange(first, end)
            answers.append((begin, rng.randrange(begin, end), score))
        answers += [(first + 900, first - 900, -math.inf)] * (count - there)
        rows.append([number, rng.uniform(-3, 3), *itertools.chain.from_iterable(answers)])
    return np.array(rows)


@pytest.mark.parametrize("kept", [1, 3, 20])
@pytest.mark.parametrize("missing", [0.0, 0.6, 1.0])
def test_answers_of_questions_merges_windows_in_any_order(kept, missing):
    rng = random.Random(kept)
    for _ in range(60):
        questions, offsets = make_questions(rng)
        rows = random_windows(rng, questions, 4, missing)
        expected = defaultdict(list)
        unanswerable = defaultdict(list)
        for number, unsure, *answers in rows.tolist():
            question, context = questions.windows[int(number), :2].tolist()
            unanswerable[question].append(unsure)
            for first, last, score in threes(answers):
                if score > -math.inf:
                    expected[question].append(
                        (score, offsets[context][int(first)][0], offsets[context][int(last)][1])
                    )
        rng.shuffle(order := list(range(len(rows))))
        found = answers_of_questions(questions, rows[order], kept)
        assert found.shape == (len(questions), kept, 4)
        for question in range(len(questions)):
            best = sorted(expected[question], reverse=True)[:kept]
            own = found[question][np.isfinite(found[question][:, SCORE])]
            assert own[:, SCORE].tolist() == [score for score, _, _ in best]
            assert {tuple(row) for row in own[:, [SCORE, BEGIN, END]].tolist()} <= set(expected[question])
            rest = found[question][len(best) :]
            assert (rest[:, SCORE] == -math.inf).all() and not rest[:, [BEGIN, END]].any()
            assert (found[question][:, UNANSWERABLE] == min(unanswerable[question])).all()


def threes(values):
    return zip(*[iter(values)] * 3, strict=True)


def test_answers_of_questions_gives_none_to_a_question_without_windows():
    questions, _ = make_questions(random.Random(5))
    rows = random_windows(random.Random(5), questions, 2, 0.0)
    found = answers_of_questions(questions, rows[questions.windows[:, 0] != 3], 2)
    assert (found[3, :, SCORE] == -math.inf).all() and (found[3, :, UNANSWERABLE] == math.inf).all()
    assert np.isfinite(np.delete(found, 3, 0)[:, 0]).all()


def test_texts_of_are_cut_from_the_contexts():
    answers = np.array(
        [[[2, 8, -0.1, 0.0], [0, 1, -3, 0.0]], [[0, 0, -math.inf, 1.0], [0, 0, -math.inf, 1.0]]]
    )
    assert texts_of(answers, ["a B\u0301 C d", "none"]) == ["B\u0301 C d", ""]


def answer_lists(*questions, count=3):
    found = np.zeros((len(questions), count, 4))
    found[:, :, SCORE] = -math.inf
    for row, (unsure, *answers) in zip(found, questions, strict=True):
        row[:, UNANSWERABLE] = unsure
        for place, (begin, end, probability) in zip(row, answers, strict=False):
            place[:3] = begin, end, math.log(probability)
    return found


def test_merge_adds_up_the_probabilities_of_each_answer(tmp_path):
    one = answer_lists((0.2, (5, 9, 0.5), (0, 4, 0.3), (7, 9, 0.1)), (1.0,), (-1, (1, 2, 0.9)))
    two = answer_lists((0.4, (0, 4, 0.6), (7, 9, 0.2)), (2.5,), (3, (3, 4, 0.8), (1, 2, 0.1)))
    merged = AnswerEvaluation(tmp_path, INFO).merge([one, two])
    expected = answer_lists(
        (0.3, (0, 4, 0.45), (5, 9, 0.25), (7, 9, 0.15)), (1.75,), (1, (1, 2, 0.5), (3, 4, 0.4))
    )
    assert merged.shape == expected.shape
    assert np.exp(merged[:, :, SCORE]) == pytest.approx(np.exp(expected[:, :, SCORE]))
    assert merged[:, :, [BEGIN, END]].tolist() == expected[:, :, [BEGIN, END]].tolist()
    assert merged[:, :, UNANSWERABLE] == pytest.approx(expected[:, :, UNANSWERABLE])


def test_merge_is_a_plain_sum_and_one_model_stays_as_it_is(tmp_path):
    rng = np.random.default_rng(4)
    evaluation = AnswerEvaluation(tmp_path, replace(INFO, unanswerable=True))
    for _ in range(50):
        nets = []
        for _ in range(3):
            lists = []
            for _ in range(4):
                places = rng.permutation(6)[: rng.integers(0, 5)]
                shares = np.sort(rng.uniform(0.01, 0.2, len(places)))[::-1]
                lists.append(
                    (
                        rng.normal(),
                        *(
                            (int(place), int(place) + 3, share)
                            for place, share in zip(places, shares, strict=True)
                        ),
                    )
                )
            nets.append(answer_lists(*lists, count=5))
        assert evaluation.merge(nets[:1]) == pytest.approx(nets[0])
        merged = evaluation.merge(nets)
        for question in range(4):
            sums = defaultdict(float)
            for net in nets:
                for begin, end, score, _ in net[question]:
                    sums[begin, end] += math.exp(score) / 3
            best = sorted((share for share in sums.values() if share), reverse=True)[:5]
            finite = merged[question][np.isfinite(merged[question][:, SCORE])]
            assert np.exp(finite[:, SCORE]) == pytest.approx(np.array(best))
            assert [sums[begin, end] for begin, end in finite[:, [BEGIN, END]]] == pytest.approx(best)
            assert merged[question, :, UNANSWERABLE] == pytest.approx(
                np.mean([net[question, 0, UNANSWERABLE] for net in nets])
            )


def test_is_constant_if_all_answers_have_one_span(tmp_path):
    evaluation = AnswerEvaluation(tmp_path, INFO)
    same = np.tile(answer_lists((0, (3, 5, 0.5), (1, 2, 0.2)), (1, (3, 5, 0.9), (7, 8, 0.1))), (5, 1, 1))
    assert evaluation.is_constant(same)
    same[1, 0, END] = 6
    assert not evaluation.is_constant(same)


def test_is_constant_if_no_question_of_valid_is_answered(two_splits):
    folder, info, scores = two_splits
    evaluation = AnswerEvaluation(folder, info)
    wrong = scores["valid"].copy()
    wrong[:, 0, [BEGIN, END]] = [(0, 1), (8, 13)] * 3  # "o" and "three f", in the place of all
    found = evaluation.metrics("valid", wrong)
    assert found["unanswerable_accuracy"] == 100 and found["answerable_f1"] == 0
    assert not evaluation.predictions(wrong).any() and evaluation.predictions(scores["valid"]).all(1).any()
    assert (
        AnswerEvaluation(folder, replace(info, unanswerable=False)).predictions(wrong).tolist()
        == [[0, 1], [8, 13]] * 3
    )


def test_whole_words_widens_answers_and_keeps_each_once():
    context = "Ismail El-Gizouli 1990s 北京大学 naïve."
    spans = {
        (2, 9): (0, 9),
        (0, 9): (0, 9),
        (10, 12): (10, 17),
        (18, 20): (18, 23),
        (25, 26): (25, 26),
        (30, 31): (29, 34),
        (34, 35): (34, 35),
    }
    answers = np.array([[(*span, -float(i), 0.5) for i, span in enumerate(spans)] + [(0, 0, -np.inf, 0.5)]])
    found = whole_words(answers, [context])
    expected = list(dict.fromkeys(spans.values()))
    assert [tuple(row[:2]) for row in found[0, : len(expected)]] == expected
    assert (
        found[0, : len(expected), SCORE].tolist() == [0, -2, -3, -4, -5, -6]
        and np.isneginf(found[0, len(expected) :, SCORE]).all()
    )
    assert (found[..., UNANSWERABLE] == 0.5).all()


def spans_widened(context, *spans):
    answers = np.array([[(*span, -float(i), 0.5) for i, span in enumerate(spans)]])
    return [context[int(a) : int(b)] for a, b in whole_words(answers, [context])[0, :, :2] if b > a]


def test_whole_words_leaves_scripts_without_blanks_as_they_are():
    japanese, korean, thai = "きのうはコーヒーがとてもすきでした", "서울에서 만났다", "ฉันชอบกาแฟมาก"
    for context, answer in (
        (japanese, "コーヒー"),
        (korean, "서울"),
        (thai, "กาแฟ"),
        ("他在iPhone上看2008年的书", "iPhone"),
    ):
        place = context.index(answer)
        assert spans_widened(context, (place, place + len(answer))) == [answer]
    assert spans_widened("他在iPhone上看2008年的书", (3, 5), (11, 12)) == ["iPhone", "2008"]


@pytest.mark.parametrize(
    "context", ["the cafe\u0301 is", "का हिन्दी में", "xx か\u3099 き", "a \u1112\u1161\u11ab b"]
)
def test_whole_words_ends_no_answer_between_a_letter_and_its_mark(context):
    """Check that any part of the middle word widens to the whole word: no letter is cut from its marks."""
    first, end = context.index(" ") + 1, context.rindex(" ")
    for begin in range(first, end):
        for stop in range(begin + 1, end + 1):
            assert spans_widened(context, (begin, stop)) == [context[first:end]]


ANSWERS = {
    "きのうはコーヒーがとてもすきでした": "コーヒー",
    "ぼくがみたのはガンダムだ": "ガンダム",
    "他昨天在北京买了iPhone": "北京",
    "서울에서 친구를 만났다": "서울",
    "ฉันอยู่ที่นี่": "ที่",
    "वह हिन्दी में": "हिन्दी",
    "the cafe\u0301s of Zürich": "cafe\u0301s",
    "naïve Ελλάδα now": "Ελλάδα",
}


@pytest.mark.parametrize("keep_accents", [False, True])
def test_whole_words_gives_back_the_text_of_an_answer_in_every_script(keep_accents):
    """Pieces are single characters, of which the default vocabulary strips accents and vowel signs."""
    contexts = list(ANSWERS)
    tokenizer = train_wordpiece(
        contexts, 1000, keep_accents=keep_accents, min_frequency=1000, character_coverage=1.0
    )
    for context, where in zip(contexts, context_pieces(tokenizer, contexts)[1], strict=True):
        answer = ANSWERS[context]
        first, last = pieces_of_span(where, context.index(answer), answer, "")
        assert spans_widened(context, (where[first, 0], where[last, 1])) == [answer]
