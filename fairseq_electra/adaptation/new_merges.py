"""The merges that byte-level BPE learns of a new text when its training goes on where it ended.

A new merge joins two pieces that stand side by side in words of the text. Old merges stay, before the new
ones, so no text loses a piece that it had unless a new one takes its place.
"""

import heapq
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from tokenizers import Tokenizer

from fairseq_electra.adaptation.extending import Merge
from fairseq_electra.adaptation.new_words import MIN_COUNT
from fairseq_electra.pretraining.encode import batches_of

Word = tuple[str, ...]  # its pieces
# longer ones, such as those of DNA, are left out: each merge in them goes through all of their pieces
MOST_PIECES = 100


def count_cut_words(tokenizer: Tokenizer, texts: Iterable[str]) -> Counter[Word]:
    """Count the words of texts, each as the pieces that a vocabulary cuts it into.

    Args:
        tokenizer: a vocabulary of byte-level BPE.
        texts: texts to encode. An added token is a word of its own; words of more than :data:`MOST_PIECES`
            pieces are left out.
    """
    words: Counter[Word] = Counter()
    for batch in batches_of(texts):
        for encoding in tokenizer.encode_batch(batch, add_special_tokens=False):
            numbered = zip(encoding.word_ids, encoding.tokens, strict=True)
            for _, group in itertools.groupby(numbered, key=lambda each: each[0]):
                words[tuple(piece for _, piece in group)] += 1
    return Counter({word: count for word, count in words.items() if len(word) <= MOST_PIECES})


def choose_merges(tokenizer: Tokenizer, words: Counter[Word], number: int) -> list[Merge]:
    """Choose merges as the training of BPE does: again and again the most frequent pair of pieces.

    Pairs that make a piece of the vocabulary are left out, for text without new pieces is to keep its own.

    Args:
        tokenizer: a vocabulary of byte-level BPE.
        words: words of the text, from :func:`count_cut_words`.
        number: largest number of new pieces.

    Returns:
        the merges in their order. Several may make the same piece. A piece may be rare in the end, or absent,
        where later merges take it in.

    Source: Sennrich et al. 2016 (arXiv 1508.07909), algorithm 1.
    """
    known, new, merges = tokenizer.get_vocab(), set[str](), list[Merge]()
    cut, counts = [list(word) for word in words], list(words.values())
    pairs, places = Counter[Merge](), defaultdict[Merge, set[int]](set)
    for place, pieces in enumerate(cut):
        for pair in itertools.pairwise(pieces):
            pairs[pair] += counts[place]
            places[pair].add(place)
    queue = [(-count, pair) for pair, count in pairs.items()]
    heapq.heapify(queue)
    while queue and len(new) < number:
        negative, pair = heapq.heappop(queue)
        if pairs[pair] < MIN_COUNT or "".join(pair) in known:
            continue
        if pairs[pair] != -negative:  # a merge has changed it since
            heapq.heappush(queue, (-pairs[pair], pair))
            continue
        merges.append(pair)
        new.add("".join(pair))
        made = set[Merge]()
        for place in places.pop(pair):
            before = cut[place]
            cut[place] = after = joined(before, pair)
            for each in itertools.pairwise(before):
                pairs[each] -= counts[place]
            for each in itertools.pairwise(after):
                pairs[each] += counts[place]
                places[each].add(place)
                made.add(each)
        for each in made:
            heapq.heappush(queue, (-pairs[each], each))
    return merges


def joined(pieces: Sequence[str], pair: Merge) -> list[str]:
    """Join a pair of pieces wherever it stands, from the left."""
    result = list[str]()
    for piece in pieces:
        if result and (result[-1], piece) == pair:
            result[-1] += piece
        else:
            result.append(piece)
    return result


def cut_again(word: Word, ranks: Mapping[Merge, int]) -> list[str]:
    """Cut a word further: the pair of the lowest rank that stands in it is joined, while there is one."""
    pieces = list(word)
    while known := [pair for pair in itertools.pairwise(pieces) if pair in ranks]:
        pieces = joined(pieces, min(known, key=ranks.__getitem__))
    return pieces


def pieces_of_new(merges: Iterable[Merge]) -> dict[str, list[str]]:
    """Return the old pieces that each new piece is made of; of several merges to it, by the first."""
    made = dict[str, list[str]]()
    for first, second in merges:
        made.setdefault(first + second, made.get(first, [first]) + made.get(second, [second]))
    return made


def rarity_of(merges: Sequence[Merge], words: Counter[Word]) -> dict[str, float]:
    """Compute how much rarer new pieces are in a text than their old ones: a log ratio in nats, 0 or below.

    The old pieces' count is the geometric mean of theirs, before the merges. A new piece that other new ones
    have taken in everywhere counts once. None is more frequent than its parts: where several merges make it,
    the parts of the first are not all that it comes from.
    """
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    before, after = Counter[str](), Counter[str]()
    for word, count in words.items():
        for piece in word:
            before[piece] += count
        for piece in cut_again(word, ranks):
            after[piece] += count
    return {
        piece: min(math.log(max(after[piece], 1)) - fmean(math.log(before[part]) for part in parts), 0.0)
        for piece, parts in pieces_of_new(merges).items()
    }
