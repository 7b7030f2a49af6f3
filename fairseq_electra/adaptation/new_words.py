"""The words of a new text that a WordPiece vocabulary cuts into several pieces."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean

from tokenizers import Tokenizer

from fairseq_electra.adaptation.extending import extended
from fairseq_electra.pretraining.wordpiece import CONTINUATION, UNK_ID

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


def pieces_of_new(tokenizer: Tokenizer, words: Iterable[str]) -> dict[str, list[str]]:
    """Return the pieces that a vocabulary cuts each word into."""
    return {word: [piece.value for piece in tokenizer.model.tokenize(word)] for word in words}
