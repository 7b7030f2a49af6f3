"""Words of a new text become pieces of a vocabulary that otherwise cuts as before."""

import math
from collections import Counter
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer

from fairseq_electra.adaptation.extending import Source, extended, sources_of
from fairseq_electra.adaptation.new_words import (
    MIN_COUNT,
    choose_words,
    pieces_of_new,
    rarity_of,
    unknown_share,
)
from fairseq_electra.interchange.cutting import as_bert
from fairseq_electra.interchange.our_ids import with_our_ids
from fairseq_electra.pretraining.encode import check_ids
from fairseq_electra.pretraining.wordpiece import MASK, load_wordpiece, save_vocabulary, symbols_of

SPECIAL = {name: name for name in ("[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]")}


def imported(pieces: list[str], added: tuple[str, ...] = ()) -> Tokenizer:
    """Make the tokenizer of a BERT with few pieces, and added tokens that are no pieces."""
    symbols = [*SPECIAL, *pieces, *added]
    tokens = [AddedToken(token, normalized=True) for token in added]
    return with_our_ids(symbols, SPECIAL, tokens, set(pieces), as_bert(Path(), {}))[0]


PIECES = [*"abc", *("##" + letter for letter in "abc"), "##bc"]


def test_choose_words_takes_those_that_save_the_most_tokens():
    tokenizer = imported(PIECES)
    # pieces: a ##b, a ##bc, b ##a ##a, a: a word saves one token less than it has pieces
    words = Counter({"ab": 10 * MIN_COUNT, "abc": 9 * MIN_COUNT, "baa": 6 * MIN_COUNT, "a": 99 * MIN_COUNT})
    assert choose_words(tokenizer, words, 9) == ["baa", "ab", "abc"]
    assert choose_words(tokenizer, words, 2) == ["baa", "ab"]
    assert choose_words(tokenizer, words, 0) == []


def test_choose_words_leaves_rare_and_unknown_words_out():
    words = Counter({"ab": MIN_COUNT - 1, "cc": MIN_COUNT, "ax": 9 * MIN_COUNT, "##a": 9 * MIN_COUNT})
    assert choose_words(imported(PIECES), words, 9) == ["cc"]


def test_choose_words_makes_no_word_unknown():
    # bab is cut into b ##ab; behind a piece ba, nothing could stand for the b
    tokenizer = imported(["a", "b", "##a", "##ab"])
    words = Counter({"ba": MIN_COUNT, "bab": 1, "aa": MIN_COUNT})
    assert tokenizer.encode("bab").tokens == ["b", "##ab"]
    assert extended(tokenizer, ["ba"]).encode("bab").tokens == ["<unk>"]
    assert choose_words(tokenizer, words, 9) == ["aa"]


def test_extended_changes_no_other_text_and_no_other_id(vocabulary, corpus_lines):
    before = load_wordpiece(vocabulary)
    new = ["quaternion", "zeroth"]
    after = extended(before, new)
    size = before.get_vocab_size()
    assert symbols_of(after) == [*symbols_of(before)[:-1], *new, MASK]
    assert after.get_vocab_size() == size + 2
    lines = [line for line in corpus_lines[:400] if not any(word in line.lower() for word in new)]
    assert len(lines) > 100
    for line in lines:
        assert after.encode(line).ids == before.encode(line).ids
    assert len(before.encode("Quaternion").ids) > 1
    assert after.encode("Quaternion of the zeroth", add_special_tokens=False).tokens[0] == "quaternion"
    assert after.encode("<mask> <s>").tokens == before.encode("<mask> <s>").tokens


def test_extended_can_be_saved_and_loaded(vocabulary, tmp_path):
    after = extended(load_wordpiece(vocabulary), ["metaclass"])
    save_vocabulary(after, tmp_path)
    again = load_wordpiece(tmp_path)
    check_ids(again, tmp_path)
    assert symbols_of(again) == symbols_of(after)
    assert again.encode("a metaclass <mask>").ids == after.encode("a metaclass <mask>").ids


def test_extended_keeps_added_tokens_that_are_no_pieces_before_the_mask():
    before = imported(PIECES, added=("c-a", "b.b"))
    after = extended(before, ["abc"])
    assert symbols_of(before)[-3:] == ["c-a", "b.b", MASK]
    assert symbols_of(after)[-4:] == ["abc", "c-a", "b.b", MASK]
    # the added token stays whole in text, and no part of a word
    assert after.encode("abc c-a bc-ab").tokens == ["abc", "c-a", "b", "c-a", "b"]
    assert before.encode("abc c-a").tokens == ["a", "##bc", "c-a"]


def test_rarity_of_is_the_ratio_to_the_geometric_mean_of_the_pieces():
    # a ##bc 12 times, b ##a ##a 10 times, a 20 times, cab: c ##ab is not there, so c ##a ##b, 5 times
    words = Counter({"abc": 12, "baa": 10, "a": 20, "cab": 5})
    rarity = rarity_of(imported(PIECES), ["abc", "baa"], words)
    assert rarity["abc"] == pytest.approx(math.log(12 / (32 * 12) ** (1 / 2)))
    assert rarity["baa"] == pytest.approx(math.log(10 / (10 * 25 * 25) ** (1 / 3)))


def test_sources_of_are_the_old_ids_and_the_pieces_of_new_words():
    before = imported(PIECES, added=("c-a",))
    after = extended(before, ["abc"])
    ids = before.get_vocab()
    expected = {symbol: Source([ids[symbol]]) for symbol in symbols_of(before)}
    expected["abc"] = Source([ids["a"], ids["##bc"]], -0.5)
    found = sources_of(before, after, pieces_of_new(before, ["abc"]), {"abc": -0.5})
    assert found == [expected[symbol] for symbol in symbols_of(after)]


@pytest.mark.parametrize(("words", "share"), [({"ab": 3, "x": 1}, 0.25), ({"x": 2, "yy": 5}, 1.0), ({}, 0.0)])
def test_unknown_share_counts_words(words, share):
    assert unknown_share(imported(PIECES), Counter(words)) == share
