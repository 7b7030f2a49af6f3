"""Byte-level BPE goes on with its training on a new text, and otherwise cuts as before."""

import itertools
import math
from collections import Counter

import pytest

from fairseq_electra.adaptation.extending import Source, extended, sources_of
from fairseq_electra.adaptation.new_merges import (
    MOST_PIECES,
    choose_merges,
    count_cut_words,
    cut_again,
    joined,
    pieces_of_new,
    rarity_of,
)
from fairseq_electra.adaptation.new_words import MIN_COUNT
from fairseq_electra.interchange.tokenizer_files import read_tokenizer
from fairseq_electra.pretraining.byte_level_bpe import merges_of, train_byte_level_bpe
from fairseq_electra.pretraining.encode import check_ids
from fairseq_electra.pretraining.wordpiece import MASK, load_wordpiece, save_vocabulary, symbols_of
from tests.helpers.byte_level_folder import byte_level_tokenizer, save_byte_level

NEW = 40


@pytest.fixture(scope="module")
def before(corpus_lines):
    return train_byte_level_bpe(corpus_lines[:200], 400)


@pytest.fixture(scope="module")
def words(before, corpus_lines):
    return count_cut_words(before, corpus_lines[:2000])


@pytest.fixture(scope="module")
def merges(before, words):
    return choose_merges(before, words, NEW)


@pytest.fixture(scope="module")
def after(before, merges):
    return extended(before, list(pieces_of_new(merges)), merges)


def plain_merges(known, words, number):
    """Learn merges by counting all pairs anew before each; ties go to the first in alphabetical order."""
    cut, new, merges = {word: list(word) for word in words}, set(), []
    while len(new) < number:
        pairs = Counter()
        for word, pieces in cut.items():
            for pair in itertools.pairwise(pieces):
                pairs[pair] += words[word]
        allowed = [pair for pair, n in pairs.items() if n >= MIN_COUNT and "".join(pair) not in known]
        if not allowed:
            break
        best = min(allowed, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        new.add("".join(best))
        for word, pieces in cut.items():
            result, i = [], 0
            while i < len(pieces):
                whole = tuple(pieces[i : i + 2]) == best
                result.append("".join(best) if whole else pieces[i])
                i += 2 if whole else 1
            cut[word] = result
    return merges


def test_choose_merges_learns_what_a_plain_training_does(before, words, merges):
    assert merges == plain_merges(before.get_vocab(), words, NEW)
    assert len(pieces_of_new(merges)) == NEW and not set(pieces_of_new(merges)) & set(before.get_vocab())
    assert choose_merges(before, words, 0) == []
    few = {("x", "y"): MIN_COUNT - 1, ("x", "z"): MIN_COUNT}
    assert choose_merges(before, Counter(few), NEW) == [("x", "z")]


def test_two_merges_to_one_piece_are_one_new_piece(before):
    words = Counter({("q", "zx"): 30, ("qz", "x"): 20, ("q", "j"): 10})
    merges = choose_merges(before, words, 2)
    assert merges == [("q", "zx"), ("qz", "x"), ("q", "j")]
    assert pieces_of_new(merges) == {"qzx": ["q", "zx"], "qj": ["q", "j"]}
    assert rarity_of(merges, words)["qzx"] == 0  # 50 of them, and 30 of its first parts


def test_words_of_many_pieces_are_left_out(before):
    words = count_cut_words(before, ["q" * MOST_PIECES, "z" * (MOST_PIECES + 1)])
    assert list(words) == [("q",) * MOST_PIECES]


@pytest.mark.parametrize(
    ("pieces", "result"), [("aaa", ["aa", "a"]), ("aaaa", ["aa", "aa"]), ("ba", ["b", "a"])]
)
def test_joined_joins_from_the_left(pieces, result):
    assert joined(pieces, ("a", "a")) == result


def test_the_extended_vocabulary_cuts_words_as_its_merges_say(before, after, merges, words, corpus_lines):
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    changed = 0
    for line in corpus_lines[:2000]:
        pieces, old = after.encode(line).tokens, before.encode(line).tokens
        assert "".join(pieces) == "".join(old)
        changed += len(pieces) < len(old)
    assert changed > 500
    again = Counter()
    for word, count in words.items():
        again[tuple(cut_again(word, ranks))] += count
    assert again == count_cut_words(after, corpus_lines[:2000])


def test_text_without_a_new_pair_keeps_its_pieces(before, after, merges, corpus_lines):
    pairs, same = set(merges), 0
    for line in corpus_lines[:400]:
        tokens = before.encode(line, add_special_tokens=False).tokens
        if not pairs & set(itertools.pairwise(tokens)):
            same += 1
            assert after.encode(line).tokens == before.encode(line).tokens
    assert same > 10
    assert merges_of(after) == [*merges_of(before), *merges]


def test_the_extended_vocabulary_can_be_saved_and_loaded(after, tmp_path, corpus_lines):
    save_vocabulary(after, tmp_path)
    again = load_wordpiece(tmp_path)
    check_ids(again, tmp_path)
    assert symbols_of(again) == symbols_of(after) and symbols_of(again)[-1] == MASK
    assert [again.encode(line).ids for line in corpus_lines[:50]] == [
        after.encode(line).ids for line in corpus_lines[:50]
    ]


def test_added_tokens_stay_whole_and_behind_the_new_pieces(tmp_path, corpus_lines):
    folder = save_byte_level(tmp_path, byte_level_tokenizer(corpus_lines[:300]))
    before = read_tokenizer(folder).tokenizer
    text = ["  x = |||IP|||", *corpus_lines[:2000]]
    merges = choose_merges(before, count_cut_words(before, text), NEW)
    after = extended(before, list(pieces_of_new(merges)), merges)
    line = "    naïve_é |||IP|||[unused1] <mask>"
    assert after.encode(line).tokens == before.encode(line).tokens
    assert not any(set("".join(pair)) == {"Ġ"} for pair in merges)  # runs of blanks are added tokens


def test_rarity_of_is_the_ratio_to_the_geometric_mean_of_the_old_pieces():
    words = Counter({("a", "b", "c"): 12, ("a", "b"): 8, ("c",): 30})
    merges = [("a", "b"), ("ab", "c")]
    rarity = rarity_of(merges, words)
    assert rarity["ab"] == pytest.approx(math.log(8 / (20 * 20) ** (1 / 2)))
    assert rarity["abc"] == pytest.approx(math.log(12 / (20 * 20 * 42) ** (1 / 3)))
    assert rarity_of(merges, Counter({("a", "b", "c"): 12}))["ab"] == pytest.approx(math.log(1 / 12))


def test_sources_of_new_pieces_are_their_old_ones(before, after, merges):
    pieces = pieces_of_new(merges)
    rarity = dict.fromkeys(pieces, -0.5)
    sources, old = sources_of(before, after, pieces, rarity), before.get_vocab()
    for symbol, source in zip(symbols_of(after), sources, strict=True):
        if symbol in pieces:
            assert source == Source([old[piece] for piece in pieces[symbol]], -0.5)
            assert "".join(pieces[symbol]) == symbol
        else:
            assert source == Source([old[symbol]])
