"""Byte-level BPE vocabularies: training, and what their pieces say of words and text."""

from types import SimpleNamespace

import pytest
from tokenizers import AddedToken, pre_tokenizers

from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.binarized import load_dictionary, open_binarized, word_starts
from fairseq_electra.pretraining.byte_alphabet import BYTE_OF
from fairseq_electra.pretraining.byte_level_bpe import SMALLEST, train_byte_level_bpe
from fairseq_electra.pretraining.encode import check_ids, encode_to_binary, encode_to_pieces
from fairseq_electra.pretraining.pieces import BytePieces, WordPieces, pieces_of, pieces_of_symbols
from fairseq_electra.pretraining.wordpiece import (
    EOS_ID,
    LEADING,
    MASK,
    load_wordpiece,
    save_vocabulary,
    symbols_of,
)
from tests.helpers.commands import electra_here

DOCUMENT = ["The statement (see below) is", " executed.  It's naïve: 中文, 😀!", "\tAnd so on…"]


@pytest.fixture(scope="module")
def tokenizer(corpus_lines):
    return train_byte_level_bpe(corpus_lines[:400], 800)


@pytest.fixture(scope="module")
def folder(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bpe")
    save_vocabulary(tokenizer, folder)
    return folder


def ids(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False).ids


def test_byte_alphabet_is_that_of_the_library():
    assert sorted(BYTE_OF) == sorted(pre_tokenizers.ByteLevel.alphabet())
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for text in ("aé\n ~\x00\x7f\u00a0\u00ad", "中😀", "".join(map(chr, range(0x800)))):
        written = "".join(piece for piece, _ in cut.pre_tokenize_str(text))
        assert bytes(BYTE_OF[character] for character in written) == text.encode()


def test_train_byte_level_bpe_has_fairseqs_ids_and_repeats(tokenizer, corpus_lines):
    symbols = symbols_of(tokenizer)
    assert (tuple(symbols[:4]), symbols[-1], len(symbols)) == (LEADING, MASK, 800)
    assert set(BYTE_OF) <= set(symbols) and "Ġthe" in symbols
    assert train_byte_level_bpe(corpus_lines[:400], 800).to_str() == tokenizer.to_str()


def test_train_byte_level_bpe_knows_all_text_and_keeps_it(tokenizer, folder):
    saved = load_wordpiece(folder)
    check_ids(saved, folder)
    for text in [*DOCUMENT, "  A\r\nb ", "<s> <mask> [CLS]", "\ufffd\x00"]:
        found = ids(saved, text)
        assert found == ids(tokenizer, text) and min(found) > 3 and max(found) < 799
        assert pieces_of(saved).join([symbols_of(saved)[i] for i in found]) == text
    assert ids(saved, "e\u0301") == ids(saved, "é")  # NFC


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--size", str(SMALLEST - 1)], "--size must be 261 or more"),
        (["--size", "400", "--cased"], "--cased, --keep-accents and --character-coverage"),
        (
            ["--size", "400", "--character-coverage", "0.5"],
            "--cased, --keep-accents and --character-coverage",
        ),
    ],
)
def test_vocab_refuses_what_byte_level_bpe_has_not(tmp_path, options, sentence):
    (tmp_path / "a.txt").write_text("some text\n")
    arguments = ["vocab", "--kind", "bpe", "--output", tmp_path / "out", *options, tmp_path / "a.txt"]
    status, _, said = electra_here(*arguments)
    assert status == 1 and sentence in said and not (tmp_path / "out").exists()


def test_vocab_trains_byte_level_bpe_and_refuses_an_empty_text(tmp_path, corpus_lines):
    (tmp_path / "a.txt").write_text("\n".join(corpus_lines[:50]))
    (tmp_path / "empty.txt").write_text(" \n\n")
    arguments = ["vocab", "--kind", "bpe", "--size", "300", "--output", tmp_path / "out"]
    assert electra_here(*arguments, tmp_path / "empty.txt")[0] == 1
    assert electra_here(*arguments, tmp_path / "a.txt")[:2] == (0, f"{tmp_path / 'out'}: 300 ids\n")
    assert isinstance(pieces_of(load_wordpiece(tmp_path / "out")), BytePieces)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a word's end", ["a", " word", "'s", " end"]),
        ('say "well-known" (or) not.', ["say", ' "well', "-known", '"', " (or", ")", " not", "."]),
        ("one\ntwo  three\tfour", ["one", "\ntwo", " ", " three", "\tfour"]),
        ("naïve x2 e\u0301ΑΘΉΝΑ", ["naïve", " x2", " éΑΘΉΝΑ"]),
        ("a_b 3.5", ["a", "_b", " 3", ".5"]),
    ],
)
def test_byte_pieces_of_a_word_are_the_blank_or_sign_and_the_letters_behind(tokenizer, text, words):
    pieces, found = pieces_of(tokenizer), []
    for symbol in tokenizer.encode(text, add_special_tokens=False).tokens:
        if pieces.starts_word(symbol) or not found:
            found.append([])
        found[-1].append(symbol)
    assert [pieces.join(word) for word in found] == words


