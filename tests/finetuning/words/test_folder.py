import itertools
import random
import shutil
import tracemalloc
import types

import numpy as np
import pytest
import torch

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.info import TaskInfo, read_task_info
from fairseq_electra.finetuning.kinds import evaluation_of
from fairseq_electra.finetuning.windows import best_window
from fairseq_electra.finetuning.words import TAGGING
from fairseq_electra.finetuning.words.folder import TagFolder, rows_of_words, write_tag_folder
from fairseq_electra.finetuning.words.read import Sentence
from fairseq_electra.finetuning.words.rows import TagRows
from fairseq_electra.finetuning.words.tags import BIO, BIOES, TAG_METRICS, Entity, all_tags, tags_of
from fairseq_electra.pretraining.binarized import load_dictionary
from fairseq_electra.pretraining.wordpiece import load_wordpiece, save_vocabulary, train_wordpiece
from fairseq_electra.tasks._prepared_folder import PreparedFolderTask
from tests.helpers.commands import electra, electra_here

BOS, PAD, EOS, UNK = 0, 1, 2, 3
TYPES = ("code", "name")


def info_of(max_positions=24, stride=8):
    return TaskInfo("tags", TAGGING, 1, (), TAG_METRICS, max_positions, stride=stride)


def numbered(lengths):
    """Words whose pieces are all different, so that each tells where it is from."""
    ids = iter(range(10, 10**6))
    return [[next(ids) for _ in range(length)] for length in lengths]


def spans_of(rows, words):
    """First and last word, exclusive, of each row."""
    of_piece = {piece: i for i, word in enumerate(words) for piece in word}
    spans = [(of_piece[row.pieces[0]], of_piece[row.pieces[-1]] + 1) for row in rows]
    assert [row.pieces for row in rows] == [
        [piece for word in words[a:b] for piece in word] for a, b in spans
    ]
    return spans


@pytest.mark.parametrize("longest", [1, 3, 12])
def test_rows_of_words_scores_each_word_once_where_it_has_most_context(longest):
    rng = random.Random(longest)
    several = 0
    for _ in range(300):
        words = numbered(rng.randint(1, longest) for _ in range(rng.randrange(1, 60)))
        room = rng.randrange(longest, 40)
        stride = rng.randint(1, room)
        rows = rows_of_words(words, room, stride)
        spans = spans_of(rows, words)
        assert max(len(row.pieces) for row in rows) <= room
        assert [word for row in rows for word in row.words] == list(range(len(words)))
        for row in rows:
            assert [row.pieces[place] for place in row.first_pieces] == [words[word][0] for word in row.words]
        for i, row in enumerate(rows):
            for word in row.words:
                context = []
                for other, (a, b) in zip(rows, spans, strict=True):
                    if a <= word < b:
                        place, length = other.pieces.index(words[word][0]), len(other.pieces)
                        context.append((100 * min(place, length - 1 - place) + length, other))
                assert (
                    next(other for value, other in context if value == max(value for value, _ in context))
                    is rows[i]
                )
        several += len(rows) > 2
    assert several > 50


def test_rows_of_words_fills_rows_and_steps_by_the_stride():
    rng = random.Random(4)
    overlaps = 0
    for _ in range(300):
        words = numbered(rng.randint(1, 4) for _ in range(rng.randrange(1, 60)))
        room = rng.randrange(8, 30)
        stride = rng.randint(1, room)
        spans = spans_of(rows_of_words(words, room, stride), words)
        assert spans[0][0] == 0 and spans[-1][1] == len(words)
        for a, b in spans:
            assert b == len(words) or sum(map(len, words[a : b + 1])) > room
        for (a, b), (c, _) in itertools.pairwise(spans):
            assert a < c <= b < len(words)
            assert c == b or sum(map(len, words[a:c])) >= stride
            assert c == a + 1 or sum(map(len, words[a : c - 1])) < stride
            overlaps += c < b
    assert overlaps > 100


def test_best_window_has_the_most_context_for_each_piece():
    rng = random.Random(5)
    for _ in range(200):
        windows = [(0, rng.randint(1, 20))]
        for _ in range(rng.randrange(8)):
            first = rng.randint(windows[-1][0] + 1, windows[-1][1])
            windows.append((first, max(windows[-1][1], first + rng.randint(1, 20))))
        found = best_window(windows[-1][1], windows).tolist()
        for place, window in enumerate(found):
            context = {
                i: 100 * min(place - a, b - 1 - place) + b - a
                for i, (a, b) in enumerate(windows)
                if a <= place < b
            }
            assert window == max(context, key=lambda i: (context[i], -i))


