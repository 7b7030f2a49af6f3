import gzip
import json

import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.sentences import RANKING
from fairseq_electra.finetuning.sentences.folder import check_task
from fairseq_electra.finetuning.sentences.multiple_choice import read_race, read_swag
from fairseq_electra.finetuning.sentences.read import Example

SWAG_HEADER = ",video-id,fold-ind,startphrase,sent1,sent2,gold-source,ending0,ending1,ending2,ending3"
QUOTED = (
    '0,anetv_1,3416,"A, b. The",A woman stands.,The woman,gen,"walks, then ""runs"".",sits.,"looks up\nand'
    " down.\",'leaves'.,2\n1,anetv_2,3417,He. He,He waits.,He,gold,goes.,stays.,reads.,sleeps.,0\n"
)
QUOTED_TEXTS = (
    *["A woman stands.", 'The woman walks, then "runs".', "The woman sits."],
    *["The woman looks up\nand down.", "The woman 'leaves'."],
)
RACE = {
    "article": "A bird\n  sang.\nIt was\ta lark.",
    "questions": ["What _ on the tree?", "Which bird was it?"],
    "options": [["sang", "sat", "slept", "ran"], ["A lark.", "A crow.", "An owl.", "A _ ."]],
    "answers": ["A", "D"],
    "id": "middle1.txt",
}
PASSAGE = "A bird sang. It was a lark."
READ = [
    (
        *[PASSAGE, "What sang on the tree?", "What sat on the tree?", "What slept on the tree?"],
        "What ran on the tree?",
    ),
    (
        *[PASSAGE, "Which bird was it? A lark.", "Which bird was it? A crow.", "Which bird was it? An owl."],
        "Which bird was it? A _ .",
    ),
]


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(reader, folder):
    with pytest.raises(InputError) as caught:
        reader(folder)
    return str(caught.value)


def test_swags_quoted_fields_hold_commas_quotes_and_line_ends(tmp_path):
    path = write(tmp_path / "train.csv", f"{SWAG_HEADER},label\n{QUOTED}")
    assert read_swag(tmp_path) == {
        "train": [
            Example(QUOTED_TEXTS, "2", f"{path}, line 2"),
            Example(
                ("He waits.", "He goes.", "He stays.", "He reads.", "He sleeps."), "0", f"{path}, line 4"
            ),
        ]
    }


def test_swags_lines_may_end_with_carriage_returns(tmp_path):
    write(tmp_path / "val.csv", f"{SWAG_HEADER},label\n{QUOTED}".replace("\n", "\r\n"))
    found = read_swag(tmp_path)["valid"]
    assert [example.label for example in found] == ["2", "0"] and found[0].texts == QUOTED_TEXTS


