"""Question files as the datasets library writes them, answers between blanks, and questions that are cut."""

import gzip
import json
from pathlib import Path

import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.files.faults import Faults
from fairseq_electra.finetuning.info import read_task_info
from fairseq_electra.finetuning.questions.forms import is_squad, without_blanks
from fairseq_electra.finetuning.questions.read import Question, read_squad
from tests.helpers.commands import electra_here
from tests.helpers.squad_files import CONTEXT, asked, squad, written

REAL = Path(__file__).parents[4] / "shared" / "data" / "squad"


def flat(number=1, context=CONTEXT, texts=("France",), starts=(20,), **more):
    """A record of the datasets library, by the features on its page of squad_v2."""
    answers = {"text": list(texts), "answer_start": list(starts)}
    return {
        "id": f"q{number}",
        "title": "T",
        "context": context,
        "question": "Where?",
        "answers": answers,
    } | more


def lines(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


RECORDS = [flat(1), flat(2, "b a b", ["b", "b"], [0, 4]), flat(3, texts=[], starts=[])]
EXPECTED = [
    Question("q1", "Where?", 0, ((20, "France"),)),
    Question("q2", "Where?", 1, ((0, "b"), (4, "b"))),
    Question("q3", "Where?", 0, ()),
]


@pytest.mark.parametrize(
    ("name", "data"),
    [("a.jsonl", lines(*RECORDS)), ("a.json", RECORDS), ("a.json", {"version": "x", "data": RECORDS})],
    ids=["lines", "a list", "data"],
)
def test_read_squad_reads_records_with_their_context(tmp_path, name, data):
    found = read_squad(written(tmp_path / name, data))
    assert found.contexts == [CONTEXT, "b a b"] and found.questions == EXPECTED and found.labelled


@pytest.mark.parametrize("name", ["A.JSON", "a.Json.gz"])
def test_is_squad_tells_names_in_capitals_too(tmp_path, name):
    content = json.dumps(squad(asked())).encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert is_squad(tmp_path / name) and len(read_squad(tmp_path / name).questions) == 1


def test_read_squad_reads_answers_in_two_lists_in_squads_form_too(tmp_path):
    found = read_squad(
        written(tmp_path / "a.json", squad(asked(answers={"text": ["France"], "answer_start": [20]})))
    )
    assert found.questions[0].answers == ((20, "France"),)


def test_read_squad_takes_empty_lists_for_no_answer_only_if_some_have_one(tmp_path):
    none = written(tmp_path / "none.jsonl", lines(flat(1, texts=[], starts=[]), flat(2, texts=[], starts=[])))
    assert not read_squad(none, labelled=False).labelled
    some = written(tmp_path / "some.jsonl", lines(*RECORDS))
    assert (
        read_squad(some, labelled=False).labelled and read_squad(some, labelled=False).questions == EXPECTED
    )
    mixed = written(tmp_path / "mixed.jsonl", lines(*RECORDS, flat(4, answers=[])))
    with pytest.raises(InputError, match="question q4: no answer, where 2 others have one"):
        read_squad(mixed, labelled=False)


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        (
            "a.jsonl",
            lines(flat(texts=["France", "x"])),
            'question q1: "answers" is {"text": ["France", "x"], "answer_start": [20]}, an object',
        ),
        (
            "a.jsonl",
            lines(flat(answers={"text": "France", "answer_start": 20})),
            "or an object with a list of each, equally long",
        ),
        (
            "a.jsonl",
            lines(flat(answers={"text": ["France"]})),
            "or an object with a list of each, equally long",
        ),
        (
            "a.jsonl",
            lines(flat(), flat(2, starts=["20"])),
            'question q2: answer_start is "20", a text; write a whole number',
        ),
        ("a.jsonl", lines(flat(), flat(2, context=None)), "line 2: the context is null; write a text"),
        (
            "a.jsonl",
            lines(flat(), {"question": "?"}),
            "line 2: no 'context'; SQuAD's form is data, paragraphs, context and qas, that of the",
        ),
        ("a.jsonl", lines(flat(), flat()), "question q1: this id comes twice"),
        ("a.jsonl", "[]\n", "line 1: list, not an object"),
        ("a.json", [{"question": "?"}], "article 1: no 'context'"),
        ("a.json", [], "holds no question"),
    ],
)
def test_read_squad_refuses_unusable_records(tmp_path, name, data, sentence):
    path = written(tmp_path / name, data)
    with pytest.raises(InputError) as caught:
        read_squad(path)
    assert str(caught.value).startswith(str(path)) and sentence in str(caught.value)