def test_rows_of_words_needs_little_memory_for_a_book():
    words = [[5 + i % 900] for i in range(60_000)]
    tracemalloc.start()
    rows = rows_of_words(words, 126, 63)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(rows) == 952 and sum(len(row.words) for row in rows) == len(words) and peak < 50e6


def test_rows_of_words_makes_one_row_of_a_sentence_that_fits():
    (row,) = rows_of_words([[5, 6], [7], [8, 9, 10]], 6, 1)
    assert (row.pieces, row.first_pieces, row.words) == ([5, 6, 7, 8, 9, 10], [0, 2, 3], [0, 1, 2])


def test_rows_of_words_cuts_long_words_and_makes_empty_ones_unknown():
    rows = rows_of_words([[5, 6], [], [*range(10, 30)], [7]], 8, 4)
    assert [row.pieces for row in rows] == [[5, 6, UNK], [*range(10, 18)], [7]]
    assert [row.words for row in rows] == [[0, 1], [2], [3]] and [row.first_pieces for row in rows] == [
        [0, 2],
        [0],
        [0],
    ]
    assert [row.pieces for row in rows_of_words([[]], 8, 4)] == [[UNK]]


@pytest.fixture(scope="module", params=[False, True], ids=["uncased", "cased"])
def any_vocabulary(request, tmp_path_factory, corpus_lines):
    folder = tmp_path_factory.mktemp("vocabulary")
    save_vocabulary(train_wordpiece(corpus_lines, 1000, cased=request.param), folder)
    return folder


def made_sentences(corpus_lines, seed, number=30):
    """Real words in sentences of 1 to 60; entities of one to three words, some side by side."""
    rng = random.Random(seed)
    words = [word for line in corpus_lines[:200] for word in line.split()]
    found = []
    for i in range(number):
        length = rng.choice([1, 2, 5, 10, 60])
        start = rng.randrange(len(words) - length)
        entities, first = [], 0
        while first < length:
            end = min(length, first + rng.randint(1, 3))
            if rng.random() < 0.4:
                entities.append(Entity(rng.choice(TYPES), first, end))
            first = end
        found.append(Sentence(words[start : start + length], entities, f"made, line {i}"))
    found[2] = Sentence(
        ["\u0301", "a", "\u200d"], [Entity("name", 0, 2)], "marks that the vocabulary leaves nothing of"
    )
    return found


@pytest.mark.parametrize("bioes", [False, True], ids=["BIO", "BIOES"])
def test_tag_folder_returns_words_and_tags_in_order(tmp_path, any_vocabulary, corpus_lines, bioes):
    splits = {"train": made_sentences(corpus_lines, 1), "valid": made_sentences(corpus_lines, 2)}
    finished = write_tag_folder(tmp_path / "task", any_vocabulary, splits, info_of(), bioes)
    assert finished == read_task_info(tmp_path / "task") and finished.examples == {"train": 30, "valid": 30}
    scheme = BIOES if bioes else BIO
    assert finished.labels == all_tags(TYPES, scheme)
    labels = load_dictionary(tmp_path / "task" / "label").symbols
    assert tuple(labels[4 : 4 + len(finished.labels)]) == finished.labels
    tokenizer, size = load_wordpiece(any_vocabulary), len(load_dictionary(tmp_path / "task" / "input0"))
    for split, sentences in splits.items():
        folder = TagFolder(tmp_path / "task", split, size, len(finished.labels))
        tags, of_sentence = folder.targets
        expected = [tags_of(each.entities, len(each.words), scheme) for each in sentences]
        assert [finished.labels[tag] for tag in tags] == [tag for each in expected for tag in each]
        assert of_sentence.tolist() == [i for i, each in enumerate(expected) for _ in each]
        assert len(folder.sizes) == finished.rows[split] > len(sentences) and folder.sizes.max() <= 24
        assert finished.shortened[split] == sum(
            folder.sentences.tolist().count(i) > 1 for i in range(len(sentences))
        )
        index = 0
        for i, sentence in enumerate(sentences):
            pieces = [tokenizer.encode(word, add_special_tokens=False).ids for word in sentence.words]
            for row in rows_of_words(pieces, 22, 8):
                ids, own = folder.row(index)
                assert folder.sentences[index] == i and ids.tolist() == row.pieces
                assert np.flatnonzero(own >= 0).tolist() == row.first_pieces
                assert [finished.labels[tag] for tag in own[own >= 0]] == [
                    expected[i][word] for word in row.words
                ]
                index += 1
        assert index == len(folder.sizes)


