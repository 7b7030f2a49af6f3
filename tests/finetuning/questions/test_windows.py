"""Windows of a context against plain constructions, and every answer of real files found again."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.questions import ANSWERING
from fairseq_electra.finetuning.questions.folder import (
    context_pieces,
    find_windows,
    pieces_of_span,
    question_pieces,
)
from fairseq_electra.finetuning.questions.read import Question, read_squad
from fairseq_electra.finetuning.questions.rows import most_context
from fairseq_electra.finetuning.windows import best_window, windows_of
from fairseq_electra.pretraining.wordpiece import load_wordpiece, save_vocabulary, train_wordpiece
from tests.helpers.plain_windows import best_by_hand, pieces_touched, windows_by_hand

REAL = Path(__file__).parents[4] / "shared" / "data"
INFO = TaskInfo("questions", ANSWERING, 2, (), ("f1", "exact_match"), 64, stride=16, max_question=16)


def random_sizes(number):
    rng = random.Random(1)
    for _ in range(number):
        room = rng.randrange(1, 60)
        yield rng.randrange(1, 250), room, rng.choice([rng.randrange(1, room + 1), rng.randrange(1, 80)])


def test_windows_of_are_those_counted_by_hand():
    for sizes in [*random_sizes(1500), (10, 10, 3), (11, 10, 3), (1, 1, 1), (5, 1, 9)]:
        assert windows_of(*sizes) == windows_by_hand(*sizes)


def test_best_window_is_that_of_a_plain_loop():
    for sizes in random_sizes(400):
        spans = windows_by_hand(*sizes)
        best = best_by_hand(sizes[0], spans)
        assert best_window(sizes[0], spans).tolist() == best
        found = most_context(np.array([(0, 0, first, end, -1, -1) for first, end in spans], dtype=np.int32))
        for i, (first, _) in enumerate(spans):
            own = [place - first for place in range(sizes[0]) if best[place] == i]
            assert list(range(*found[i])) == own


def test_most_context_may_be_empty_and_keeps_questions_apart():
    spans = {3: [(0, 12), (4, 7), (5, 20)], 4: [(0, 9)], 9: [(0, 30), (10, 12), (11, 13), (20, 50)]}
    windows = np.array(
        [(question, 0, first, end, -1, -1) for question, each in spans.items() for first, end in each],
        dtype=np.int32,
    )
    found = most_context(windows).tolist()
    assert found[1] == found[5] == found[6] == [0, 0] and found[3] == [0, 9]
    for question, rows in ((3, found[:3]), (9, found[4:])):
        best = best_by_hand(spans[question][-1][1], spans[question])
        firsts = [first for first, _ in spans[question]]
        for i, (first, row) in enumerate(zip(firsts, rows, strict=True)):
            assert [first + place for place in range(*row)] == [
                place for place, number in enumerate(best) if number == i
            ]


def test_find_windows_marks_the_answer_in_every_window_that_holds_it():
    rng = random.Random(2)
    several = split = 0
    for _ in range(600):
        length, answer = rng.randrange(1, 120), rng.randrange(1, 12)
        first = rng.randrange(length)
        last = min(length, first + answer) - 1
        offsets = np.array([(3 * i, 3 * i + 2) for i in range(length)], dtype=np.int32)
        question = [7] * rng.randrange(1, 9)
        info = replace(INFO, max_positions=rng.randrange(20, 60), stride=rng.randrange(1, 30))
        asked_here = Question("q", "", 0, ((3 * first, "x" * (3 * (last - first) + 2)),))
        found = find_windows([asked_here], [question], [offsets], info, "")
        spans = windows_by_hand(length, info.max_positions - 3 - len(question), info.stride)
        expected = []
        for begin, end in spans:
            whole = all(begin <= piece < end for piece in range(first, last + 1))
            expected.append([0, 0, begin, end, first if whole else -1, last if whole else -1])
        assert found.tolist() == expected and found.dtype == np.int32
        held = [row[4] >= 0 for row in expected]
        several += sum(held) > 1
        split += not all(held)
    assert several > 50 and split > 50


HARD = {
    "precomposed": "Café Noël, naïve façade: Łódź über Ångström",
    "combining": "Cafe\u0301 Noe\u0308l, nai\u0308ve; a\u0301\u0302b x\u0301",
    "CJK": "北京是中国的首都 and 東京 is Tokyo、日本",
    "Hangul": "서울은 대한민국의 수도이다",
    "ligatures": "ﬁnd the oﬃce, ﬂow and Æsop; straße; ŉ",
    "capitals that grow": "İstanbul and DİYARBAKIR, ǅ",
    "double spaces": "one  two   three\u00a0four\u2003five",
    "tabs": "one\ttwo\t\tthree\nfour\r\nfive",
    "emoji": "I 💛 you 👩‍👩‍👧, 🇩🇪 and so on 😀😀",
    "dropped": "zero\u200bwidth so\u00adft null\u0000 bell\u0007 end\ufffd.",
    "punctuation": "(1066–1087), “quoted” don't U.S.A. $5.50 x^2",
    "words unknown": "क्षत्रिय Ωmega йод ☃",
}


@pytest.fixture(scope="module")
def vocabularies(tmp_path_factory, corpus_lines):
    """Vocabularies of each kind with the hard texts' characters as pieces, and one trained without them."""
    lines = [*corpus_lines[:300], *HARD.values(), *HARD.values()]
    kinds = {"uncased": {}, "cased": {"cased": True}, "accents": {"keep_accents": True}}
    made = {
        name: train_wordpiece(lines, 1200, character_coverage=1.0, **kind) for name, kind in kinds.items()
    }
    made["unknown"] = train_wordpiece(corpus_lines[:300], 600, cased=True)
    folder = tmp_path_factory.mktemp("vocabularies")
    for name, tokenizer in made.items():
        save_vocabulary(tokenizer, folder / name)
    return folder