def test_byte_pieces_of_han_and_kana_are_words_and_parts_of_characters_are_not():
    def starts(text):
        return BytePieces().starts_word(written(text.encode()))

    assert all(starts(text) for text in ("中", "の中", "😀", "。", "\u3000", "…"))
    assert not any(starts(text) for text in ("한국", "й", "a", "7", "\u0301"))
    assert not BytePieces().starts_word(written("中".encode()[:2]))
    assert not BytePieces().starts_word(written("中".encode()[2:]))


def written(data):
    return "".join({byte: character for character, byte in BYTE_OF.items()}[byte] for byte in data)


def test_word_starts_of_a_dictionary_are_those_of_its_tokenizer(tokenizer, folder, vocabulary):
    dictionary, pieces = load_dictionary(folder), pieces_of(tokenizer)
    assert dictionary.symbols == symbols_of(tokenizer)
    assert word_starts(dictionary).tolist() == [pieces.starts_word(symbol) for symbol in dictionary.symbols]
    assert isinstance(pieces_of_symbols(load_dictionary(vocabulary).symbols), WordPieces)
    of_all_characters = [*sorted(BYTE_OF), "##a", "##b", "##c", "##d"]  # WordPiece with Latin characters
    assert word_starts(SimpleNamespace(symbols=of_all_characters)).sum() == 256


def test_byte_pieces_show_text_and_bytes_of_no_whole_character():
    pieces = BytePieces(frozenset({"naïve é", "   "}))
    half = written("😀".encode()[:2])
    assert [pieces.text(symbol) for symbol in ("Ġcat", "Ċ", half, "naïve é", "   ", MASK)] == [
        " cat",
        "\n",
        "\\xf0\\x9f",
        "naïve é",
        "   ",
        MASK,
    ]
    assert [pieces.cell(symbol) for symbol in ("Ġcat", "Ċ", "Ã©")] == ["␣cat", "\\n", "é"]
    assert pieces.join(["naïve é", half, written("😀".encode()[2:]), "Ã"]) == "naïve é😀\ufffd"


def test_lines_of_a_document_have_the_ids_of_its_text(tokenizer):
    pieces = pieces_of(tokenizer)
    lines = [*DOCUMENT, "", " \u200b", *DOCUMENT[::-1]]
    texts = list(pieces.texts_of_lines(lines))
    assert texts[3:5] == ["", ""]
    for document, own in ((DOCUMENT, texts[:3]), (DOCUMENT[::-1], texts[5:])):
        assert [i for text in own for i in ids(tokenizer, text)] == ids(tokenizer, "\n".join(document))
    assert list(WordPieces().texts_of_lines(lines)) == lines


def test_words_have_the_ids_of_the_words_joined_by_blanks(tokenizer):
    words = ["John", "'s", "(", "U.S.", ")", "naïve", "中文", "😀", "don't", ",", "3.5", "\u0301x"]
    texts = pieces_of(tokenizer).texts_of_words(words)
    assert [i for text in texts for i in ids(tokenizer, text)] == ids(tokenizer, " ".join(words))
    assert texts[0] == "John" and WordPieces().texts_of_words(words) == words


def test_encode_writes_documents_with_their_line_ends(tokenizer, folder, tmp_path):
    encode_to_binary(load_wordpiece(folder), [*DOCUMENT, "", "x"], tmp_path / "train", folder)
    text = open_binarized(tmp_path / "train", 800)
    expected = [
        ids(tokenizer, line) for line in (DOCUMENT[0], "\n" + DOCUMENT[1], "\n" + DOCUMENT[2], "", "x")
    ]
    assert text.ids.tolist() == [i for line in expected for i in [*line, EOS_ID]]
    lines = list(encode_to_pieces(load_wordpiece(folder), [*DOCUMENT, "", "x"]))
    assert [line.split() for line in lines] == [[symbols_of(tokenizer)[i] for i in line] for line in expected]


def test_encode_to_pieces_refuses_an_added_token_of_blanks(corpus_lines):
    tokenizer = train_byte_level_bpe(corpus_lines[:40], 300)
    tokenizer.add_tokens([AddedToken("   ")])
    with pytest.raises(InputError, match="'   ' has a blank inside"):
        list(encode_to_pieces(tokenizer, ["a   b"]))


def test_bpe_electra_wordpiece_refuses_byte_level_bpe(folder):
    from fairseq_electra.tasks.electra_wordpiece import ElectraWordPiece

    with pytest.raises(InputError, match="is for WordPiece"):
        ElectraWordPiece(SimpleNamespace(wordpiece_vocab=str(folder)))
