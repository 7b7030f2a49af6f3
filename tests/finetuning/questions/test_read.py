"""Rows made from SQuAD's files against plain constructions, and every answer of real files found again."""

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.info import TaskInfo, read_task_info
from fairseq_electra.finetuning.questions import ANSWERING
from fairseq_electra.finetuning.questions.folder import (
    QuestionFolder,
    Questions,
    context_pieces,
    find_windows,
    in_memory,
    pieces_of_span,
    question_pieces,
    write_question_folder,
)
from fairseq_electra.finetuning.questions.read import Question, Squad, read_squad
from fairseq_electra.finetuning.questions.rows import QuestionRows, most_context
from fairseq_electra.finetuning.windows import best_window, windows_of
from fairseq_electra.pretraining.binarized import load_dictionary
from fairseq_electra.pretraining.wordpiece import load_wordpiece, save_vocabulary, train_wordpiece
from tests.helpers.commands import electra_here
from tests.helpers.squad_files import CONTEXT, asked, squad, written

REAL = Path(__file__).parents[4] / "shared" / "data"
BOS, PAD, EOS, UNK = range(4)
INFO = TaskInfo("questions", ANSWERING, 2, (), ("f1", "exact_match"), 64, stride=16, max_question=16)


def test_read_squad_reads_version_1_1_in_order(tmp_path):
    data = squad(asked(1), asked(2, " Whose name? ", "Normans", 4))
    data["data"].append(
        {
            "paragraphs": [
                {"context": "nobody asks", "qas": []},
                {"context": "b a b", "qas": [asked(3, "b?", "b", 4)]},
            ]
        }
    )
    found = read_squad(written(tmp_path / "a.json", data))
    assert found.contexts == [CONTEXT, "b a b"]
    assert found.questions == [
        Question("q1", "Where did they come to?", 0, ((20, "France"),)),
        Question("q2", "Whose name?", 0, ((4, "Normans"),)),
        Question("q3", "b?", 1, ((4, "b"),)),
    ]


def test_read_squad_reads_version_2_0_with_none_or_several_answers(tmp_path):
    none = {
        "answers": [],
        "is_impossible": True,
        "plausible_answers": [{"text": "Norse", "answer_start": 67}],
    }
    several = [
        {"answer_start": start, "text": text}
        for start, text in ((20, "France"), (20, "France"), (17, "to France"))
    ]
    found = read_squad(
        written(tmp_path / "a.json", squad(asked(1, **none), asked(2, answers=several, is_impossible=False)))
    )
    assert [question.answers for question in found.questions] == [(), ((20, "France"), (17, "to France"))]


def test_read_squad_takes_numbers_for_ids_and_null_for_no_answers(tmp_path):
    records = [asked() | {"id": 7}, asked(2, answers=None, is_impossible=True), asked(3, is_impossible=None)]
    found = read_squad(written(tmp_path / "a.json", squad(*records)))
    assert [(question.id, question.answers) for question in found.questions] == [
        ("7", ((20, "France"),)),
        ("q2", ()),
        ("q3", ((20, "France"),)),
    ]


def test_read_squad_refuses_missing_answers_except_in_test(tmp_path):
    path = written(tmp_path / "a.json", squad({"id": "q1", "question": "What?"}))
    assert read_squad(path, labelled=False).questions == [Question("q1", "What?", 0, ())]
    with pytest.raises(
        InputError, match=r'a\.json, question q1: no answer; give one, or "is_impossible": true'
    ):
        read_squad(path)


def test_read_squad_refuses_a_test_file_with_some_answers_missing(tmp_path, vocabulary):
    some = written(
        tmp_path / "some.json", squad(asked(1), {"id": "q2", "question": "What?", "answers": []}, asked(3))
    )
    with pytest.raises(InputError, match=r"question q2: no answer, where 2 others have one; give one, or"):
        read_squad(some, labelled=False)
    assert len(read_squad(some, labelled=None).questions) == 3
    none = written(tmp_path / "none.json", squad({"id": "q1", "question": "What?"}))
    assert not read_squad(none, labelled=False).labelled
    given = [
        *["--vocab", vocabulary, "--destdir", tmp_path / "bin", "--squad", "--train"],
        written(tmp_path / "a.json", squad(asked())),
    ]
    assert electra_here("prepare", *given, "--test", none)[0] == 0
    assert read_task_info(tmp_path / "bin").unlabelled == ("test",)


