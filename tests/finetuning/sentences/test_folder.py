import json
import random
import shutil
from dataclasses import asdict

import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.files.table import Columns
from fairseq_electra.finetuning.info import TaskInfo, read_task_info
from fairseq_electra.finetuning.recipes import Recipe, arguments
from fairseq_electra.finetuning.sentences import PREDICTION, RANKING
from fairseq_electra.finetuning.sentences.folder import (
    encode_texts,
    fit,
    rows_of,
    truncate,
    write_task_folder,
)
from fairseq_electra.finetuning.sentences.read import Example, read_examples
from fairseq_electra.finetuning.sentences.scores import examples_of, targets_of
from fairseq_electra.finetuning.trainable import trainable
from fairseq_electra.pretraining.binarized import load_dictionary
from fairseq_electra.pretraining.wordpiece import load_wordpiece
from tests.helpers.commands import electra

BOS, EOS, UNK = 0, 2, 3
LABELS = ("no", "yes", "not sure")
SINGLE = TaskInfo("single", PREDICTION, 1, LABELS, ("accuracy",), 16)
PAIR = TaskInfo("pair", PREDICTION, 2, LABELS, ("accuracy",), 24)
SCORES = TaskInfo("scores", PREDICTION, 2, (), ("pearson", "spearman"), 24)
CHOICES = TaskInfo("choices", RANKING, 5, (), ("accuracy",), 24)


def truncate_like_the_original(tokens_a, tokens_b, max_length):
    """Transcribed from google-research/electra: _truncate_seq_pair."""
    tokens_a, tokens_b = list(tokens_a), list(tokens_b)
    while True:
        total_length = len(tokens_a) + len(tokens_b)
        if total_length <= max_length:
            break
        if len(tokens_a) > len(tokens_b):
            tokens_a.pop()
        else:
            tokens_b.pop()
    return [tokens_a, tokens_b]


def random_texts(rng, number, longest):
    return [[rng.randrange(4, 900) for _ in range(rng.randrange(longest + 1))] for _ in range(number)]


def test_truncate_cuts_a_pair_as_the_original_does():
    rng = random.Random(1)
    for _ in range(2000):
        texts, room = random_texts(rng, 2, 40), rng.randrange(60)
        assert truncate(texts, room) == truncate_like_the_original(*texts, room)


def test_truncate_cuts_a_text_at_its_end_and_changes_no_argument():
    text = [5, 6, 7, 8]
    assert truncate([text], 3) == [[5, 6, 7]] and truncate([text], 4) == [text] and text == [5, 6, 7, 8]


@pytest.mark.parametrize("inputs", [1, 2])
def test_fit_fills_rows_of_one_or_two_sentences(inputs):
    rng = random.Random(inputs)
    for _ in range(500):
        texts, room = random_texts(rng, inputs, 50), rng.randrange(16, 60)
        kept = fit(texts, PREDICTION, room)
        (row,) = rows_of(kept, PREDICTION)
        whole = [text or [UNK] for text in texts]
        assert len(row) == min(room, 1 + inputs + sum(map(len, whole)))
        assert all(long[: len(short)] == short and short for short, long in zip(kept, whole, strict=True))


def test_fit_cuts_the_choices_of_a_multiple_choice_at_half_a_row():
    rng = random.Random(3)
    cut = {"context": 0, "choice": 0}
    for _ in range(500):
        texts, room = random_texts(rng, 5, 50), rng.randrange(16, 80)
        context, *choices = fit(texts, RANKING, room)
        rows = rows_of([context, *choices], RANKING)
        assert len(rows) == 4 and max(map(len, rows)) <= room
        assert all(
            row == [BOS, *choice, EOS, *context, EOS] for row, choice in zip(rows, choices, strict=True)
        )
        half = (room - 3) // 2
        assert choices == [(text or [UNK])[:half] for text in texts[1:]]
        whole = texts[0] or [UNK]
        assert context == whole[: len(context)]
        if len(context) < len(whole):
            assert max(map(len, rows)) == room and len(context) >= half
        cut["context"] += len(context) < len(whole)
        cut["choice"] += any(len(text) > half for text in texts[1:])
    assert min(cut.values()) > 100


def test_rows_of_have_s_at_the_start_and_an_end_after_each_text():
    assert rows_of([[7, 8]], PREDICTION) == [[0, 7, 8, 2]]
    assert rows_of([[7, 8], [9]], PREDICTION) == [[0, 7, 8, 2, 9, 2]]
    assert rows_of([[7, 8], [9], [10, 11]], RANKING) == [[0, 9, 2, 7, 8, 2], [0, 10, 11, 2, 7, 8, 2]]


