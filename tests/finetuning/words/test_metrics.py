"""Scores of tags against seqeval called apart from the package, and against conlleval."""

import itertools

import numpy as np
import pytest
import torch
from seqeval.metrics import accuracy_score, f1_score, precision_score, recall_score

from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.kinds import evaluation_of
from fairseq_electra.finetuning.words import TAGGING
from fairseq_electra.finetuning.words.folder import TagFolder, write_tag_folder
from fairseq_electra.finetuning.words.metrics import (
    in_order,
    score_split,
    score_tags,
    tags_of_words,
    word_scores,
)
from fairseq_electra.finetuning.words.read import Sentence
from fairseq_electra.finetuning.words.tags import (
    BILOU,
    BIO,
    BIOES,
    BMES,
    TAG_METRICS,
    Entity,
    all_tags,
    entities_of,
    legal_transitions,
    tags_of,
)

LABELS = all_tags(("a", "b"), BIO)


def start_of_chunk(before, tag, type_before, kind):
    """Transcribed from CoNLL 2003's conlleval: startOfChunk, but for E and brackets."""
    start = (before, tag) in (("B", "B"), ("I", "B"), ("O", "B"), ("O", "I"))
    return start or (tag != "O" and type_before != kind)


def end_of_chunk(before, tag, type_before, kind):
    """Transcribed from CoNLL 2003's conlleval: endOfChunk, but for E and brackets."""
    end = (before, tag) in (("B", "B"), ("B", "O"), ("I", "B"), ("I", "O"))
    return end or (before != "O" and type_before != kind)


def conlleval(gold, found):
    """Transcribed from CoNLL 2003's conlleval: its loop over lines, where a sentence ends with O."""
    correct_chunk = found_correct = found_guessed = correct_tags = tokens = 0
    in_correct = False
    last = last_guessed = ("O", "")
    for sentence in zip(gold, found, strict=True):
        for i, (tag, guess) in enumerate(zip(*([*tags, "O"] for tags in sentence), strict=True)):
            boundary = i == len(sentence[0])
            correct, guessed = (each.partition("-")[::2] for each in (tag, guess))
            ends, guess_ends = (
                end_of_chunk(b[0], n[0], b[1], n[1]) for b, n in ((last, correct), (last_guessed, guessed))
            )
            starts, guess_starts = (
                start_of_chunk(b[0], n[0], b[1], n[1]) for b, n in ((last, correct), (last_guessed, guessed))
            )
            if in_correct:
                if ends and guess_ends and last_guessed[1] == last[1]:
                    in_correct = False
                    correct_chunk += 1
                elif ends != guess_ends or guessed[1] != correct[1]:
                    in_correct = False
            if starts and guess_starts and guessed[1] == correct[1]:
                in_correct = True
            found_correct += starts
            found_guessed += guess_starts
            if not boundary:
                correct_tags += correct == guessed
                tokens += 1
            last, last_guessed = correct, guessed
    precision = 100 * correct_chunk / found_guessed if found_guessed else 0
    recall = 100 * correct_chunk / found_correct if found_correct else 0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0
    return {
        "entity_f1": f1,
        "entity_precision": precision,
        "entity_recall": recall,
        "accuracy": 100 * correct_tags / tokens,
    }


def seqeval(gold, found):
    functions = {"entity_f1": f1_score, "entity_precision": precision_score, "entity_recall": recall_score}
    scores = {name: 100 * function(gold, found, zero_division=0) for name, function in functions.items()}
    return scores | {"accuracy": 100 * accuracy_score(gold, found)}


def ours(gold, found, labels):
    sentence = np.repeat(np.arange(len(gold)), [len(tags) for tags in gold])
    found, target = (
        np.array([labels.index(tag) for tags in sentences for tag in tags]) for sentences in (found, gold)
    )
    return score_tags(found, target, sentence, labels)