@pytest.mark.parametrize(
    "more",
    [
        {"answers": "France"},
        {"answers": [{"text": "France", "answer_start": 0}]},
        {"answers": [{"text": 5}]},
        {"is_impossible": "true"},
        {"answers": [{"text": "France", "answer_start": 20}], "is_impossible": True},
    ],
)
def test_read_squad_ignores_answers_that_are_not_used(tmp_path, more):
    path = written(tmp_path / "a.json", squad(asked() | more))
    found = read_squad(path, labelled=None)
    assert found.questions == [Question("q1", "Where did they come to?", 0, ())] and not found.labelled
    with pytest.raises(InputError):
        read_squad(path)


def test_questions_without_an_answer_in_test_alone_are_warned_of(tmp_path, vocabulary):
    none = {"answers": [], "is_impossible": True}
    plain, mixed = (
        written(tmp_path / f"{i}.json", squad(asked(1), asked(2, **more)))
        for i, more in enumerate(({}, none))
    )
    given = ["prepare", "--vocab", vocabulary, "--squad", "--train", plain, "--test", mixed]
    status, _, said = electra_here(*given, "--destdir", tmp_path / "a", "--valid", plain)
    assert (
        status == 0
        and f"{tmp_path / 'a'}: test has 1 questions without an answer, train and valid none" in said
    )
    assert not read_task_info(tmp_path / "a").unanswerable
    status, _, said = electra_here(*given, "--destdir", tmp_path / "b", "--valid", mixed)
    assert status == 0 and "without an answer" not in said and read_task_info(tmp_path / "b").unanswerable


def test_read_squad_ignores_a_byte_order_mark(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(squad(asked())).encode())
    assert len(read_squad(tmp_path / "a.json").questions) == 1


