"""Questions read from files of SQuAD's form, and what is refused."""

import json
import math
from pathlib import Path

import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.info import TaskInfo, read_task_info
from fairseq_electra.finetuning.questions import ANSWERING
from fairseq_electra.finetuning.questions.folder import (
    write_question_folder,
)
from fairseq_electra.finetuning.questions.read import Question, Squad, read_squad
from tests.helpers.commands import electra_here, with_options
from tests.helpers.squad_files import CONTEXT, asked, squad, written

REAL = Path(__file__).parents[4] / "shared" / "data"
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
    given = ["--vocab", vocabulary, "--destdir", tmp_path / "bin", "--squad", "--train", good]
    status, _, said = electra_here("prepare", *with_options(given, more))
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


@pytest.mark.skipif(not (REAL / "squad").is_dir(), reason=f"no {REAL}/squad")
@pytest.mark.parametrize("split", ["train", "dev"])
def test_read_squad_reads_questions_of_both_kinds_from_real_files(split):
    found = read_squad(REAL / "squad" / f"{split}-v2.0.json")
    without = [question for question in found.questions if not question.answers]
    assert 0.4 < len(without) / len(found.questions) < 0.6 and len(
        {question.id for question in found.questions}
    ) == len(found.questions)