@pytest.mark.parametrize(
    ("gold", "found", "f1"),
    [
        (["B-a I-a O B-b"], ["B-a I-a O B-b"], 100),
        (["B-a I-a O"], ["I-a I-a O"], 100),  # without its B it can be read all the same
        (["B-a I-a O"], ["B-a O O"], 0),
        (["B-a I-a O"], ["B-b I-b O"], 0),
        (["B-a I-a I-a"], ["B-a I-b I-a"], 0),
        (["B-a B-a O"], ["B-a I-a O"], 0),
        (["B-a I-a O"], ["B-a B-a O"], 0),
        (["B-a B-a O"], ["B-a B-a O"], 100),
        (["B-a B-b O"], ["I-a I-b O"], 100),
        (["B-a B-b I-b"], ["B-a I-b I-b"], 100),
        (["B-a I-a I-a"], ["O I-a O"], 0),
        (["B-a I-a B-a"], ["B-a I-a I-a"], 0),
        (["B-a I-a O B-a O"], ["B-a I-a O O B-b"], 50),
        (["B-a O O O", "B-b O O O"], ["B-a O B-a O", "O O O O"], 50),
        (["O B-a", "I-a O"], ["O B-a", "I-a O"], 100),
        (["O B-a", "B-a O"], ["O B-a", "I-a O"], 100),  # an entity ends with its sentence
        (["O O O"], ["O O O"], 0),
        (["O O O"], ["B-a O O"], 0),
        (["B-a O O"], ["O O O"], 0),
        (["B-a"], ["B-a"], 100),
    ],
)
def test_score_tags_of_hard_cases_is_that_of_seqeval_and_conlleval(gold, found, f1):
    gold, found = ([tags.split() for tags in each] for each in (gold, found))
    scores = ours(gold, found, LABELS)
    assert scores == pytest.approx(seqeval(gold, found)) and scores == pytest.approx(conlleval(gold, found))
    assert scores["entity_f1"] == pytest.approx(f1)
    assert all(type(value) is float for value in scores.values())


def random_tags(rng, labels, likely):
    return [
        rng.choice(labels, p=likely, size=rng.integers(1, 12)).tolist() for _ in range(rng.integers(1, 20))
    ]


def changed(rng, labels, sentences, share):
    return [[str(rng.choice(labels)) if rng.random() < share else tag for tag in tags] for tags in sentences]


@pytest.mark.parametrize("share", [0.02, 0.3, 1.0])
def test_score_tags_of_random_tags_is_that_of_seqeval_and_conlleval(share):
    rng = np.random.default_rng(1)
    different = set()
    for _ in range(100):
        gold = random_tags(rng, LABELS, [0.4, 0.15, 0.15, 0.15, 0.15])
        found = changed(rng, LABELS, gold, share)
        scores = ours(gold, found, LABELS)
        assert scores == pytest.approx(seqeval(gold, found)) and scores == pytest.approx(
            conlleval(gold, found)
        )
        different.add(round(scores["entity_f1"], 3))
    assert len(different) > 10


def random_sentences(rng, number):
    """Lengths and entities."""
    found = []
    for _ in range(number):
        length, first, entities = int(rng.integers(1, 12)), 0, []
        while first < length:
            end = min(length, first + int(rng.integers(1, 4)))
            if rng.random() < 0.5:
                entities.append(Entity(str(rng.choice(["a", "b"])), first, end))
            first = end
        found.append((length, entities))
    return found


@pytest.mark.parametrize("scheme", [BIO, BIOES])
def test_score_tags_of_legal_tags_counts_entities(scheme):
    rng, labels = np.random.default_rng(2), all_tags(("a", "b"), scheme)
    for _ in range(50):
        gold = random_sentences(rng, 10)
        found = [
            (length, entities if rng.random() < 0.5 else random_sentences(rng, 1)[0][1])
            for length, entities in gold
        ]
        found = [
            (length, [entity for entity in entities if entity.end <= length]) for length, entities in found
        ]
        right = sum(len(set(one) & set(other)) for (_, one), (_, other) in zip(gold, found, strict=True))
        written = [[tags_of(entities, length, scheme) for length, entities in each] for each in (gold, found)]
        scores = ours(*written, labels)
        assert scores == pytest.approx(seqeval(*written))
        number, number_found = (sum(len(entities) for _, entities in each) for each in (gold, found))
        assert scores["entity_f1"] == pytest.approx(200 * right / (number + number_found))
        assert scores["entity_recall"] == pytest.approx(100 * right / number)