BAD = {
    "answer elsewhere": (
        squad(asked(start=21)),
        "question q1: the answer 'France' is not in the context at character 21, there is 'rance '",
    ),
    "second answer elsewhere": (
        squad(asked(), asked(2, answer="france")),
        "question q2: the answer 'france' is not in the context",
    ),
    "negative start": (
        squad(asked(start=-6, answer="Norse")),
        "question q1: the answer 'Norse' is not in the context at character -6",
    ),
    "start behind the end": (
        squad(asked(start=900)),
        "question q1: the answer 'France' is not in the context at character 900",
    ),
    "infinite start": (
        squad(asked(start=math.inf)),
        "question q1: answer_start is Infinity, a number with a point; write a whole number",
    ),
    "start in words": (
        squad(asked(start="here")),
        'question q1: answer_start is "here", a text; write a whole number, without quotes',
    ),
    "start in quotes": (
        squad(asked(start="20")),
        'question q1: answer_start is "20", a text; write a whole number, without quotes',
    ),
    "start with a point": (
        squad(asked(start=20.5)),
        "question q1: answer_start is 20.5, a number with a point; write a whole number",
    ),
    "answer that is a number": (
        squad(asked(answer=10, start=34)),
        "question q1: the text of an answer is 10, a whole number; write a text",
    ),
    "answer that is a list": (
        squad(asked(answer=["France"])),
        'question q1: the text of an answer is ["France"], a list; write a text',
    ),
    "answers as an object": (
        squad(asked(answers={"text": ["a"]})),
        'question q1: "answers" is {"text": ["a"]}, an object; write a list',
    ),
    "impossible in quotes": (
        squad(asked(is_impossible="false")),
        'question q1: "is_impossible" is "false", a text; write true or false, without quotes',
    ),
    "impossible as a number": (
        squad(asked(is_impossible=0)),
        'question q1: "is_impossible" is 0, a whole number; write true or false',
    ),
    "impossible with an answer": (
        squad(asked(is_impossible=True)),
        'question q1: "is_impossible" is true, and there are answers; take',
    ),
    "an id that is a list": (
        squad(asked() | {"id": ["q"]}),
        'question without an id: the id is ["q"], a list; write a text or a whole',
    ),
    "an id that is true": (
        squad(asked() | {"id": True}),
        "the id is true, true or false; write a text or a whole number",
    ),
    "empty answer": (
        squad(asked(answer="")),
        "question q1: the answer '' is not in the context at character 20",
    ),
    "blank answer": (
        squad(asked(answer=" ", start=3)),
        "question q1: the answer ' ' is not in the context at character 3",
    ),
    "an id twice": (squad(asked(), asked()), "question q1: this id comes twice"),
    "no answer": (squad(asked(answers=[])), "question q1: no answer"),
    "no answer and not impossible": (squad(asked(answers=[], is_impossible=False)), "question q1: no answer"),
    "empty question": (squad(asked(question=" \t ")), "question q1: the question is empty"),
    "question without text": (
        squad({"id": "q1", "answers": []}),
        "question q1: damaged (KeyError: 'question')",
    ),
    "question of null": (
        squad(asked(question=None)),
        "question q1: the question is null; write a text, in quotes",
    ),
    "question that is a list": (
        squad(asked(question=["Where?"])),
        'question q1: the question is ["Where?"], a list; write a text',
    ),
    "question without an id": (
        squad({"question": "What?", "answers": []}),
        "question without an id: damaged (KeyError: 'id')",
    ),
    "question of another form": (squad("What?"), "question without an id: damaged (TypeError"),
    "answer without a start": (
        squad(asked(answers=[{"text": "France"}])),
        "question q1: damaged (KeyError: 'answer_start')",
    ),
    "answer without a text": (
        squad(asked(answers=[{"answer_start": 20}])),
        "question q1: damaged (KeyError: 'text')",
    ),
    "half a surrogate": (
        squad(asked(), context=CONTEXT + "\ud83d"),
        "article 1, paragraph 1: the context holds half a character",
    ),
    "half a surrogate in a question": (
        squad(asked(question="\ud83d?")),
        "question q1: the question holds half a character",
    ),
    "half a surrogate in an id": (
        squad(asked() | {"id": "\ud83d"}),
        r"question '\ud83d': the id holds half a character",
    ),
    "no questions": (squad(), "holds no question"),
    "no articles": ({"data": []}, "holds no question"),
    "no data": (
        {"version": "1.1"},
        "its beginning: no 'data'; SQuAD's form is data, paragraphs, context and qas",
    ),
    "a list of no records": ([1, 2], "article 1: another form"),
    "no paragraphs": ({"data": [{"title": "T"}]}, "article 1: no 'paragraphs'"),
    "no context": ({"data": [{"paragraphs": [{"qas": []}]}]}, "article 1, paragraph 1: no 'context'"),
    "context of another form": (
        squad(asked(), context=["a"]),
        'article 1, paragraph 1: the context is ["a"], a list; write a text',
    ),
    "no qas": (
        {"data": [{"paragraphs": []}, {"paragraphs": [{"context": "a"}]}]},
        "article 2, paragraph 1: no 'qas'",
    ),
    "blank file": ("", "line 1: not JSON"),
    "JSON lines": (
        '{"question": "What?"}\n{}',
        "line 2: not JSON (Extra data); give a file of SQuAD's form, or name JSON lines .jsonl",
    ),
    "a number of too many digits": (
        '{"data": ' + "1" * 5000 + "}",
        "not JSON that can be read (a whole number of more digits",
    ),
    "nested too deeply": ("[" * 100_000, "not JSON that can be read (lists or objects inside each other"),
    "not JSON": ('{"data": [\n{"paragraphs": ]}', "line 2: not JSON"),
}