def test_tag_folder_of_a_cased_vocabulary_tells_case(tmp_path, any_vocabulary):
    sentences = [Sentence(["The", "name"], [Entity("name", 0, 1)], ""), Sentence(["the", "name"], [], "")]
    write_tag_folder(tmp_path / "task", any_vocabulary, {"train": sentences}, info_of())
    folder = TagFolder(tmp_path / "task", "train", 1000, 3)
    cased = not load_wordpiece(any_vocabulary).normalizer.lowercase
    assert (folder.row(0)[0].tolist() != folder.row(1)[0].tolist()) == cased


def test_collater_makes_rows_with_tags_at_first_pieces(tmp_path, vocabulary, corpus_lines):
    write_tag_folder(tmp_path / "task", vocabulary, {"train": made_sentences(corpus_lines, 3)}, info_of())
    folder = TagFolder(tmp_path / "task", "train", 1000, 5)
    rows = TagRows(folder, "train")
    for samples in ([0], [5, 1, 9, 7], list(range(len(rows)))[::-1]):
        batch = rows.collater(samples)
        width = max(int(folder.sizes[i]) for i in samples)
        tokens, target = [], []
        for i in samples:
            ids, tags = (each.tolist() for each in folder.row(i))
            padding = width - len(ids) - 2
            tokens.append([BOS, *ids, EOS, *[PAD] * padding])
            target.append([-1, *tags, -1, *[-1] * padding])
        assert batch["net_input"]["src_tokens"].tolist() == tokens and batch["target"].tolist() == target
        assert batch["net_input"]["src_tokens"].dtype == batch["target"].dtype == torch.int64
        assert (
            batch["id"].tolist() == samples
            and batch["nsentences"] == len(samples)
            and batch["split"] == "train"
        )
        assert batch["ntokens"] == sum(token != PAD for row in tokens for token in row)
    assert rows.collater([]) == {}


GOOD = [Sentence(["a", "b"], [Entity("PER", 0, 1)], "train.conll, line 1")]


@pytest.mark.parametrize(
    ("splits", "info", "message"),
    [
        (
            {"train": GOOD, "valid": [*GOOD, Sentence(["c"], [Entity("LOC", 0, 1)], "dev.conll, line 9")]},
            info_of(),
            r"^dev\.conll, line 9: an entity 'LOC' in this sentence; train has PER$",
        ),
        (
            {"train": [Sentence(["c"], [], "train.conll, line 1")], "test": GOOD},
            info_of(),
            r"^train\.conll, line 1: an entity 'PER' in this sentence; train has none$",
        ),
        (
            {"train": GOOD},
            info_of(9, 1),
            "^--max-positions 9 and --stride 1: rows need 10 tokens, and a stride within them$",
        ),
        ({"train": GOOD}, info_of(24, 0), "^--max-positions 24 and --stride 0: rows need 10 tokens"),
        ({"train": GOOD}, info_of(24, 23), "^--max-positions 24 and --stride 23: rows need 10 tokens"),
    ],
    ids=[
        *["a type that train has not", "train has no type", "no room", "no stride"],
        "a stride longer than the row",
    ],
)
def test_write_tag_folder_refuses_bad_input_and_leaves_nothing(tmp_path, vocabulary, splits, info, message):
    with pytest.raises(InputError, match=message):
        write_tag_folder(tmp_path / "tasks" / "new", vocabulary, splits, info)
    assert not (tmp_path / "tasks").exists()


def test_write_tag_folder_takes_the_shortest_row_and_the_longest_stride(tmp_path, vocabulary):
    finished = write_tag_folder(
        tmp_path / "task", vocabulary, {"train": [Sentence(["a"] * 30, [], "")]}, info_of(10, 8)
    )
    assert finished.labels == ("O",) and finished.rows == {"train": 4} and finished.shortened == {"train": 1}


def test_write_tag_folder_leaves_a_used_folder_as_it_is(tmp_path, vocabulary):
    write_tag_folder(tmp_path / "task", vocabulary, {"train": GOOD}, info_of())
    before = {path: path.read_bytes() for path in (tmp_path / "task").rglob("*") if path.is_file()}
    assert {str(path.relative_to(tmp_path / "task")) for path in before} == {
        *("task.json", "input0/train.bin", "input0/train.idx", "input0/dict.txt", "input0/tokenizer.json"),
        *("label/train.bin", "label/train.idx", "label/dict.txt", "sentences/train.npy"),
    }
    with pytest.raises(InputError, match="task exists and is not empty; name a new folder"):
        write_tag_folder(tmp_path / "task", vocabulary, {"train": GOOD}, info_of())
    assert {path: path.read_bytes() for path in (tmp_path / "task").rglob("*") if path.is_file()} == before
    assert list(tmp_path.iterdir()) == [tmp_path / "task"]


