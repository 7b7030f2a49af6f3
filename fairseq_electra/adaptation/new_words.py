"""The words of a new text that a vocabulary cuts into several pieces, and the vocabulary extended by them."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from tokenizers import Tokenizer

from fairseq_electra.pretraining.wordpiece import CONTINUATION, MASK, UNK_ID, symbols_of

MIN_COUNT = 10  # occurrences of a word in the text; the vector of a rarer one would hardly be trained


def choose_words(tokenizer: Tokenizer, words: Counter[str], number: int) -> list[str]:
    """Choose the words that shorten a text the most once each is one piece.

    A word saves as many tokens as it has pieces, less one, at each occurrence.

    Args:
        tokenizer: a WordPiece vocabulary.
        words: words of the text, as :func:`fairseq_electra.pretraining.wordpiece.count_words` counts them.
        number: largest number of words to choose.

    Returns:
        the words, those that save the most first. None of them makes another word of the text unknown.
    """
    known, model, saved = tokenizer.get_vocab(), tokenizer.model, dict[str, int]()
    for word, count in words.items():
        if count < MIN_COUNT or word in known or word.startswith(CONTINUATION):
            continue
        saved[word] = count * (len(model.tokenize(word)) - 1)  # <unk> saves nothing
    ranked = sorted((word for word in saved if saved[word]), key=lambda word: (-saved[word], word))
    chosen = ranked[:number]
    while lost := _lost_words(tokenizer, extended(tokenizer, chosen), words):
        chosen = [word for word in chosen if not any(each.startswith(word) for each in lost)]
    return chosen


def _lost_words(before: Tokenizer, after: Tokenizer, words: Iterable[str]) -> list[str]:
    """Find the words that only the first of two vocabularies knows.

    A word that begins with a new piece is cut behind it, and its rest may have no pieces.
    """
    models = before.model, after.model
    return [word for word in words if [_is_unknown(model, word) for model in models] == [False, True]]


def _is_unknown(model, word: str) -> bool:
    return model.tokenize(word)[0].id == UNK_ID


def unknown_share(tokenizer: Tokenizer, words: Counter[str]) -> float:
    """Return the share of a text's words that are ``<unk>``."""
    model = tokenizer.model
    return sum(count for word, count in words.items() if _is_unknown(model, word)) / max(words.total(), 1)


def extended(tokenizer: Tokenizer, words: Sequence[str]) -> Tokenizer:
    """Return a WordPiece vocabulary with words as further pieces.

    They come behind all pieces. So only ``<mask>``, which is last, and added tokens that are no pieces get
    other ids. WordPiece takes the longest piece that fits: words that do not begin with a new one keep their
    pieces.
    """
    state = json.loads(tokenizer.to_str())
    vocabulary = state["model"]["vocab"]
    symbols = symbols_of(tokenizer)
    pieces = [symbol for symbol in symbols if symbol in vocabulary and symbol != MASK]
    last = [symbol for symbol in symbols if symbol not in vocabulary or symbol == MASK]
    ids = {symbol: i for i, symbol in enumerate([*pieces, *words, *last])}
    # of the last ones, those that are no pieces stay none
    new = set(words)
    state["model"]["vocab"] = {s: i for s, i in ids.items() if s in vocabulary or s in new}
    for token in state["added_tokens"]:
        token["id"] = ids[token["content"]]
    state["added_tokens"].sort(key=lambda token: token["id"])
    result = Tokenizer.from_str(json.dumps(state))
    result.encode_special_tokens = True  # not kept in the text
    return result


def rarity_of(tokenizer: Tokenizer, chosen: Sequence[str], words: Counter[str]) -> dict[str, float]:
    """Compute how much rarer words are in a text than their pieces: a log ratio in nats, 0 or below.

    The pieces' count is the geometric mean of theirs, each in the text as the vocabulary cuts it.

    Args:
        tokenizer: the vocabulary that cuts the words.
        chosen: some of the text's words.
        words: all of its words, and the count of each.
    """
    model, counts = tokenizer.model, Counter[int]()
    for word, count in words.items():
        for piece in model.tokenize(word):
            counts[piece.id] += count
    return {
        word: math.log(words[word]) - fmean(math.log(counts[piece.id]) for piece in model.tokenize(word))
        for word in chosen
    }


class Source(NamedTuple):
    """What a token of an extended vocabulary is made of.

    Attributes:
        parts: ids in the old vocabulary: of a new word those of its pieces, else one.
        rarity: of a new word, as :func:`rarity_of` computes it; else 0.
    """

    parts: list[int]
    rarity: float = 0.0


def sources_of(before: Tokenizer, after: Tokenizer, rarity: Mapping[str, float]) -> list[Source]:
    """Return the source of each id of an extended vocabulary; ``rarity`` has the new words."""
    old, model = before.get_vocab(), before.model
    return [
        Source([piece.id for piece in model.tokenize(symbol)], rarity[symbol])
        if symbol in rarity
        else Source([old[symbol]])
        for symbol in symbols_of(after)
    ]
