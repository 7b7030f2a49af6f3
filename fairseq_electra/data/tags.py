"""Tags of words: entities in BIO, IOB1 and BIOES, both ways, and which tag may follow which."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fairseq_electra.errors import shortened

BIO, IOB1, BIOES = "BIO", "IOB1", "BIOES"
SCHEMES = (BIO, IOB1, BIOES)
# IOB1 begins an entity with I; with B only right behind another of its type
PREFIXES = {BIO: ("B", "I"), IOB1: ("I", "B"), BIOES: ("B", "I", "E", "S")}
OUTSIDE = "O"


class Entity(NamedTuple):
    """Words from ``first`` to ``end``, exclusive, of one type."""

    type: str
    first: int
    end: int


class TagError(ValueError):
    """A tag that its scheme does not have, or not there. ``index``: of the word."""

    def __init__(self, message: str, index: int):
        super().__init__(message)
        self.index = index


def entities_of(tags: Sequence[str], scheme: str) -> list[Entity]:
    """Read the entities of a sentence.

    Raises:
        TagError: a tag is unknown, or cannot stand where it does.
    """
    found: list[Entity] = []
    before, kind_before = OUTSIDE, ""
    for i, tag in enumerate([*tags, OUTSIDE]):
        prefix, _, kind = tag.partition("-")
        if tag != OUTSIDE and not (prefix in PREFIXES[scheme] and kind):
            raise TagError(f"unknown tag {shortened(tag)!r}; {scheme} has O, {', '.join(each + '-TYPE' for each in PREFIXES[scheme])}", i)
        inside = before not in (OUTSIDE, "E", "S") and kind == kind_before  # an entity of this type is open
        if scheme == BIOES and before in ("B", "I") and not (inside and prefix in ("I", "E")):
            raise TagError(f"the entity before {tag!r} has no end; in {scheme} it ends with E-{kind_before}", min(i, len(tags) - 1))
        if scheme != IOB1 and prefix in ("I", "E") and not inside:
            raise TagError(f"{tag!r} continues no entity; in {scheme} it must begin with B-{kind}; or give --scheme {IOB1}", i)
        if tag != OUTSIDE:
            if prefix in ("B", "S") or not inside:
                found.append(Entity(kind, i, i + 1))
            else:
                found[-1] = found[-1]._replace(end=i + 1)
        before, kind_before = prefix, kind
    return found


def tags_of(entities: Sequence[Entity], length: int, scheme: str) -> list[str]:
    """Write the entities of a sentence of ``length`` words; the inverse of :func:`entities_of`."""
    tags = [OUTSIDE] * length
    for i, (kind, first, end) in enumerate(entities):
        touches = i > 0 and entities[i - 1].end == first and entities[i - 1].type == kind
        begin, last = "I" if scheme == IOB1 and not touches else "B", "I"
        if scheme == BIOES:
            begin, last = ("S" if end - first == 1 else "B"), "E"
        tags[first:end] = [f"{begin}-{kind}", *[f"I-{kind}"] * (end - first - 1)]
        if end - first > 1:
            tags[end - 1] = f"{last}-{kind}"
    return tags


def all_tags(types: Sequence[str], scheme: str) -> tuple[str, ...]:
    """Every tag of some types: O, and those of each type in turn."""
    return (OUTSIDE, *(f"{prefix}-{kind}" for kind in types for prefix in PREFIXES[scheme]))


def scheme_of(tags: Sequence[str]) -> str | None:
    """Tell the scheme of all the tags that a net knows, which may be another's: IOB1 where a type has no B; None: they are no entities'."""
    parts = {tag.partition("-")[::2] for tag in tags if tag != OUTSIDE}
    if any(prefix not in PREFIXES[BIOES] or not kind for prefix, kind in parts):
        return None
    if any(prefix in ("E", "S") for prefix, _ in parts):
        return BIOES
    return BIO if all(("B", kind) in parts for _, kind in parts) else IOB1


class Transitions(NamedTuple):
    """Which tag may follow which, (K, K), begin a sentence, (K,), and end it, (K,). Bool."""

    follow: np.ndarray
    begin: np.ndarray
    end: np.ndarray


def legal_transitions(tags: Sequence[str]) -> Transitions:
    """Find what the tags' scheme allows: in BIO and BIOES an entity that is begun goes on in its type, in others everything is legal."""
    scheme, number = scheme_of(tags), len(tags)
    if scheme not in (BIO, BIOES):
        return Transitions(np.ones((number, number), dtype=bool), np.ones(number, dtype=bool), np.ones(number, dtype=bool))
    parts = [tag.partition("-")[::2] for tag in tags]
    ends = scheme == BIOES
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
        ways = total[:, None] + forbidden
        back[i] = ways.argmax(0)
        total = ways.max(0) + scores[i]
    best = np.empty(len(scores), dtype=np.int64)
    best[-1] = np.where(transitions.end, total, -np.inf).argmax()
    for i in range(len(scores) - 1, 0, -1):
        best[i - 1] = back[i, best[i]]
    return best