def test_tag_folder_refuses_files_of_different_rows(tmp_path, vocabulary):
    for name, number in (("one", 3), ("two", 4)):
        write_tag_folder(tmp_path / name, vocabulary, {"train": GOOD * number}, info_of())
    shutil.copy(tmp_path / "two" / "sentences" / "train.npy", tmp_path / "one" / "sentences" / "train.npy")
    with pytest.raises(
        InputError,
        match="input0, label and sentences of train are not of the same rows; make the folder again",
    ):
        TagFolder(tmp_path / "one", "train", 1000, 3)
    (tmp_path / "one" / "sentences" / "train.npy").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"cannot read .*train\.npy"):
        TagFolder(tmp_path / "one", "train", 1000, 3)
    shutil.copy(tmp_path / "two" / "label" / "train.bin", tmp_path / "one" / "label" / "train.bin")
    (tmp_path / "two" / "sentences" / "train.npy").unlink()
    with pytest.raises(
        InputError, match=r"cannot read .*train\.npy .*; make the folder again with fairseq-electra prepare"
    ):
        TagFolder(tmp_path / "two", "train", 1000, 3)


def test_prepare_says_what_it_made_and_names_file_and_line_of_what_it_refuses(tmp_path, vocabulary):
    (tmp_path / "train.conll").write_text("Ada\tI-PER\nLovelace\tI-PER\nwrote\tO\n\n" + "word\tO\n" * 30)
    (tmp_path / "valid.conll").write_text("Ada\tI-PER\n\nIn\tO\nLondon\tI-LOC\n")
    own = ["--conll", "--scheme", "IOB1", "--max-positions", "16", "--train", tmp_path / "train.conll"]
    done = electra("prepare", "--vocab", vocabulary, "--destdir", tmp_path / "task", *own, "--bioes")
    assert f"{tmp_path}/task: train 2; 5 tags; 1 in several rows of 16 tokens" in done.stdout
    info = read_task_info(tmp_path / "task")
    assert (
        info.labels == ("O", "B-PER", "I-PER", "E-PER", "S-PER") and info.stride == 7 and info.name == "task"
    )
    refused = electra(
        *["prepare", "--vocab", vocabulary, "--destdir", tmp_path / "new"],
        *own,
        "--valid",
        tmp_path / "valid.conll",
        check=False,
    )
    assert refused.returncode == 1 and "Traceback" not in refused.stderr and not (tmp_path / "new").exists()
    assert (
        f"{tmp_path}/valid.conll, line 3: an entity 'LOC' in this sentence; train has PER" in refused.stderr
    )


def test_a_test_file_without_tags_is_prepared_and_never_scored(tmp_path, vocabulary):
    (tmp_path / "train.conll").write_text("Ada\tB-PER\nwrote\tO\n")
    (tmp_path / "test.conll").write_text("Ada\nwrote\n\nIt\n")
    given = ["--vocab", vocabulary, "--conll", "--train", tmp_path / "train.conll"]
    status, output, said = electra_here(
        "prepare", *given, "--destdir", tmp_path / "task", "--test", tmp_path / "test.conll"
    )
    assert status == 0 and "train 1, test 2; 3 tags; test has no tags; " in output, said
    info = read_task_info(tmp_path / "task")
    assert info.unlabelled == ("test",) and info.examples["test"] == 2
    scores = np.zeros((3, 3), dtype=np.float32)
    evaluation = evaluation_of(tmp_path / "task")
    assert evaluation.metrics("test", scores) is None and evaluation.metrics("train", scores[:2]) is not None
    task = types.SimpleNamespace(info=info, cfg=types.SimpleNamespace(data="DATA"))
    PreparedFolderTask.check_split(task, "train")
    with pytest.raises(
        InputError,
        match=r"^test of DATA has no labels; apply the model to its file with fairseq-electra predict$",
    ):
        PreparedFolderTask.check_split(task, "test")
    status, _, said = electra_here(
        "prepare", *given, "--destdir", tmp_path / "new", "--valid", tmp_path / "test.conll"
    )
    assert status == 1 and "test.conll, line 1: 'Ada' is not a word and a tag" in said
