"""Batches and folders of questions against rows put together by hand."""

import random

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
    question_pieces,
    write_question_folder,
)
from fairseq_electra.finetuning.questions.read import Question, Squad
from fairseq_electra.finetuning.questions.rows import QuestionRows
from fairseq_electra.pretraining.binarized import load_dictionary
from fairseq_electra.pretraining.wordpiece import load_wordpiece
from tests.helpers.plain_windows import best_by_hand, pieces_touched, windows_by_hand
from tests.helpers.squad_files import CONTEXT

BOS, PAD, EOS, UNK = range(4)
INFO = TaskInfo("questions", ANSWERING, 2, (), ("f1", "exact_match"), 64, stride=16, max_question=16)


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