def test_swags_splits_and_a_test_set_without_labels(tmp_path):
    endings = ",a.,b.,c.,d."
    write(tmp_path / "train.csv", f"{SWAG_HEADER},label\n0,v,1,s,Train.,It,gold{endings},3\n")
    write(tmp_path / "val.csv", f"{SWAG_HEADER},label\n0,v,1,s,Val.,It,gold{endings},1\n")
    write(tmp_path / "test.csv", f"{SWAG_HEADER}\n0,v,1,s,Test.,It,gold{endings}\n")
    found = read_swag(tmp_path)
    assert {
        split: [(each.texts[0], each.label) for each in examples] for split, examples in found.items()
    } == {
        "train": [("Train.", "3")],
        "valid": [("Val.", "1")],
        "test": [("Test.", None)],
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"{SWAG_HEADER}\n0,v,1,s,A.,B,gold,a.,b.,c.\n", "{}, line 2: 10 columns, not 11; write all of them"),
        (
            f"{SWAG_HEADER},label\n{QUOTED}2,v,1,s,A.,B,gold,a.,b.,c.,d.,0,9\n",
            "{}, line 5: 13 columns, not 12; quote cells",
        ),
        (
            f"{SWAG_HEADER.replace('ending3', 'ending4')}\n0,v,1,s,A,B,g,a,b,c,d\n",
            "{} has no column 'ending3', its first line names",
        ),
        (
            f"{SWAG_HEADER.replace('sent2', 'x')}\n0,v,1,s,A,B,g,a,b,c,d\n",
            "{} has no column 'sent2', its first line names",
        ),
        (f"{SWAG_HEADER},label\n", "{} holds no example; give a file with at least one line of data"),
        ("", "{} is empty, or its first line is"),
        (
            f'{SWAG_HEADER}\n0,v,1,s,A.,B,gold,"never closed.,b.,c.,d.\n',
            "{}, line 2: not a CSV with quotes (unexpected end of",
        ),
        (
            f'{SWAG_HEADER}\n0,v,1,s,A.,B,gold,"closed" too early.,b.,c.,d.\n',
            "{}, line 2: not a CSV with quotes (",
        ),
        (
            f'"{SWAG_HEADER}\n0,v,1,s,A,B,g,a,b,c,d\n',
            "{}, line 1: not a CSV with quotes (unexpected end of data); close",
        ),
        (SWAG_HEADER.encode() + b"\n0,v,1,s,A,B,g,a,b,c,\xe9\n", "{}, line 2: not UTF-8 (byte 0xe9"),
    ],
)
def test_bad_swag_is_refused_by_file_and_line(tmp_path, content, message):
    path = write(tmp_path / "val.csv", content)
    assert refusal(read_swag, tmp_path).startswith(message.format(path))


def test_a_folder_without_swag_is_refused_with_the_names_wanted(tmp_path):
    write(tmp_path / "swag_train.csv", "a,b\n")
    assert (
        refusal(read_swag, tmp_path)
        == f"{tmp_path} holds none of train.csv, val.csv, test.csv; give SWAG's folder of csv files"
    )


def test_races_options_take_the_place_of_the_gap_or_stand_behind_the_question(tmp_path):
    path = write(tmp_path / "train" / "middle" / "1.txt", json.dumps(RACE))
    assert read_race(tmp_path) == {
        "train": [Example(READ[0], "0", f"{path}, question 1"), Example(READ[1], "3", f"{path}, question 2")],
    }


@pytest.mark.parametrize("gap", ["_", "____", "__ "])
def test_races_gap_is_one_however_long_it_is_drawn_and_the_option_stands_there_as_it_is(tmp_path, gap):
    options = [["sang", r"\1", "a_b", "ran"]]
    write(
        tmp_path / "train" / "1.txt",
        json.dumps(RACE | {"questions": [f"What {gap}? Who _?"], "options": options, "answers": ["A"]}),
    )
    after = gap.replace("_", "")
    assert read_race(tmp_path)["train"][0].texts[1:] == tuple(
        f"What {option}{after}? Who {option}?" for option in options[0]
    )


def test_races_levels_are_read_together_and_its_splits_apart(tmp_path):
    for place in ("train/middle/2", "train/high/9", "train/middle/10", "dev/high/1", "test/1"):
        write(tmp_path / f"{place}.txt", json.dumps(RACE | {"article": place}, indent=1))
    write(tmp_path / "train" / "high" / "README", "no passage")
    passages = {
        split: [example.texts[0] for example in examples[::2]]
        for split, examples in read_race(tmp_path).items()
    }
    assert passages == {
        "train": ["train/high/9", "train/middle/10", "train/middle/2"],
        "valid": ["dev/high/1"],
        "test": ["test/1"],
    }


def test_races_test_set_may_lack_the_answers_and_a_byte_order_mark_does_not_matter(tmp_path):
    record = {key: value for key, value in RACE.items() if key != "answers"}
    write(tmp_path / "test" / "1.txt", "\ufeff" + json.dumps(record))
    assert [(each.texts, each.label) for each in read_race(tmp_path)["test"]] == [
        (texts, None) for texts in READ
    ]