def sentences(corpus_lines):
    """Some words of real text: from one to more than a row holds."""
    rng = random.Random(5)
    words = [word for line in corpus_lines[:200] for word in line.split()]
    while True:
        start = rng.randrange(len(words) - 40)
        yield " ".join(words[start : start + rng.randrange(1, 40)])


def make_examples(corpus_lines, info, label_of, number=40):
    texts = sentences(corpus_lines)
    examples = [
        Example(tuple(next(texts) for _ in range(info.inputs)), label_of(i), f"made, line {i}")
        for i in range(number)
    ]
    examples[3] = Example(("", *examples[3].texts[1:]), examples[3].label, examples[3].place)
    return examples


def expected_rows(vocabulary, examples, info):
    texts = encode_texts(load_wordpiece(vocabulary), [example.texts for example in examples])
    return [rows_of(fit(each, info.kind, info.max_positions), info.kind) for each in texts]


def fairseqs_batch(folder, split):
    """Return a split, in order, as one batch of fairseq's own task with the arguments of finetune."""
    from fairseq import options, tasks
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    given = [str(folder), "--model-size", "tiny", *arguments(read_task_info(folder), Recipe(1e-4), 1)]
    cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser(), given))
    task = tasks.setup_task(cfg.task)
    assert type(task).__module__.startswith("fairseq.tasks.")
    dataset = task.load_dataset(split)
    return dataset.collater([dataset[i] for i in range(len(dataset))])


def rows_in(net_input):
    return [
        row[:length].tolist()
        for row, length in zip(net_input["src_tokens"], net_input["src_lengths"], strict=True)
    ]


def assert_refused_without_labels(folder, split):
    with pytest.raises(
        InputError,
        match=f"^{split} of .* has no labels; apply the model to its file with fairseq-electra predict$",
    ):
        fairseqs_batch(folder, split)


@pytest.mark.parametrize("info", [SINGLE, PAIR], ids=lambda info: info.name)
def test_fairseqs_own_task_makes_the_rows_and_labels_of_sentences(tmp_path, vocabulary, corpus_lines, info):
    splits = {
        "train": make_examples(corpus_lines, info, lambda i: LABELS[i % 3]),
        "valid": make_examples(corpus_lines, info, lambda i: LABELS[i % 2 * 2], 7),
        "test": make_examples(corpus_lines, info, lambda i: None, 5),
    }
    finished = write_task_folder(tmp_path / "task", vocabulary, splits, info)
    assert finished == read_task_info(tmp_path / "task")
    assert finished.examples == {"train": 40, "valid": 7, "test": 5}
    size = len(load_dictionary(tmp_path / "task" / "input0"))
    for split, examples in splits.items():
        expected = expected_rows(vocabulary, examples, info)
        assert examples_of(tmp_path / "task", info, split, size) == expected
        assert max(len(row) for (row,) in expected) == info.max_positions
        if split == "test":
            assert_refused_without_labels(tmp_path / "task", split)
            continue
        batch = fairseqs_batch(tmp_path / "task", split)
        assert rows_in(batch["net_input"]) == [row for (row,) in expected]
        classes = [LABELS.index(example.label) for example in examples]
        assert (
            batch["target"].flatten().tolist()
            == classes
            == targets_of(tmp_path / "task", info, split).tolist()
        )


def test_fairseqs_own_task_reads_numbers_as_labels(tmp_path, vocabulary, corpus_lines):
    numbers = ["0.000", "5", "2.5e-1", "-1.25", "3_0.333"]
    splits = {
        split: make_examples(corpus_lines, SCORES, lambda i: numbers[i % 5], 10)
        for split in ("train", "valid")
    }
    write_task_folder(tmp_path / "task", vocabulary, splits, SCORES)
    batch = fairseqs_batch(tmp_path / "task", "valid")
    assert batch["target"].flatten().tolist() == pytest.approx([0, 5, 0.25, -1.25, 30.333] * 2)
    assert targets_of(tmp_path / "task", SCORES, "valid").tolist() == [0, 5, 0.25, -1.25, 30.333] * 2
    assert rows_in(batch["net_input"]) == [
        row for (row,) in expected_rows(vocabulary, splits["valid"], SCORES)
    ]


def test_fairseqs_own_task_makes_the_rows_and_labels_of_a_multiple_choice(tmp_path, vocabulary, corpus_lines):
    splits = {
        split: make_examples(corpus_lines, CHOICES, lambda i: str(i * 3 % 4), 20)
        for split in ("train", "valid")
    }
    splits["test"] = make_examples(corpus_lines, CHOICES, lambda i: None, 4)
    write_task_folder(tmp_path / "task", vocabulary, splits, CHOICES)
    size = len(load_dictionary(tmp_path / "task" / "input0"))
    for split, examples in splits.items():
        expected = expected_rows(vocabulary, examples, CHOICES)
        assert examples_of(tmp_path / "task", CHOICES, split, size) == expected
        if split == "test":
            assert_refused_without_labels(tmp_path / "task", split)
            continue
        batch = fairseqs_batch(tmp_path / "task", split)
        assert [
            list(rows) for rows in zip(*(rows_in(batch[f"net_input{i}"]) for i in (1, 2, 3, 4)), strict=True)
        ] == expected
        assert (
            batch["target"].tolist()
            == [i * 3 % 4 for i in range(20)]
            == targets_of(tmp_path / "task", CHOICES, split).tolist()
        )