def test_read_squad_gathers_faults_and_keeps_good_records(tmp_path):
    bad = [
        flat(2, texts=["Paris"]),
        {"id": "q3", "question": "?"},
        flat(4, context=None),
        flat(5, texts=["France", "x"]),
        {"context": CONTEXT},
        flat(1),
    ]
    own = flat(6, "another context", ["another "], [0])
    kinds = (
        "3 with a value of another form, 1 with an answer that is not where it says, 1 without a context, 1"
        " with the id of another\n"
    )
    for name, data in (("a.jsonl", lines(flat(1), *bad, own)), ("a.json", [flat(1), *bad, own])):
        path, faults = written(tmp_path / name, data), Faults()
        found = read_squad(path, faults=faults)
        assert [question.id for question in found.questions] == ["q1", "q6"] and found.contexts == [
            CONTEXT,
            "another context",
        ]
        assert faults.listing().startswith(kinds) and found.repaired == 1
        place = "line 3" if name == "a.jsonl" else "article 3"
        assert str(faults.errors[1]).startswith(f"{path}, {place}: no 'context'; SQuAD's form is data")
    faults = Faults()
    assert (
        len(read_squad(written(tmp_path / "b.jsonl", lines(flat(1)) + "{\n"), faults=faults).questions) == 1
    )
    assert faults.listing().startswith("1 that are not JSON\n")


@pytest.mark.parametrize(
    ("start", "answer", "expected"),
    [
        (20, "France ", (20, "France")),
        (20, "France\n", (20, "France")),
        (20, " France", (20, "France")),
        (19, " France", (20, "France")),
        (19, " France ", (20, "France")),
        (17, "to France  ", (17, "to France")),
        (20, "France", (20, "France")),
        (0, "\tThe", (0, "The")),
        (18, "  France", (20, "France")),
    ],
)
def test_without_blanks_strips_whether_or_not_the_start_counts_the_blanks(start, answer, expected):
    assert without_blanks(start, answer, CONTEXT) == expected


def test_without_blanks_keeps_the_occurrence_that_the_file_names():
    assert without_blanks(1, " a", "a aa") == (2, "a") and without_blanks(2, " a", "a aa") == (2, "a")


def test_read_squad_counts_repaired_answers_and_refuses_others(tmp_path, vocabulary):
    several = [
        {"answer_start": 20, "text": "France "},
        {"answer_start": 20, "text": "France"},
        {"answer_start": 17, "text": " to France"},
    ]
    path = written(tmp_path / "a.json", squad(asked(1, answer=" France\n"), asked(2, answers=several)))
    found = read_squad(path)
    assert found.repaired == 3 and [question.answers for question in found.questions] == [
        ((20, "France"),),
        ((20, "France"), (17, "to France")),
    ]
    long = " ".join(["where"] * 30)
    other = written(tmp_path / "b.jsonl", lines(flat(question=long), flat(2)))
    given = [
        *["--vocab", vocabulary, "--squad", "--max-positions", "64", "--max-question", "16"],
        *["--train", path, "--valid", other],
    ]
    status, output, said = electra_here("prepare", *given, "--destdir", tmp_path / "bin")
    assert status == 0, said
    assert "; 1 questions cut to 16 pieces; 3 answers had blanks around them, which were taken away" in output
    assert read_task_info(tmp_path / "bin").cut == {"train": 0, "valid": 1}
    wrong = written(tmp_path / "c.json", squad(asked(1, answer="Francia ")))
    with pytest.raises(
        InputError,
        match="question q1: the answer 'Francia' is not in the context at character 20, there is 'France '",
    ):
        read_squad(wrong)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no {REAL}")
def test_read_squad_reads_a_real_file_alike_in_the_form_of_datasets(tmp_path):
    path = REAL / "dev-v2.0.json"
    records = []
    for article in json.loads(path.read_text())["data"]:
        for paragraph in article["paragraphs"]:
            for each in paragraph["qas"]:
                texts, starts = (
                    [answer[name] for answer in each["answers"]] for name in ("text", "answer_start")
                )
                blanks = [f" {text}" if i % 2 else f"{text} " for i, text in enumerate(texts)]
                records.append(
                    flat(0, paragraph["context"], blanks, starts, id=each["id"], question=each["question"])
                )
    expected, found = read_squad(path), read_squad(written(tmp_path / "a.jsonl", lines(*records)))
    assert (found.contexts, found.questions) == (expected.contexts, expected.questions) and len(
        found.questions
    ) == 2512
    assert (
        found.repaired == sum(len(record["answers"]["text"]) for record in records) > 2000
        and expected.repaired == 0
    )
