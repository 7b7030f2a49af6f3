"""A vocabulary with tokens of a new text behind its own, and what each of its tokens is made of."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tokenizers import Tokenizer

from fairseq_electra.pretraining.wordpiece import MASK, symbols_of

Merge = tuple[str, str]  # two pieces that byte-level BPE makes one


def extended(tokenizer: Tokenizer, tokens: Sequence[str], merges: Sequence[Merge] = ()) -> Tokenizer:
    """Return a vocabulary with further pieces.

    They come behind all pieces. So only ``<mask>``, which is last, and added tokens that are no pieces get
    other ids. WordPiece takes the longest piece that fits: words that do not begin with a new one keep their
    pieces. BPE makes new merges behind all old ones: text in which no new pair stands keeps its pieces.

    Args:
        tokenizer: the vocabulary.
        tokens: the further pieces.
        merges: of byte-level BPE, the merges that make them, in their order.
    """
    state = json.loads(tokenizer.to_str())
    vocabulary = state["model"]["vocab"]
    symbols = symbols_of(tokenizer)
    pieces = [symbol for symbol in symbols if symbol in vocabulary and symbol != MASK]
    last = [symbol for symbol in symbols if symbol not in vocabulary or symbol == MASK]
    ids = {symbol: i for i, symbol in enumerate([*pieces, *tokens, *last])}
    # of the last ones, those that are no pieces stay none
    new = set(tokens)
    state["model"]["vocab"] = {s: i for s, i in ids.items() if s in vocabulary or s in new}
    if merges:
        state["model"]["merges"] += map(list, merges)
    for token in state["added_tokens"]:
        token["id"] = ids[token["content"]]
    state["added_tokens"].sort(key=lambda token: token["id"])
    result = Tokenizer.from_str(json.dumps(state))
    result.encode_special_tokens = True  # not kept in the text
    return result


class Source(NamedTuple):
    """What a token of an extended vocabulary is made of.

    Attributes:
        parts: ids in the old vocabulary: of a new token those of its pieces, else one.
        rarity: of a new token, how much rarer it is in the text than its pieces, a log ratio in nats, 0 or
            below; else 0.
    """

    parts: list[int]
    rarity: float = 0.0


def sources_of(
    before: Tokenizer, after: Tokenizer, pieces: Mapping[str, Sequence[str]], rarity: Mapping[str, float]
) -> list[Source]:
    """Return the source of each id of an extended vocabulary.

    Args:
        before, after: the vocabulary, and the extended one.
        pieces: of each new token its pieces in the old vocabulary.
        rarity: that of each new token.
    """
    old = before.get_vocab()
    return [
        Source([old[piece] for piece in pieces[symbol]], rarity[symbol])
        if symbol in pieces
        else Source([old[symbol]])
        for symbol in symbols_of(after)
    ]
