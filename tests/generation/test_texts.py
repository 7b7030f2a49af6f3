"""Prompts and gaps as rows, and pieces as plain text."""

import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.generation.detokenize import Detokenizer
from fairseq_electra.generation.templates import read_template
from fairseq_electra.hub.interface import ElectraHubInterface
from fairseq_electra.pretraining.pieces import BytePieces, WordPieces
from fairseq_electra.pretraining.unknown import Unknown
from fairseq_electra.pretraining.wordpiece import BOS_ID, EOS_ID


@pytest.fixture
def model(pretrained):
    return ElectraHubInterface(pretrained())


def ids_of(model, text):
    return model.encode(text).tolist()[1:-1]


def test_read_template_continues_a_prompt(model):
    prompt = ids_of(model, "The name of a class")
    ids, is_open = read_template(model, "The name of a class", 5, "here")
    assert ids == (BOS_ID, *prompt, *[model.mask] * 5, EOS_ID)
    assert is_open == (False, *[False] * len(prompt), *[True] * 5, False)
    assert read_template(model, "", 2, "here") == (
        (BOS_ID, model.mask, model.mask, EOS_ID),
        (False, True, True, False),
    )


def test_read_template_makes_gaps_of_masks(model):
    ids, is_open = read_template(model, "<mask>The <mask*3> of a class<mask*2>", 50, "here")
    given = [ids_of(model, text) for text in ("The", "of a class")]
    mask = model.mask
    assert ids == (BOS_ID, mask, *given[0], *[mask] * 3, *given[1], mask, mask, EOS_ID)
    assert is_open == tuple(token == mask for token in ids)


def test_read_template_counts_what_the_vocabulary_does_not_know(model):
    unknown = Unknown()
    read_template(model, "a class \N{SNOWMAN}", 5, "here", unknown)
    assert unknown.unknown_ids == 1 and unknown.ids == len(ids_of(model, "a class")) + 1


@pytest.mark.parametrize(
    "symbol",
    (
        *("[MASK]", "[mask]", "[MASK*5]", "<mask*0>", "<mask*x>", "<mask5>", "<MASK>", "<mask*123456>"),
        *("<s>", "</s>", "<unk>", "<pad>", "[SEP]", "<extra_id_0>", "<|endoftext|>", "<mask 5>"),
        *("<foo>", "<eos>", "</bos>", "[BOS]", "[unused0]", "[gMASK]"),
    ),
)
def test_read_template_refuses_other_symbols(model, symbol):
    with pytest.raises(InputError) as error:
        read_template(model, f"a <mask> {symbol} name", 5, "texts, line 3")
    assert str(error.value).startswith(f"texts, line 3: {symbol!r} is no symbol for a gap; write <mask>")


def test_read_template_takes_other_brackets_as_text(model):
    for text in ("a <b>name</b>", "list[int] [mask", "x < mask > y", "[sepsis] [Padua] [sep 2020]"):
        ids, _ = read_template(model, text, 1, "here")
        assert ids[1:-2] == tuple(ids_of(model, text))


def test_read_template_refuses_more_tokens_than_a_row_has(model):
    model.max_length = 64
    for text, length in (("", 62), ("<mask*62>", 1), ("name <mask*61>", 9)):
        assert len(read_template(model, text, length, "here").ids) == 64
    for text, length in (("", 63), ("<mask*63>", 1), ("name " * 62, 1)):
        with pytest.raises(InputError) as error:
            read_template(model, text, length, "here")
        assert "are more than the 62 that the model was trained on; shorten" in str(error.value)


def test_read_template_refuses_more_tokens_than_the_critic_reads(model, pretrained):
    critic = ElectraHubInterface(pretrained())
    model.max_length, critic.max_length = 64, 32
    assert len(read_template(model, "", 30, "here", critic=critic).ids) == 32
    with pytest.raises(InputError, match="are more than the 30 that the critic was trained on"):
        read_template(model, "", 31, "here", critic=critic)
    with pytest.raises(InputError, match="more than the 62"):  # without a row of so many tokens
        read_template(model, "", 10**13, "here")


@pytest.mark.parametrize(
    ("language", "symbols", "text"),
    [
        ("en", "the cat ' s ma ##t , isn ' t it ? ( yes )", "the cat's mat, isn't it? (yes)"),
        ("en", 'he said , " hello " . it cost $ 5', 'he said, "hello". it cost $5'),
        ("en", "##ing and & amp ;", "ing and & amp;"),
        ("en", "a ' new ' one", "a 'new' one"),
        ("fr", "l ' homme d ' ici", "l'homme d'ici"),
        ("de", "das ist , ' s", "das ist, 's"),
        ("zh", "\u6211 \u5011 \u5728 taipei", "\u6211\u5011\u5728 taipei"),
        (
            "zh",
            "\u4ed6 \u8bf4 \uff1a \u201c \u597d \u201d \uff0c a b \u3002",
            "\u4ed6\u8bf4\uff1a\u201c\u597d\u201d\uff0ca b\u3002",
        ),
        ("ja", "\u732b \u3001 \u300c \u72ac \u300d \uff01", "\u732b\u3001\u300c\u72ac\u300d\uff01"),
        ("ko", "\u1112 ##\u1161 ##\u11ab \u1100 ##\u1173 ##\u11af", "\ud55c \uae00"),
        ("en", "##", "##"),
        ("en", "", ""),
    ],
)
def test_detokenizer_joins_words_and_signs(language, symbols, text):
    assert Detokenizer(WordPieces(), language)(symbols.split()) == text


def test_read_template_takes_brackets_with_blanks_and_words_in_brackets_as_text(model):
    for text in ("a < name > of", "a [ name ] of", "it is [sic] so", "if a<b and c>d"):
        assert sum(read_template(model, text, 5, "here").is_open) == 5


def test_detokenizer_keeps_the_blanks_of_bytes_on_one_line():
    pieces = BytePieces()
    assert Detokenizer(pieces)(["The", "\u0120cat", "'s", "\u010a", "mat", "."]) == "The cat's mat."


@pytest.mark.parametrize("language", ["", "English", "e", "en_US", "EN"])
def test_detokenizer_refuses_what_is_no_language(language):
    with pytest.raises(InputError, match="is no code of a language; give one such as en, de or zh"):
        Detokenizer(WordPieces(), language)