def test_write_task_folder_adds_pairs_of_train_in_reverse(tmp_path, vocabulary, corpus_lines):
    splits = {
        split: make_examples(corpus_lines, PAIR, lambda i: LABELS[i % 3], 9) for split in ("train", "valid")
    }
    finished = write_task_folder(tmp_path / "task", vocabulary, splits, PAIR, double_unordered=True)
    assert finished.examples == {"train": 18, "valid": 9}
    turned = [Example((example.texts[1], example.texts[0]), example.label, "") for example in splits["train"]]
    batch = fairseqs_batch(tmp_path / "task", "train")
    assert rows_in(batch["net_input"]) == [
        row for (row,) in expected_rows(vocabulary, splits["train"] + turned, PAIR)
    ]
    assert batch["target"].flatten().tolist() == [i % 3 for i in range(9)] * 2
    assert rows_in(fairseqs_batch(tmp_path / "task", "valid")["net_input"]) == [
        row for (row,) in expected_rows(vocabulary, splits["valid"], PAIR)
    ]


@pytest.mark.parametrize("info", [SINGLE, CHOICES], ids=lambda info: info.name)
def test_write_task_folder_reverses_only_pairs(tmp_path, vocabulary, corpus_lines, info):
    splits = {"train": make_examples(corpus_lines, info, lambda i: "0" if info.choices else "no", 4)}
    with pytest.raises(
        InputError,
        match=f"--double-unordered is for pairs of sentences, and {info.name} has none; leave it out",
    ):
        write_task_folder(tmp_path / "task", vocabulary, splits, info, double_unordered=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("info", "split", "labels", "message"),
    [
        (
            SINGLE,
            "valid",
            ["no", "yes", "maybe"],
            "line 4: unknown label 'maybe'; known are no, not sure, yes; name all with --labels",
        ),
        (SINGLE, "train", ["No"], "line 2: unknown label 'No'; known are"),
        (SINGLE, "test", ["no", "4"], "line 3: unknown label '4'; known are"),
        (
            SCORES,
            "valid",
            ["1", "2.5", "high"],
            "line 4: the label 'high' is no number; leave out --regression for classes",
        ),
        (
            SCORES,
            "train",
            ["1", "nan"],
            "line 3: the label 'nan' is no number; leave out --regression for classes",
        ),
        (
            SCORES,
            "train",
            ["-inf"],
            "line 2: the label '-inf' is no number; leave out --regression for classes",
        ),
        (
            CHOICES,
            "train",
            ["0", "3", "4"],
            "line 4: unknown label '4'; known are 0, 1, 2, 3; name all with --labels",
        ),
        (CHOICES, "valid", ["-1"], "line 2: unknown label '-1'; known are 0, 1, 2, 3"),
    ],
)
def test_write_task_folder_names_the_line_of_a_bad_label_and_leaves_nothing(
    tmp_path, vocabulary, info, split, labels, message
):
    columns = Columns(tuple("abcde"[: info.inputs]), "label")
    path = tmp_path / "bad.tsv"
    path.write_text(
        "\t".join([*columns.texts, "label"])
        + "\n"
        + "".join("text\t" * info.inputs + label + "\n" for label in labels)
    )
    good = [
        Example(
            ("text",) * info.inputs, "0" if info.kind == RANKING or info.regression else "no", "good, line 1"
        )
    ]
    with pytest.raises(InputError) as caught:
        write_task_folder(
            tmp_path / "tasks" / "new", vocabulary, {"train": good, split: read_examples(path, columns)}, info
        )
    assert str(caught.value).startswith(f"{path}, {message}")
    assert not (tmp_path / "tasks").exists() or list((tmp_path / "tasks").iterdir()) == []