@pytest.mark.parametrize(("data", "sentence"), BAD.values(), ids=BAD)
def test_prepare_squad_refuses_a_bad_file_and_writes_nothing(tmp_path, vocabulary, data, sentence):
    good, bad = written(tmp_path / "good.json", squad(asked())), written(tmp_path / "bad.json", data)
    given = ["--vocab", vocabulary, "--destdir", tmp_path / "bin", "--squad", "--train", good, "--valid", bad]
    status, output, said = electra_here("prepare", *given)
    assert status == 1 and output == "" and len(said.strip().splitlines()) == 1, said
    assert str(bad) in said and sentence in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.json", "good.json"]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (
            ["--max-positions", "74"],
            "--max-positions 74 leaves no window of 8 pieces behind a question of 64",
        ),
        (
            ["--max-question", "502"],
            "--max-positions 512 leaves no window of 8 pieces behind a question of 502",
        ),
        (["--max-question", "0"], "--max-question 0 must be 1 or more"),
        (["--max-question", "-600"], "--max-question -600 must be 1 or more"),
        (["--stride", "0"], "--stride 0 and --max-question 64 must be 1 or more"),
        (["--vocab", "absent"], "absent"),
        (["--train", "absent.json"], "absent.json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_prepare_squad_refuses_unusable_options(tmp_path, vocabulary, more, sentence):
    good = written(tmp_path / "good.json", squad(asked()))
    status, _, said = electra_here(
        "prepare", "--vocab", vocabulary, "--destdir", tmp_path / "bin", "--squad", "--train", good, *more
    )
    assert status == 1 and len(said.strip().splitlines()) == 1 and sentence in said, said
    assert list(tmp_path.iterdir()) == [good]


def test_prepare_squad_takes_the_shortest_rows(tmp_path, vocabulary):
    good = written(tmp_path / "good.json", squad(asked(), context=CONTEXT * 4))
    given = [
        *["--vocab", vocabulary, "--destdir", tmp_path / "bin", "--squad", "--train", good],
        *["--max-positions", "75"],
    ]
    status, output, said = electra_here("prepare", *given)
    assert status == 0 and "train 1; questions; 1 in several windows of 75 tokens" in output, said
    assert read_task_info(tmp_path / "bin").metrics == ("f1", "exact_match")


def test_write_question_folder_names_an_answer_that_the_vocabulary_erases(tmp_path, vocabulary):
    questions = Squad(["a \u200b\u200d b"], [Question("q7", "What?", 0, ((2, "\u200b\u200d"),))])
    with pytest.raises(
        InputError, match=r"^valid, question q7: the vocabulary's normalization leaves nothing of the answer"
    ):
        write_question_folder(tmp_path / "task", vocabulary, {"valid": questions}, INFO)
    assert list(tmp_path.iterdir()) == []


def windows_by_hand(length, room, stride):
    """As many equal steps as it takes for the last window to reach the end."""
    step = min(room, stride)
    return [
        (step * i, min(step * i + room, length)) for i in range(1 + max(0, math.ceil((length - room) / step)))
    ]


def best_by_hand(length, spans):
    """Transcribed from google-research/bert: _check_is_max_context."""
    found = []
    for place in range(length):
        best_score = best = None
        for number, (first, end) in enumerate(spans):
            if not first <= place < end:
                continue
            score = min(place - first, end - 1 - place) + 0.01 * (end - first)
            if best_score is None or score > best_score:
                best_score, best = score, number
        found.append(best)
    return found


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


def pieces_touched(offsets, start, end):
    return [i for i, (a, b) in enumerate(offsets) if a < end and b > start]


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


def test_context_pieces_of_an_erased_context_are_one_unk(tmp_path, vocabulary):
    questions = Squad(
        ["\u200b", "a b"], [Question("1", "What?", 0, ()), Question("2", "\u200b", 1, ((0, "a"),))]
    )
    write_question_folder(tmp_path / "task", vocabulary, {"valid": questions}, INFO)
    folder = QuestionFolder(tmp_path / "task", "valid", len(load_dictionary(tmp_path / "task" / "input0")))
    (_, first), (second, _) = folder.row(0), folder.row(1)
    assert first.tolist() == second.tolist() == [UNK] and folder.offsets(0).tolist() == [[0, 0]]


def made(corpus_lines, number=30):
    """Make contexts of one to three lines and questions in their words, some of them without an answer."""
    rng = random.Random(3)
    lines = [line for line in corpus_lines if len(line) > 80]
    found = Squad([], [])
    for i in range(number):
        context = "  ".join(lines[3 * i : 3 * i + 1 + i % 3])
        found.contexts.append(context)
        for k in range(1 + i % 4):
            start = rng.randrange(len(context) - 40)
            answer = context[start : start + rng.randrange(1, 40)].strip()
            answers = () if (i + k) % 4 == 0 else ((context.index(answer), answer),)
            text = " ".join(context.split()[k : k + rng.randrange(2, 25)])
            found.questions.append(Question(f"{i}-{k}", text, i, answers))
    return found


def rows_by_hand(tokenizer, squad_, info):
    """Return the rows as dicts: token ids, the places an answer may cover and begin at, its first and last.

    ``context_first`` and ``window_first`` tell where the window begins in the row and in the context.
    """
    rows = []
    for question in squad_.questions:
        ids = tokenizer.encode(question.text, add_special_tokens=False).ids[: info.max_question]
        encoding = tokenizer.encode(squad_.contexts[question.context], add_special_tokens=False)
        room = info.max_positions - 3 - len(ids)
        spans = windows_by_hand(len(encoding.ids), room, info.stride)
        best = best_by_hand(len(encoding.ids), spans)
        touched = []
        if question.answers:
            start, text = question.answers[0]
            touched = pieces_touched(encoding.offsets, start, start + len(text))
        for number, (begin, end) in enumerate(spans):
            row = [BOS, *ids, EOS, *encoding.ids[begin:end], EOS]
            places = range(len(ids) + 2, len(row) - 1)
            shift = len(ids) + 2 - begin
            held = bool(touched) and begin <= touched[0] and touched[-1] < end
            rows.append(
                {
                    "tokens": row,
                    "allowed": [0, *places],
                    "begins": [place for place in places if best[place - shift] == number],
                    "first": touched[0] + shift if held else 0,
                    "last": touched[-1] + shift if held else 0,
                    "context_first": len(ids) + 2,
                    "window_first": begin,
                }
            )
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory, vocabulary, corpus_lines):
    path = tmp_path_factory.mktemp("questions") / "task"
    info = write_question_folder(
        path, vocabulary, {"train": made(corpus_lines, 8), "valid": made(corpus_lines)}, INFO
    )
    assert info == read_task_info(path)
    return path


