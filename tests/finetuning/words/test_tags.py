"""Entities and tags, both ways, against what can be worked out by hand or by trying everything."""

import itertools
import random

import numpy as np
import pytest

from fairseq_electra.finetuning.words.tags import (
    BILOU,
    BIO,
    BIOES,
    BMES,
    IOB1,
    NONE,
    PREFIXES,
    SCHEMES,
    WITH_ENDS,
    Entity,
    TagError,
    all_tags,
    decode,
    entities_of,
    in_bioes,
    legal_transitions,
    scheme_of,
    tags_of,
)

TYPES = ("LOC", "PER-son", "x")


def random_entities(rng, length):
    """Often side by side, often of one word, now and then all of the sentence."""
    if rng.random() < 0.1:
        return [Entity(rng.choice(TYPES), 0, length)]
    found, first = [], 0
    while first < length:
        end = min(length, first + rng.choice([1, 1, 2, 3]))
        if rng.random() < 0.6:
            found.append(Entity(rng.choice(TYPES), first, end))
        first = end
    return found


@pytest.mark.parametrize("scheme", [scheme for scheme in SCHEMES if scheme != NONE])
def test_entities_of_inverts_tags_of(scheme):
    rng = random.Random(1)
    seen = {
        "adjacent, same type": 0,
        "adjacent, other type": 0,
        "one word": 0,
        "whole sentence": 0,
        "none": 0,
    }
    for _ in range(2000):
        length = rng.randrange(1, 12)
        entities = random_entities(rng, length)
        tags = tags_of(entities, length, scheme)
        assert len(tags) == length and set(tags) <= set(all_tags(TYPES, scheme))
        assert entities_of(tags, scheme) == entities
        assert tags_of(entities_of(tags, scheme), length, scheme) == tags
        for one, two in itertools.pairwise(entities):
            seen["adjacent, same type"] += one.end == two.first and one.type == two.type
            seen["adjacent, other type"] += one.end == two.first and one.type != two.type
        seen["one word"] += any(entity.end - entity.first == 1 for entity in entities)
        seen["whole sentence"] += entities == [Entity(entities[0].type, 0, length)] if entities else 0
        seen["none"] += not entities
    assert min(seen.values()) > 50, seen


@pytest.mark.parametrize(
    ("entities", "bio", "iob1", "bioes"),
    [
        ([], "O O O", "O O O", "O O O"),
        ([("a", 0, 3)], "B-a I-a I-a", "I-a I-a I-a", "B-a I-a E-a"),
        ([("a", 1, 2)], "O B-a O", "O I-a O", "O S-a O"),
        ([("a", 0, 1), ("a", 1, 3)], "B-a B-a I-a", "I-a B-a I-a", "S-a B-a E-a"),
        ([("a", 0, 2), ("a", 2, 3)], "B-a I-a B-a", "I-a I-a B-a", "B-a E-a S-a"),
        ([("a", 0, 1), ("b", 1, 3)], "B-a B-b I-b", "I-a I-b I-b", "S-a B-b E-b"),
        ([("a", 0, 1), ("b", 1, 2), ("b", 2, 3)], "B-a B-b B-b", "I-a I-b B-b", "S-a S-b S-b"),
        ([("a", 0, 1), ("a", 2, 3)], "B-a O B-a", "I-a O I-a", "S-a O S-a"),
        (
            [("two-part", 0, 2)],
            "B-two-part I-two-part O",
            "I-two-part I-two-part O",
            "B-two-part E-two-part O",
        ),
    ],
    ids=range(9),
)
def test_entities_of_and_tags_of_agree_with_tags_written_by_hand(entities, bio, iob1, bioes):
    entities = [Entity(*each) for each in entities]
    # types here are in small letters
    spelt = {BILOU: str.maketrans("ES", "LU"), BMES: str.maketrans("I", "M")}
    with_ends = {scheme: bioes.translate(letters) for scheme, letters in spelt.items()}
    for scheme, tags in {BIO: bio, IOB1: iob1, BIOES: bioes, **with_ends}.items():
        assert tags_of(entities, 3, scheme) == tags.split()
        assert entities_of(tags.split(), scheme) == entities


def test_entities_of_iob1_takes_a_b_anywhere():
    assert entities_of("B-a I-a O B-b B-b".split(), IOB1) == [
        Entity("a", 0, 2),
        Entity("b", 3, 4),
        Entity("b", 4, 5),
    ]
    assert entities_of([], BIO) == []