def test_score_tags_of_broken_bioes_is_that_of_seqeval():
    rng, labels = np.random.default_rng(3), all_tags(("a", "b"), BIOES)
    for _ in range(50):
        gold = [tags_of(entities, length, BIOES) for length, entities in random_sentences(rng, 10)]
        found = changed(rng, labels, gold, 0.2)
        assert ours(gold, found, labels) == pytest.approx(seqeval(gold, found))


@pytest.mark.parametrize("scheme", [BILOU, BMES])
def test_score_tags_of_bilou_and_bmes_is_that_of_bioes(scheme):
    rng = np.random.default_rng(8)
    gold = [tags_of(entities, length, BIOES) for length, entities in random_sentences(rng, 10)]
    labels, spelt = all_tags(("a", "b"), BIOES), all_tags(("a", "b"), scheme)
    found = changed(rng, labels, gold, 0.2)
    other = [
        [[spelt[labels.index(tag)] for tag in tags] for tags in sentences] for sentences in (gold, found)
    ]
    scores = ours(*other, spelt)
    assert (
        scores == ours(gold, found, labels) == pytest.approx(seqeval(gold, found))
        and 0 < scores["entity_f1"] < 100
    )


@pytest.mark.filterwarnings("error")
def test_score_tags_without_entities_warns_of_nothing():
    assert ours([["O"]], [["O"]], LABELS) == {
        "entity_f1": 0,
        "entity_precision": 0,
        "entity_recall": 0,
        "accuracy": 100,
    }


def test_in_order_sorts_words_of_rows_in_any_order():
    rng = np.random.default_rng(4)
    words = np.array(
        [[row, column, row, column, row * column] for row in range(40) for column in range(1, 300, 7)],
        dtype=np.float32,
    )
    for _ in range(5):
        assert np.array_equal(in_order(rng.permutation(words)), words[:, 2:])


@pytest.mark.parametrize("scheme", [BIO, BIOES])
def test_tags_of_words_decodes_each_sentence_alone(scheme):
    rng, labels = np.random.default_rng(5), all_tags(("a",), scheme)
    lengths = [3, 1, 4, 2, 1]
    scores = rng.normal(size=(sum(lengths), len(labels))).astype(np.float32)
    sentence = np.repeat([0, 2, 3, 7, 8], lengths)
    found = tags_of_words(scores, sentence, legal_transitions(labels))
    assert tags_of_words(scores, sentence).tolist() == scores.argmax(1).tolist()
    assert found.tolist() != scores.argmax(1).tolist()
    first = 0
    for length in lengths:
        best, best_sum = (), -np.inf
        for tags in itertools.product(range(len(labels)), repeat=length):
            total = sum(float(scores[first + i, tag]) for i, tag in enumerate(tags))
            if total > best_sum and is_readable([labels[tag] for tag in tags], scheme):
                best, best_sum = tags, total
        assert found[first : first + length].tolist() == list(best)
        first += length


def is_readable(tags, scheme):
    try:
        entities_of(tags, scheme)
    except ValueError:
        return False
    return True


def test_tags_of_words_of_nothing_is_empty():
    assert tags_of_words(np.zeros((0, 5)), np.zeros(0), legal_transitions(LABELS)).tolist() == []