def test_collater_makes_the_batches_put_together_by_hand(folder, vocabulary, corpus_lines):
    expected = rows_by_hand(load_wordpiece(vocabulary), made(corpus_lines), INFO)
    rows = QuestionRows(QuestionFolder(folder, "valid", len(load_dictionary(folder / "input0"))))
    assert (
        rows.sizes.tolist() == [len(row["tokens"]) for row in expected]
        and rows.sizes.max() == INFO.max_positions
    )
    assert (
        sum(row["first"] > 0 for row in expected) > 20
        and sum(row["window_first"] > 0 for row in expected) > 20
    )
    order = np.random.default_rng(1).permutation(len(rows)).tolist()
    for chosen in (order[:7], order[7:8], order[8:], np.argsort(rows.sizes)[:3].tolist()):
        batch = rows.collater(chosen)
        width = max(len(expected[i]["tokens"]) for i in chosen)
        plain = [expected[i]["tokens"] + [PAD] * (width - len(expected[i]["tokens"])) for i in chosen]
        assert batch["net_input"]["src_tokens"].tolist() == plain
        for name in ("allowed", "begins"):
            assert [row.nonzero().flatten().tolist() for row in batch[name]] == [
                expected[i][name] for i in chosen
            ]
        for name in ("first", "last", "context_first", "window_first"):
            assert batch[name].tolist() == [expected[i][name] for i in chosen]
        assert (
            batch["id"].tolist() == chosen
            and batch["nsentences"] == len(chosen)
            and batch["split"] == "valid"
        )
        assert batch["ntokens"] == sum(len(expected[i]["tokens"]) for i in chosen)
    assert rows.collater([]) == {}