@pytest.mark.parametrize(
    ("scheme", "tags", "index", "message"),
    [
        (
            BIO,
            "O I-a",
            1,
            (
                "a stray 'I-a': no entity of type 'a' is open, the tag before it is 'O'; in BIO one begins"
                " with B-a: write that, or give --scheme IOB1, which lets it begin an entity"
            ),
        ),
        (
            BIO,
            "I-a",
            0,
            "a stray 'I-a': no entity of type 'a' is open, it is the first of its sentence; in BIO",
        ),
        (BIO, "B-a I-b", 1, "a stray 'I-b': no entity of type 'b' is open, the tag before it is 'B-a'"),
        (BIO, "B-a O I-a", 2, "a stray 'I-a'"),
        (
            BIO,
            "B-a E-a",
            1,
            (
                "unknown tag 'E-a'; BIO has O, B-TYPE, I-TYPE; 'E-a' is of BIOES or BMES: give --scheme BIOES"
                " if the file is"
            ),
        ),
        (
            BIO,
            "U-a",
            0,
            (
                "unknown tag 'U-a'; BIO has O, B-TYPE, I-TYPE; 'U-a' is of BILOU: give --scheme BILOU if the"
                " file is"
            ),
        ),
        (
            BIO,
            "NOUN",
            0,
            (
                "unknown tag 'NOUN'; BIO has O, B-TYPE, I-TYPE; give --scheme none for tags that are not"
                " those of entities"
            ),
        ),
        (BIO, "O O S-a", 2, "unknown tag 'S-a'"),
        (BIO, "O X-a", 1, "unknown tag 'X-a'"),
        (BIO, "B", 0, "unknown tag 'B'"),
        (BIO, "O B-", 1, "unknown tag 'B-'"),
        (BIO, "-a", 0, "unknown tag '-a'"),
        (BIO, "o", 0, "unknown tag 'o'"),
        (BIO, "O-a", 0, "unknown tag 'O-a'"),
        (BIO, "b-a", 0, "unknown tag 'b-a'"),
        (BIO, "O BI-a", 1, "unknown tag 'BI-a'"),
        (IOB1, "IB-a", 0, "unknown tag 'IB-a'; IOB1 has O, I-TYPE, B-TYPE"),
        (IOB1, "I-a S-a", 1, "unknown tag 'S-a'"),
        (BIOES, "IES-a", 0, "unknown tag 'IES-a'; BIOES has O, B-TYPE, I-TYPE, E-TYPE, S-TYPE"),
        (
            BIOES,
            "E-a",
            0,
            (
                "a stray 'E-a': no entity of type 'a' is open, it is the first of its sentence; in BIOES one"
                " begins with B-a: write that"
            ),
        ),
        (BIOES, "O I-a E-a", 1, "a stray 'I-a'"),
        (BIOES, "S-a E-a", 1, "a stray 'E-a'"),
        (BIOES, "B-a E-a I-a", 2, "a stray 'I-a'"),
        (BILOU, "B-a O", 1, "the entity before 'O' has no end; in BILOU it ends with L-a"),
        (BILOU, "U-a L-a", 1, "a stray 'L-a'"),
        (BILOU, "B-a E-a", 1, "unknown tag 'E-a'; BILOU has O, B-TYPE, I-TYPE, L-TYPE, U-TYPE"),
        (BMES, "S-a M-a", 1, "a stray 'M-a'"),
        (
            BMES,
            "B-a I-a",
            1,
            (
                "unknown tag 'I-a'; BMES has O, B-TYPE, M-TYPE, E-TYPE, S-TYPE; 'I-a' is of BIO or IOB1 or"
                " BIOES or BILOU"
            ),
        ),
        (BIOES, "O B-a", 1, "the entity before 'O' has no end; in BIOES it ends with E-a"),
        (BIOES, "B-a I-a", 1, "the entity before 'O' has no end"),
        (BIOES, "B-a O", 1, "the entity before 'O' has no end"),
        (BIOES, "B-a S-a", 1, "the entity before 'S-a' has no end"),
        (BIOES, "B-a I-a B-a E-a", 2, "the entity before 'B-a' has no end; in BIOES it ends with E-a"),
        (BIOES, "B-a E-b", 1, "the entity before 'E-b' has no end; in BIOES it ends with E-a"),
        (BIOES, "B-a I-b E-b", 1, "the entity before 'I-b' has no end"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 16 else "",
)
def test_entities_of_refuses_a_broken_sequence_with_its_word(scheme, tags, index, message):
    with pytest.raises(TagError) as caught:
        entities_of(tags.split(), scheme)
    assert str(caught.value).startswith(message)
    assert caught.value.index == index


def is_readable(tags, scheme):
    try:
        entities_of(tags, scheme)
    except TagError:
        return False
    return True


def is_legal(tags, transitions):
    """Of numbers of tags."""
    follow = all(transitions.follow[a, b] for a, b in itertools.pairwise(tags))
    return bool(transitions.begin[tags[0]] and follow and transitions.end[tags[-1]])


@pytest.mark.parametrize("types", [(), ("a",), ("a", "b")], ids=["no type", "one type", "two types"])
@pytest.mark.parametrize("scheme", [BIO, *WITH_ENDS])
def test_legal_transitions_allow_exactly_the_readable_sequences(scheme, types):
    labels = all_tags(types, scheme)
    transitions = legal_transitions(labels)
    for length in (1, 2, 3, 4):
        for tags in itertools.product(range(len(labels)), repeat=length):
            assert is_legal(tags, transitions) == is_readable([labels[tag] for tag in tags], scheme), tags


@pytest.mark.parametrize("types", [("a",), ("a", "b")], ids=["one type", "two types"])
@pytest.mark.parametrize("scheme", [BIO, *WITH_ENDS])
def test_decode_finds_the_legal_sequence_with_the_largest_sum(scheme, types):
    labels = all_tags(types, scheme)
    transitions = legal_transitions(labels)
    rng = np.random.default_rng(1)
    changed = 0
    for length in (1, 2, 3, 4):
        every = np.array(list(itertools.product(range(len(labels)), repeat=length)))
        legal = every[[is_legal(tags, transitions) for tags in every.tolist()]]
        for _ in range(50):
            scores = rng.normal(size=(length, len(labels))).astype(np.float32)
            found = decode(scores, transitions)
            sums = scores.astype(np.float64)[np.arange(length), legal].sum(1)
            assert found.dtype == np.int64 and found.tolist() == legal[sums.argmax()].tolist()
            changed += found.tolist() != scores.argmax(1).tolist()
    assert changed > 50


@pytest.mark.parametrize("scheme", [BIO, *WITH_ENDS])
def test_decode_leaves_a_legal_sequence_as_it_is(scheme):
    labels, rng = all_tags(TYPES, scheme), random.Random(2)
    for _ in range(100):
        length = rng.randrange(1, 40)
        tags = [labels.index(tag) for tag in tags_of(random_entities(rng, length), length, scheme)]
        assert (
            decode(
                np.log(np.eye(len(labels), dtype=np.float32)[tags] + 1e-3), legal_transitions(labels)
            ).tolist()
            == tags
        )


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        ("O", BIO),
        ("O B-a I-a B-b", BIO),
        ("B-a I-a E-a S-a O", BIOES),
        ("O E-a I-a B-a", BIOES),
        ("B-LOC B-MISC I-LOC I-MISC I-PER O", IOB1),
        ("NOUN VERB", None),
        ("LABEL_0 LABEL_1", None),
        ("O B-a L-a", BILOU),
        ("U-a O", BILOU),
        ("O B-a M-a E-a S-a", BMES),
        ("B-a L-a E-a", None),
        ("O B-", None),
    ],
)
def test_scheme_of_tells_the_scheme_by_the_tags(tags, scheme):
    tags = tags.split()
    assert scheme_of(tags) == scheme
    if scheme not in (BIO, *WITH_ENDS):
        assert all(each.all() for each in legal_transitions(tags))


def test_entities_of_without_a_scheme_keep_tags_as_they_are():
    tags = "DET NOUN NOUN O B-x".split()
    entities = entities_of(tags, NONE)
    assert (
        entities == [Entity(tag, i, i + 1) for i, tag in enumerate(tags)]
        and tags_of(entities, 5, NONE) == tags
    )
    assert all_tags(("DET", "NOUN"), NONE) == ("DET", "NOUN")


@pytest.mark.parametrize("scheme", WITH_ENDS)
def test_in_bioes_spells_bilou_and_bmes_as_bioes(scheme):
    assert in_bioes(all_tags(TYPES, scheme)) == list(all_tags(TYPES, BIOES))
    for other in (all_tags(TYPES, BIO), ("NOUN", "L-x", "E-x")):
        assert in_bioes(other) == list(other)
    entities = random_entities(random.Random(3), 20)
    assert (
        entities_of(
            in_bioes(tags_of(entities, 20, scheme) + [f"{p}-q" for p in PREFIXES[scheme]])[:20], BIOES
        )
        == entities
    )