@pytest.fixture
def folder(tmp_path, vocabulary, corpus_lines):
    """Twelve sentences, the longest of them in several rows."""
    rng = np.random.default_rng(6)
    words = [word for line in corpus_lines[:100] for word in line.split()]
    sentences = [Sentence(words[:60], [Entity("b", 4, 6), Entity("b", 6, 7), Entity("a", 30, 50)], "")]
    sentences += [
        Sentence(words[60 + 12 * i :][:length], entities, "")
        for i, (length, entities) in enumerate(random_sentences(rng, 11))
    ]
    info = TaskInfo("tags", TAGGING, 1, (), TAG_METRICS, 24, stride=8)
    finished = write_tag_folder(tmp_path / "task", vocabulary, {"train": sentences, "valid": sentences}, info)
    assert finished.shortened["valid"] >= 1 and finished.rows["valid"] > 14
    return tmp_path / "task", finished, sentences


def test_score_split_scores_best_tags_and_best_legal_sequences(folder):
    place, info, sentences = folder
    gold = [tags_of(each.entities, len(each.words), BIO) for each in sentences]
    bounds = np.cumsum([len(tags) for tags in gold])[:-1]
    rng = np.random.default_rng(7)
    scores = rng.normal(size=(sum(map(len, gold)), len(info.labels))).astype(np.float32)
    scores[np.arange(len(scores)), [info.labels.index(tag) for tags in gold for tag in tags]] += 1.5
    metrics = score_split(TagFolder(place, "valid", 1000, len(info.labels)), scores, info.labels)
    assert metrics == evaluation_of(place).metrics("valid", scores)
    assert set(metrics) == set(TAG_METRICS)
    plain = [[info.labels[tag] for tag in part.argmax(1)] for part in np.split(scores, bounds)]
    assert {name: metrics[name] for name in TAG_METRICS if name != "legal_f1"} == pytest.approx(
        seqeval(gold, plain)
    )
    legal = [
        [info.labels[tag] for tag in tags_of_words(part, np.zeros(len(part)), legal_transitions(info.labels))]
        for part in np.split(scores, bounds)
    ]
    assert all(is_readable(tags, BIO) for tags in legal) and not all(is_readable(tags, BIO) for tags in plain)
    assert metrics["legal_f1"] == pytest.approx(seqeval(gold, legal)["entity_f1"])
    assert metrics["legal_f1"] != metrics["entity_f1"]
    perfect = score_split(
        TagFolder(place, "valid", 1000, len(info.labels)),
        np.eye(len(info.labels), dtype=np.float32)[[info.labels.index(tag) for tags in gold for tag in tags]],
        info.labels,
    )
    assert perfect == dict.fromkeys(TAG_METRICS, 100.0)


def test_word_scores_are_log_probabilities_with_row_and_column():
    scores = torch.randn(3, 6, 5)
    target = torch.full((3, 6), -1)
    places = [(0, 1), (0, 4), (2, 2)]
    for row, column in places:
        target[row, column] = 3
    batch = {"id": torch.tensor([70_001, 4, 16_000_001]), "net_input": {}, "target": target}
    found = word_scores(
        lambda classification_head_name: (scores if classification_head_name == "tags" else None, {}),
        "tags",
        batch,
    )
    assert found[:, :2].tolist() == [[70_001, 1], [70_001, 4], [16_000_001, 2]]
    expected = torch.stack([scores[place] for place in places])
    assert (found[:, 2:] - (expected - expected.exp().sum(1, keepdim=True).log())).abs().max() < 1e-5


@pytest.mark.parametrize(("column", "constant"), [([0, 0, 0], True), ([0, 1, 0], False), ([2, 2, 2], True)])
def test_is_constant_if_all_words_have_one_tag(folder, column, constant):
    assert evaluation_of(folder[0]).is_constant(np.eye(5, dtype=np.float32)[column * 4]) is constant


def test_merge_of_several_models_is_the_mean(folder):
    several = [np.random.default_rng(i).normal(size=(4, 5)) for i in range(3)]
    assert np.allclose(evaluation_of(folder[0]).merge(several), sum(several) / 3)