def test_question_folder_equals_questions_in_memory(folder, vocabulary, corpus_lines):
    tokenizer, info = load_wordpiece(vocabulary), read_task_info(folder)
    for split, number in (("train", 8), ("valid", 30)):
        questions = made(corpus_lines, number)
        mapped = QuestionFolder(folder, split, len(load_dictionary(folder / "input0")))
        pieces = question_pieces(
            tokenizer, (question.text for question in questions.questions), info.max_question
        )
        contexts, offsets = context_pieces(tokenizer, questions.contexts)
        windows = find_windows(questions.questions, pieces, offsets, info, "")
        memory = Questions(in_memory(pieces), in_memory(contexts), np.concatenate(offsets), windows)
        assert np.array_equal(mapped.windows, memory.windows) and np.array_equal(
            mapped.sizes(), memory.sizes()
        )
        assert len(mapped) == len(memory) == info.examples[split] and len(windows) == info.rows[split]
        for context in range(number):
            assert np.array_equal(mapped.offsets(context), offsets[context]) and np.array_equal(
                memory.offsets(context), offsets[context]
            )
        for window in range(len(windows)):
            assert all(
                np.array_equal(a, b) for a, b in zip(mapped.row(window), memory.row(window), strict=True)
            )
        records, texts = mapped.texts()
        assert texts == questions.contexts
        again = [
            Question(each["id"], each["text"], each["context"], tuple(map(tuple, each["answers"])))
            for each in records
        ]
        assert again == questions.questions


def test_question_folder_keeps_line_ends_of_every_kind_in_texts(tmp_path, vocabulary):
    contexts = [f"one{end}two three" for end in ("\n", "\r", "\u2028", "\x85", "\x0c", "\r\n")]
    questions = [
        Question(f"a\u2028{i}", "q\nq\x85", i, ((len(text) - 5, "three"),)) for i, text in enumerate(contexts)
    ]
    write_question_folder(tmp_path / "task", vocabulary, {"valid": Squad(contexts, questions)}, INFO)
    records, texts = QuestionFolder(
        tmp_path / "task", "valid", len(load_dictionary(tmp_path / "task" / "input0"))
    ).texts()
    assert texts == contexts and [each["id"] for each in records] == [question.id for question in questions]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path: (path / "offsets" / "valid.npy").unlink(), "offsets/valid.npy"),
        (lambda path: (path / "windows" / "valid.npy").write_bytes(b"no"), "windows/valid.npy"),
        (
            lambda path: np.save(path / "windows" / "valid.npy", np.zeros((3, 5), dtype=np.int32)),
            "windows/valid.npy is not of this version",
        ),
        (
            lambda path: np.save(path / "offsets" / "valid.npy", np.zeros((3, 2), dtype=np.int32)),
            "offsets of 3; make the folder again",
        ),
        (lambda path: (path / "text" / "valid.jsonl").unlink(), "text/valid.jsonl; make the folder again"),
        (lambda path: (path / "input1" / "valid.bin").unlink(), "input1/valid"),
    ],
    ids=["no offsets", "damaged windows", "old windows", "foreign offsets", "no text", "no contexts"],
)
def test_question_folder_refuses_damaged_files(tmp_path, vocabulary, spoil, sentence):
    questions = Squad([CONTEXT], [Question("1", "Where?", 0, ((20, "France"),))])
    write_question_folder(tmp_path / "task", vocabulary, {"valid": questions}, INFO)
    spoil(tmp_path / "task")
    with pytest.raises(InputError) as caught:
        QuestionFolder(tmp_path / "task", "valid", len(load_dictionary(tmp_path / "task" / "input0"))).texts()
    assert sentence in str(caught.value) and str(tmp_path) in str(caught.value)


@pytest.mark.skipif(not (REAL / "squad").is_dir(), reason=f"no {REAL}/squad")
@pytest.mark.parametrize("split", ["train", "dev"])
def test_read_squad_reads_questions_of_both_kinds_from_real_files(split):
    found = read_squad(REAL / "squad" / f"{split}-v2.0.json")
    without = [question for question in found.questions if not question.answers]
    assert 0.4 < len(without) / len(found.questions) < 0.6 and len(
        {question.id for question in found.questions}
    ) == len(found.questions)


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