@pytest.mark.parametrize("name", ["uncased", "cased", "accents", "unknown"])
@pytest.mark.parametrize("text", HARD)
def test_pieces_of_span_finds_the_fewest_pieces_of_every_span(vocabularies, name, text):
    context = HARD[text]
    tokenizer = load_wordpiece(vocabularies / name)
    _, (offsets,) = context_pieces(tokenizer, [context])
    assert offsets.tolist() == [
        list(pair) for pair in tokenizer.encode(context, add_special_tokens=False).offsets
    ]
    assert (np.diff(offsets, axis=0) >= 0).all() and (offsets[:, 1] > offsets[:, 0]).all()
    # else one character has become several, which lie in two pieces
    whole = (offsets[1:, 0] >= offsets[:-1, 1]).all()
    assert whole or (text, name) in (("capitals that grow", "accents"), ("Hangul", "uncased"))
    exact = 0
    for start in range(len(context)):
        for end in range(start + 1, len(context) + 1):
            touched = pieces_touched(offsets, start, end)
            if not touched:
                with pytest.raises(InputError, match="leaves nothing of the answer"):
                    pieces_of_span(offsets, start, context[start:end], "here")
                continue
            first, last = pieces_of_span(offsets, start, context[start:end], "here")
            assert list(range(first, last + 1)) == touched
            if whole and start in offsets[:, 0] and end in offsets[:, 1]:
                assert context[offsets[first, 0] : offsets[last, 1]] == context[start:end]
                exact += 1
    assert not whole or exact == len(offsets) * (len(offsets) + 1) // 2


SQUAD = ("squad/train-v1.1.json", "squad/dev-v1.1.json")


@pytest.mark.parametrize(
    ("names", "cased"),
    [
        (SQUAD, False),
        (SQUAD, True),
        (("xquad/xquad.de.json",), True),
        (("xquad/xquad.es.json",), False),
        (("xquad/xquad.zh.json",), False),
    ],
    ids=["SQuAD-uncased", "SQuAD-cased", "German-cased", "Spanish-uncased", "Chinese-uncased"],
)
def test_find_windows_finds_every_answer_of_real_files(names, cased, corpus_lines):
    """An answer that ends within a piece gets the fewest pieces that hold it."""
    if not all((REAL / name).is_file() for name in names):
        pytest.skip(f"no {REAL / names[0]}")
    files = [read_squad(REAL / name) for name in names]
    contexts = [context for file in files for context in file.contexts]
    tokenizer = train_wordpiece([*corpus_lines[:300], *contexts], 8000, cased=cased)
    info = replace(INFO, max_positions=192, stride=64, max_question=64)
    answers = exact = lost = windows_held = 0
    for file in files:
        pieces = question_pieces(tokenizer, (question.text for question in file.questions), info.max_question)
        _, offsets = context_pieces(tokenizer, file.contexts)
        windows = find_windows(file.questions, pieces, offsets, info, "squad")
        held = windows[windows[:, 4] >= 0]
        assert set(held[:, 0].tolist()) == set(range(len(file.questions)))
        windows_held += len(held)
        for number, context, begin, end, first, last in held.tolist():
            start, text = file.questions[number].answers[0]
            a, b = int(offsets[context][first, 0]), int(offsets[context][last, 1])
            assert begin <= first <= last < end and a <= start and start + len(text) <= b
        for question in file.questions:
            context, own = file.contexts[question.context], offsets[question.context].tolist()
            begins, ends = {a for a, _ in own}, {b for _, b in own}
            for start, text in question.answers:
                first, last = pieces_of_span(offsets[question.context], start, text, question.id)
                found = context[own[first][0] : own[last][1]]
                answers += 1
                lost += text not in found
                if start in begins and start + len(text) in ends:
                    assert found == text
                    exact += 1
                else:
                    assert list(range(first, last + 1)) == pieces_touched(own, start, start + len(text))
    print(f"{len(contexts)} contexts, {answers} answers, {exact} exact, {windows_held} windows hold one")
    assert lost == 0 and exact / answers >= 0.99
