"""Old documents between new ones: how many, which, and in which order."""

from itertools import chain

import pytest

from fairseq_electra.adaptation.replay import Mixture, encoded_documents
from fairseq_electra.pretraining.unknown import Unknown
from fairseq_electra.pretraining.wordpiece import load_wordpiece


def documents(number: int, tokens: int, id_: int):
    return [[[id_] * tokens] for _ in range(number)]


def ids(mixture) -> list[int]:
    return [document[0][0] for document in mixture]


def test_mixture_puts_old_documents_between_new_ones():
    mixture = Mixture(documents(4, 30, 1), documents(99, 10, 2), share=0.25)
    # a third as many old tokens as new ones: one document of 10 behind each of 30
    assert ids(mixture) == [1, 2, 1, 2, 1, 2, 1, 2]
    assert (mixture.new_tokens, mixture.old_tokens, mixture.share) == (120, 40, 0.25)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.9])
def test_mixture_has_the_share_that_was_asked_for(share):
    new, old = documents(50, 100, 1), documents(10_000, 7, 2)
    mixture = Mixture(new, old, share)
    found = ids(mixture)
    assert found.count(1) == 50
    # never short, and never by more than one document over
    assert (
        share <= mixture.share
        and (mixture.old_tokens - 7) / (mixture.new_tokens + mixture.old_tokens) < share
    )


def test_mixture_takes_all_new_text_once_the_old_text_ends():
    mixture = Mixture(documents(3, 10, 1), documents(2, 2, 2), share=0.5)
    assert ids(mixture) == [1, 2, 2, 1, 1] and mixture.share == 4 / 34
    assert ids(Mixture(documents(3, 10, 1))) == [1, 1, 1]


def test_encoded_documents_are_those_of_the_text(vocabulary, corpus_lines):
    tokenizer, unknown, lines = (
        load_wordpiece(vocabulary),
        Unknown(),
        [*corpus_lines[:60], "", "", "a \u4e8c"],
    )
    expected = [[]]
    for line in lines:
        if line.strip():
            expected[-1].append(tokenizer.encode(line, add_special_tokens=False).ids)
        else:
            expected.append([])
    assert list(encoded_documents(tokenizer, lines, unknown)) == [each for each in expected if each]
    assert unknown.unknown_ids >= 1


def test_encoded_documents_cuts_long_ones_behind_a_line(vocabulary):
    tokenizer = load_wordpiece(vocabulary)
    lines = ["the name is a name"] * 5 + [""] + ["the name"] * 2
    whole = list(encoded_documents(tokenizer, lines))
    tokens = len(whole[0][0])
    parts = list(encoded_documents(tokenizer, lines, longest=2 * tokens))
    assert [len(part) for part in parts] == [2, 2, 1, 2]
    assert list(chain(*parts)) == list(chain(*whole))
    # a line that is longer is cut
    cut = list(encoded_documents(tokenizer, lines, longest=2))
    assert list(chain(*chain(*cut))) == list(chain(*chain(*whole)))
    assert max(sum(map(len, part)) for part in cut) <= 3