def test_write_task_folder_refuses_train_and_valid_without_labels(tmp_path, vocabulary):
    (tmp_path / "a.tsv").write_text("a\nfirst\nsecond\n")
    examples = read_examples(tmp_path / "a.tsv", Columns(("a",)))
    for split in ("train", "valid", "valid1"):
        with pytest.raises(InputError) as caught:
            write_task_folder(tmp_path / "task", vocabulary, {split: examples}, SINGLE)
        assert (
            str(caught.value)
            == f"{tmp_path}/a.tsv, line 2: no label; only splits named test... may lack them"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["a.tsv"]


def test_write_task_folder_names_an_example_with_another_number_of_texts(tmp_path, vocabulary):
    examples = [Example(("a", "b"), "no", "x.tsv, line 2"), Example(("a",), "no", "x.tsv, line 3")]
    with pytest.raises(InputError, match=r"^x\.tsv, line 3: 1 texts where 2 are expected$"):
        write_task_folder(tmp_path / "task", vocabulary, {"train": examples}, PAIR)


def test_prepare_refuses_f1_of_more_than_two_classes(tmp_path, vocabulary):
    (tmp_path / "a.tsv").write_text("text\tlabel\nA\tno\nB\tyes\nC\tmaybe\n")
    own = ["--text", "text", "--label", "label", "--train", tmp_path / "a.tsv", "--metrics", "accuracy", "f1"]
    done = electra("prepare", "--vocab", vocabulary, "--destdir", tmp_path / "task", *own, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "--metrics f1 is for two classes, and there are 3: maybe, no, yes; use macro_f1" in done.stderr
    assert not (tmp_path / "task").exists()


@pytest.mark.parametrize("positions", [15, 65536])
def test_write_task_folder_refuses_a_length_out_of_bounds(tmp_path, vocabulary, positions):
    info = TaskInfo("single", PREDICTION, 1, LABELS, ("accuracy",), positions)
    with pytest.raises(
        InputError, match=f"--max-positions must lie between 16 and 65535, got {positions}; ELECTRA uses 128"
    ):
        write_task_folder(tmp_path / "task", vocabulary, {"train": [Example(("a",), "no", "")]}, info)


def test_write_task_folder_fills_an_empty_folder_and_leaves_a_used_one(tmp_path, vocabulary):
    splits = {"train": [Example(("a",), "no", "")]}
    folder = tmp_path / "task"
    folder.mkdir()
    write_task_folder(folder, vocabulary, splits, SINGLE)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {str(path.relative_to(folder)) for path in before} == {
        *("task.json", "input0/train.bin", "input0/train.idx", "input0/dict.txt", "input0/tokenizer.json"),
        *("label/train.bin", "label/train.idx", "label/dict.txt"),
    }
    with pytest.raises(InputError, match="task exists and is not empty; name a new folder"):
        write_task_folder(folder, vocabulary, splits, SINGLE)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert list(tmp_path.iterdir()) == [folder]


def test_write_task_folder_refuses_a_vocabulary_without_its_dictionary(tmp_path, vocabulary):
    shutil.copytree(vocabulary, tmp_path / "vocab")
    (tmp_path / "vocab" / "dict.txt").unlink()
    with pytest.raises(
        InputError, match=r"no dict\.txt in .*vocab; make one with: fairseq-electra vocab --output"
    ):
        write_task_folder(
            tmp_path / "task", tmp_path / "vocab", {"train": [Example(("a",), "no", "")]}, SINGLE
        )
    assert not (tmp_path / "task").exists()


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"labels": [], "metrics": []}', "{not json"])
def test_read_task_info_names_a_damaged_file(tmp_path, damage):
    with pytest.raises(InputError, match=r"no .*/task\.json; make the folder with fairseq-electra prepare"):
        read_task_info(tmp_path)
    (tmp_path / "task.json").write_text(damage)
    with pytest.raises(
        InputError, match=r"/task\.json is damaged \(.*\); make the folder again with fairseq-electra prepare"
    ):
        read_task_info(tmp_path)


def test_task_info_tells_numbers_from_choices():
    found = {info.name: (info.regression, info.choices) for info in (SINGLE, PAIR, SCORES, CHOICES)}
    assert found == {"single": (False, 0), "pair": (False, 0), "scores": (True, 0), "choices": (False, 4)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "../../../victim"}, "the name '../../../victim' leads out of the folder"),
        ({"name": "/tmp/victim"}, "the name '/tmp/victim'"),
        ({"name": ".."}, "the name '..'"),
        ({"name": 3}, "the name 3"),
        ({"examples": {"train": 3, "../valid": 3}}, "the split '../valid'"),
        ({"rows": {"..": 3}}, "the split '..'"),
    ],
)
def test_read_task_info_refuses_names_that_lead_out_of_the_folder(tmp_path, change, said):
    values = asdict(SINGLE) | {"examples": {"train": 3, "valid": 3}}
    (tmp_path / "task.json").write_text(json.dumps(values))
    assert read_task_info(tmp_path).name == "single"
    (tmp_path / "task.json").write_text(json.dumps(values | change))
    with pytest.raises(InputError) as refused:
        trainable(tmp_path)
    assert said in str(refused.value) and "damaged" not in str(refused.value)