def test_a_test_set_of_which_some_files_lack_the_answers_is_refused_with_the_first_question_without(tmp_path):
    info = TaskInfo("race", RANKING, 5, (), ("accuracy",), 64)
    write(tmp_path / "test" / "1.txt", json.dumps(RACE))
    write(
        tmp_path / "test" / "2.txt",
        json.dumps({key: value for key, value in RACE.items() if key != "answers"}),
    )
    with pytest.raises(
        InputError,
        match=(
            r"2\.txt, question 1: no label, where other examples of its split have one; give all a label or"
            r" none"
        ),
    ):
        check_task(read_race(tmp_path), info)
    (tmp_path / "test" / "1.txt").unlink()
    check_task(read_race(tmp_path), info)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("not json", "{} is no file of RACE (JSONDecodeError("),
        ("", "{} is no file of RACE (JSONDecodeError("),
        (
            '{"article": ' + "1" * 5000 + "}",
            "{} is no file of RACE (ValueError('a whole number of more digits",
        ),
        ("[" * 100_000, "{} is no file of RACE (ValueError('lists or objects inside each other"),
        (json.dumps([RACE]), "{} is no file of RACE (TypeError("),
        (
            json.dumps({key: value for key, value in RACE.items() if key != "answers"}),
            "{} is no file of RACE (KeyError('answers')); needs a",
        ),
        (
            json.dumps(RACE | {"article": None}),
            (
                "{} is no file of RACE (TypeError('the article must be a text and the others lists')); needs"
                " article"
            ),
        ),
        (
            json.dumps(RACE | {"questions": 2}),
            (
                "{} is no file of RACE (TypeError('the article must be a text and the others lists')); needs"
                " article"
            ),
        ),
        (
            json.dumps(RACE | {"answers": ["A"]}),
            "{}: 2 questions, 2 sets of options and 1 answers; need equally many",
        ),
        (
            json.dumps(RACE | {"questions": RACE["questions"] * 2}),
            "{}: 4 questions, 2 sets of options and 2 answers; need equally many",
        ),
        (
            json.dumps(RACE | {"options": [RACE["options"][0], ["A", "B", "C"]]}),
            "{}, question 2: 3 options and the answer 'D'; need four",
        ),
        (
            json.dumps(RACE | {"answers": ["A", "E"]}),
            "{}, question 2: 4 options and the answer 'E'; need four, and one of A, B, C, D",
        ),
        (
            json.dumps(RACE | {"answers": ["BC", "A"]}),
            "{}, question 1: 4 options and the answer 'BC'; need four, and one of A, B, C, D",
        ),
        (
            json.dumps(RACE | {"answers": ["A", ""]}),
            "{}, question 2: 4 options and the answer ''; need four, and one of A, B, C, D",
        ),
        (
            json.dumps(RACE | {"answers": [0, "A"]}),
            "{}, question 1: 4 options and the answer 0; need four, and one of A, B, C, D",
        ),
        (
            json.dumps(RACE | {"questions": ["Who?", 7]}),
            "{}, question 2: the question 7 has the options ['A lark.', ",
        ),
        (
            json.dumps(RACE | {"options": [RACE["options"][0], ["a", "b", None, "d"]]}),
            (
                "{}, question 2: the question 'Which bird was it?' has the options ['a', 'b', None, 'd']; all"
                " must be texts"
            ),
        ),
        (
            json.dumps(RACE | {"article": "\ud83d"}),
            "{}, question 1: a text holds half a character, '\\ud83d' at 0",
        ),
        (b"{\n\xff}", "{}, line 2: not UTF-8 (byte 0xff"),
    ],
)
def test_bad_race_is_refused_by_file_and_question(tmp_path, content, message):
    path = write(tmp_path / "dev" / "high" / "7.txt", content)
    assert refusal(read_race, tmp_path).startswith(message.format(path))


def test_a_folder_without_race_is_refused(tmp_path):
    write(tmp_path / "train" / "middle" / "1.txt.gz", gzip.compress(json.dumps(RACE).encode()))
    assert (
        refusal(read_race, tmp_path)
        == f"{tmp_path} holds no train, dev or test folder with .txt files; give RACE's folder"
    )
