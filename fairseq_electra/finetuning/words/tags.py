"""Tags of words: entities in five schemes, read and written, which tag may follow which, and other tags."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fairseq_electra.errors import shortened

BIO, IOB1, BIOES, BILOU, BMES = "BIO", "IOB1", "BIOES", "BILOU", "BMES"
# tags as they are, such as parts of speech: each word is an entity of its own, whose type is the tag
NONE = "none"
SCHEMES = (BIO, IOB1, BIOES, BILOU, BMES, NONE)
# IOB1 begins an entity with I; with B only right behind another of its type
PREFIXES = {
    BIO: ("B", "I"),
    IOB1: ("I", "B"),
    BIOES: tuple("BIES"),
    BILOU: tuple("BILU"),
    BMES: tuple("BMES"),
}
# one scheme in three spellings: first word, words within, last word, only word
WITH_ENDS = (BIOES, BILOU, BMES)
OUTSIDE = "O"
TAG_METRICS = ("entity_f1", "legal_f1", "entity_precision", "entity_recall", "accuracy")
PLAIN_TAG_METRICS = ("accuracy", "macro_f1")  # of tags that are not those of entities


class Entity(NamedTuple):
    """Words from ``first`` to ``end``, exclusive, of one type."""

    type: str
    first: int
    end: int


class TagError(ValueError):
    """A tag that its scheme does not have, or not there.

    ``kind``: what is wrong, in words that can be counted; ``index``: of the word.
    """

    def __init__(self, kind: str, message: str, index: int):
        super().__init__(message)
        self.kind, self.index = kind, index


def entities_of(tags: Sequence[str], scheme: str) -> list[Entity]:
    """Read the entities of a sentence.

    Raises:
        TagError: a tag is unknown, or cannot stand where it does.
    """
    if scheme == NONE:
        return [Entity(tag, i, i + 1) for i, tag in enumerate(tags)]
    entities: list[Entity] = []
    prefix_before, type_before = OUTSIDE, ""
    for i, tag in enumerate([*tags, OUTSIDE]):
        if not is_tag(tag, scheme):
            raise TagError("with an unknown tag", f"unknown tag {shortened(tag)!r}; {_known(tag, scheme)}", i)
        prefix, _, entity_type = _in_bioes(tag, scheme).partition("-")
        # whether an entity of this type is open
        inside = prefix_before not in (OUTSIDE, "E", "S") and entity_type == type_before
        if scheme in WITH_ENDS and prefix_before in ("B", "I") and not (inside and prefix in ("I", "E")):
            message = (
                f"the entity before {shortened(tag)!r} has no end; in {scheme} it ends with"
                f" {PREFIXES[scheme][2]}-{type_before}"
            )
            raise TagError("with an entity that has no end", message, min(i, len(tags) - 1))
        if scheme != IOB1 and prefix in ("I", "E") and not inside:
            raise TagError(
                "with a stray tag", _stray(tag, entity_type, tags[i - 1] if i else None, scheme), i
            )
        if tag != OUTSIDE:
            if prefix in ("B", "S") or not inside:
                entities.append(Entity(entity_type, i, i + 1))
            else:
                entities[-1] = entities[-1]._replace(end=i + 1)
        prefix_before, type_before = prefix, entity_type
    return entities


def is_tag(tag: str, scheme: str) -> bool:
    """Tell whether a scheme has a tag."""
    prefix, _, kind = tag.partition("-")
    return scheme == NONE or tag == OUTSIDE or bool(kind and prefix in PREFIXES[scheme])


def _in_bioes(tag: str, scheme: str) -> str:
    """Spell a tag of another of the schemes with ends as BIOES does."""
    prefix, _, kind = tag.partition("-")
    return (
        f"{PREFIXES[BIOES][PREFIXES[scheme].index(prefix)]}-{kind}"
        if scheme in WITH_ENDS and tag != OUTSIDE
        else tag
    )


def _known(tag: str, scheme: str) -> str:
    """Say which tags a scheme has, and which other one has this tag."""
    of_scheme = f"{scheme} has O, {', '.join(each + '-TYPE' for each in PREFIXES[scheme])}"
    others = [other for other in PREFIXES if is_tag(tag, other)]
    if others:
        return (
            f"{of_scheme}; {shortened(tag)!r} is of {' or '.join(others)}: give --scheme {others[0]} if the"
            " file is"
        )
    return f"{of_scheme}; give --scheme {NONE} for tags that are not those of entities"


def _stray(tag: str, kind: str, before: str | None, scheme: str) -> str:
    """Say what is wrong with a tag that continues an entity where none of its type is open."""
    reason = (
        "it is the first of its sentence" if before is None else f"the tag before it is {shortened(before)!r}"
    )
    advice = f", or give --scheme {IOB1}, which lets it begin an entity" if scheme == BIO else ""
    tag, kind = shortened(tag), shortened(kind)
    return (
        f"a stray {tag!r}: no entity of type {kind!r} is open, {reason}; in {scheme} one begins with"
        f" B-{kind}: write that{advice}"
    )


def tags_of(entities: Sequence[Entity], length: int, scheme: str) -> list[str]:
    """Write the entities of a sentence of ``length`` words; the inverse of :func:`entities_of`."""
    tags = [OUTSIDE] * length
    for i, (kind, first, end) in enumerate(entities):
        if scheme == NONE:
            tags[first] = kind
            continue
        touches = i > 0 and entities[i - 1].end == first and entities[i - 1].type == kind
        begin, within, last = "I" if scheme == IOB1 and not touches else "B", "I", "I"
        if scheme in WITH_ENDS:
            begin, within, last, single = PREFIXES[scheme]
            begin = single if end - first == 1 else begin
        tags[first:end] = [f"{begin}-{kind}", *[f"{within}-{kind}"] * (end - first - 1)]
        if end - first > 1:
            tags[end - 1] = f"{last}-{kind}"
    return tags


def all_tags(types: Sequence[str], scheme: str) -> tuple[str, ...]:
    """Every tag of some types: O, and those of each type in turn; without a scheme the types themselves."""
    if scheme == NONE:
        return tuple(types)
    return (OUTSIDE, *(f"{prefix}-{kind}" for kind in types for prefix in PREFIXES[scheme]))


def scheme_of(tags: Sequence[str]) -> str | None:
    """Tell the scheme of all the tags that a model knows; None if they are not those of entities.

    Others may have trained the model. The scheme is IOB1, and not BIO, if a type has no B.
    """
    entities = [tag for tag in tags if tag != OUTSIDE]
    if all(is_tag(tag, BIO) for tag in entities):
        return BIO if all(f"B-{tag.partition('-')[2]}" in entities for tag in entities) else IOB1
    return next((scheme for scheme in WITH_ENDS if all(is_tag(tag, scheme) for tag in entities)), None)


def in_bioes(tags: Sequence[str]) -> list[str]:
    """Spell all the tags that a model knows as BIOES does, if they are those of BILOU or BMES.

    Other tags stay as they are.
    """
    scheme = scheme_of(tags)
    return [_in_bioes(tag, scheme) if scheme else tag for tag in tags]


class Transitions(NamedTuple):
    """Which tag may follow which, (K, K), begin a sentence, (K,), and end it, (K,). Bool."""

    follow: np.ndarray
    begin: np.ndarray
    end: np.ndarray


def legal_transitions(tags: Sequence[str]) -> Transitions:
    """Find which tags the scheme allows to follow each other, and to begin and end a sentence.

    An entity continues only in its own type. In IOB1, and for tags that are not those of entities, everything
    is legal.
    """
    scheme, number = scheme_of(tags), len(tags)
    if scheme not in (BIO, *WITH_ENDS):
        return Transitions(
            np.ones((number, number), dtype=bool), np.ones(number, dtype=bool), np.ones(number, dtype=bool)
        )
    parts = [tag.partition("-")[::2] for tag in in_bioes(tags)]
    ends = scheme in WITH_ENDS
    opens = np.array([prefix in ("B", "I") for prefix, _ in parts])  # an entity is open behind it
    continues = np.array([prefix in ("I", "E") for prefix, _ in parts])
    same = np.array([[a == b for _, b in parts] for _, a in parts])
    follow = ~continues[None] | (opens[:, None] & same)
    if ends:
        follow &= ~opens[:, None] | (continues[None] & same)
    return Transitions(follow, ~continues, ~opens if ends else np.ones(len(parts), dtype=bool))


def decode(scores: np.ndarray, transitions: Transitions) -> np.ndarray:
    """Find the legal sequence of tags with the largest sum of scores (Viterbi).

    Args:
        scores: of each word and tag, such as log-probabilities. Shape: (N, K).
        transitions: what is legal.

    Returns:
        tags. Shape: (N,), int64.
    """
    forbidden = np.where(transitions.follow, 0.0, -np.inf)
    total = np.where(transitions.begin, scores[0], -np.inf)
    back = np.empty(scores.shape, dtype=np.int64)
    for i in range(1, len(scores)):
        totals = total[:, None] + forbidden
        back[i] = totals.argmax(0)
        total = totals.max(0) + scores[i]
    best = np.empty(len(scores), dtype=np.int64)
    best[-1] = np.where(transitions.end, total, -np.inf).argmax()
    for i in range(len(scores) - 1, 0, -1):
        best[i - 1] = back[i, best[i]]
    return best
