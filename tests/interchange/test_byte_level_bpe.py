"""Byte-level BPE tokenizers in transformers' folders, read as transformers' own AutoTokenizer reads them."""

import json
import random

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from fairseq_electra.errors import InputError
from fairseq_electra.interchange.take_vocabulary import take_vocabulary
from fairseq_electra.interchange.tokenizer_files import read_tokenizer, write_tokenizer
from fairseq_electra.interchange.tokenizer_parity import SAMPLE, SPACING, compare_tokenizers
from fairseq_electra.pretraining.binarized import load_dictionary
from fairseq_electra.pretraining.encode import check_ids
from fairseq_electra.pretraining.wordpiece import LEADING, MASK, UNK_ID, load_wordpiece, symbols_of
from tests.helpers.byte_level_folder import (
    SPARE_ROWS,
    SPECIAL,
    byte_level_tokenizer,
    save_byte_level,
    transformers,
)
from tests.helpers.commands import electra_here
from tests.helpers.transformers_models import edit

TEXTS = [
    *[
        "",
        " ",
        "   ",
        "\n",
        "a\n\nb",
        " a",
        "a  b",
        "a      b\n    c\t",
        "don't (stop) well-known...",
        "x|||IP|||y",
    ],
    *[
        "e\u0301 \u0301 naïve_é naïve_e\u0301",
        "中文 한국어 😀👩‍👩‍👧",
        "\ufffd\ufeff\x00\x1b",
        "<|endoftext|>a <|padding|>",
    ],
    *["[unused1] [unused9]", "Ġ Ċ Ãl", "##s ▁x"],
]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory, corpus_lines):
    return save_byte_level(tmp_path_factory.mktemp("theirs"), byte_level_tokenizer(corpus_lines[:300]))


@pytest.fixture(scope="module")
def read(theirs):
    return read_tokenizer(theirs, json.loads((theirs / "config.json").read_text())["vocab_size"])


@pytest.fixture(scope="module")
def auto(theirs):
    return transformers.AutoTokenizer.from_pretrained(theirs, local_files_only=True)


def ids(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False).ids


def their_ids(auto, text):
    return auto(text, add_special_tokens=False, verbose=False)["input_ids"]


def test_read_tokenizer_gives_our_ids_and_the_map_to_theirs(read, auto):
    symbols = symbols_of(read.tokenizer)
    assert tuple(symbols[:4]) == LEADING and symbols[-1] == MASK
    assert sorted(read.order) == list(range(len(auto) + SPARE_ROWS)) and len(read.unnamed) == SPARE_ROWS
    names = ("cls_token", "pad_token", "sep_token", "unk_token")
    assert [auto.convert_ids_to_tokens(read.order[i]) for i in (0, 1, 2, 3, -1)] == [
        *(SPECIAL[name] for name in names),
        SPECIAL["mask_token"],
    ]
    kept = [(symbol, auto.convert_ids_to_tokens(i)) for symbol, i in zip(symbols, read.order, strict=True)]
    assert all(ours == token for ours, token in kept[4:-1] if ours not in read.unnamed)


@pytest.mark.parametrize("text", [*TEXTS, *SAMPLE, *SPACING])
def test_read_tokenizer_gives_the_ids_of_auto_tokenizer(read, auto, text):
    assert [read.order[i] for i in ids(read.tokenizer, text)] == their_ids(auto, text)
    assert UNK_ID not in ids(read.tokenizer, text)


def test_texts_of_random_characters_get_the_ids_of_auto_tokenizer(read, auto):
    draw = random.Random(1)
    characters = [*"".join((*TEXTS, *SAMPLE, *SPACING)), *"   \n\n\t'"]
    for _ in range(500):
        parts = [draw.choice(characters), chr(draw.randrange(0xD800)), chr(draw.randrange(0xE000, 0x110000))]
        text = "".join(draw.choices([*parts, *draw.choices(characters, k=20)], k=12))
        assert [read.order[i] for i in ids(read.tokenizer, text)] == their_ids(auto, text), repr(text)


def test_special_symbols_written_in_text_are_text(read, auto):
    for text in ("[CLS] a [MASK]", "<s> <unk> <mask>"):
        plain = auto(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        found = ids(read.tokenizer, text)
        assert min(found) > UNK_ID and max(found) < len(read.order) - 1
        if "[" not in text:
            assert [read.order[i] for i in found] == plain


def test_offsets_leave_out_blanks_and_cover_whole_characters(read):
    text = "one  two\n (three) 😀 naïve"
    encoding = read.tokenizer.encode(text, add_special_tokens=False)
    spans = [text[begin:end] for begin, end in encoding.offsets]
    assert all(span == span.strip(" ") for span in spans) and "two" in "".join(spans)
    begins, ends = zip(*encoding.offsets, strict=True)
    assert list(begins) == sorted(begins) and list(ends) == sorted(ends)
    assert set(text) - {" "} == set("".join(spans)) and "😀" in spans


@pytest.mark.parametrize("path", [".", "tokenizer.json"])
def test_take_vocabulary_writes_both_files_with_the_same_ids(theirs, read, tmp_path, path):
    lines = take_vocabulary(theirs / path, tmp_path / "vocab")
    assert "byte-level BPE" in lines[0] and "the same ids as transformers' " in lines[1]
    saved = load_wordpiece(tmp_path / "vocab")
    check_ids(saved, tmp_path / "vocab")
    assert load_dictionary(tmp_path / "vocab").symbols == symbols_of(saved) == symbols_of(read.tokenizer)
    for text in TEXTS:
        expected = read.tokenizer.encode(text, add_special_tokens=False)
        found = saved.encode(text, add_special_tokens=False)
        assert (found.ids, found.offsets) == (expected.ids, expected.offsets)


def test_vocab_from_takes_the_vocabulary_and_refuses_text_beside_it(theirs, tmp_path):
    status, said, _ = electra_here("vocab", "--from", theirs, "--output", tmp_path / "vocab")
    assert status == 0 and "byte-level BPE" in said and (tmp_path / "vocab" / "dict.txt").is_file()
    for more in (["--from", theirs, "text.txt"], []):
        status, _, said = electra_here("vocab", "--output", tmp_path / "other", *more)
        assert status == 1 and "and not both" in said
    options = ["--size", "300", "--cased"]
    status, _, said = electra_here("vocab", "--from", theirs, "--output", tmp_path / "other", *options)
    assert status == 1 and "--size is for a vocabulary that is learned from text" in said
    status, _, said = electra_here("vocab", "--from", tmp_path / "none", "--output", tmp_path / "other")
    assert status == 1 and "no such folder" in said and not (tmp_path / "other").exists()


def changed(model=None, **parts):
    """Change a tokenizer.json."""

    def change(folder):
        values = json.loads((folder / "tokenizer.json").read_text())
        values["model"] |= model or {}
        edit(folder / "tokenizer.json", model=values["model"], **parts)

    return change


def without_a_byte(folder):
    values = json.loads((folder / "tokenizer.json").read_text())["model"]
    lost = {"Ā"}
    values["merges"] = [pair for pair in values["merges"] if "Ā" not in "".join(pair)]
    values["vocab"] = {piece: i for piece, i in values["vocab"].items() if not lost & set(piece)}
    edit(folder / "tokenizer.json", model=values)


def of_bert(folder):
    edit(folder / "tokenizer_config.json", tokenizer_class="BertTokenizer")


def of_unigram(folder):
    edit(folder / "tokenizer.json", model={"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0]]})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (changed({"dropout": 0.1}), "has dropout 0.1"),
        (changed({"ignore_merges": True}), "has ignore_merges True"),
        (changed({"byte_fallback": True}), "has byte_fallback True"),
        (changed(pre_tokenizer=None), "nor byte-level BPE"),
        (changed(pre_tokenizer={"type": "Whitespace"}), "nor byte-level BPE"),
        (without_a_byte, "without a piece for each of the 256 bytes"),
        (of_bert, "holds BPE, neither"),
        (of_unigram, "holds Unigram, neither"),
        (lambda folder: edit(folder / "config.json", vocab_size="x"), "has vocab_size 'x'"),
        (lambda folder: edit(folder / "config.json", vocab_size=9), "do not belong together"),
        (lambda folder: edit(folder / "tokenizer_config.json", unk_token="[X]"), "lacks [X]"),
        (lambda folder: edit(folder / "tokenizer_config.json", pad_token="[UNK]"), "has [UNK] both as its"),
    ],
)
def test_take_vocabulary_refuses_what_it_cannot_read(tmp_path, corpus_lines, change, sentence):
    folder = save_byte_level(tmp_path / "theirs", byte_level_tokenizer(corpus_lines[:40], 300))
    change(folder)
    with pytest.raises(InputError) as caught:
        take_vocabulary(folder, tmp_path / "vocab")
    assert sentence in str(caught.value) and not (tmp_path / "vocab").exists()


def test_take_vocabulary_refuses_other_ids_than_transformers(theirs, read, tmp_path):
    wrong = Tokenizer.from_str(read.tokenizer.to_str())
    wrong.normalizer = normalizers.NFD()
    with pytest.raises(InputError, match="nothing was written"):
        compare_tokenizers(theirs, wrong, read.order)


def test_a_vocabulary_that_puts_a_blank_before_each_text_is_refused(tmp_path, corpus_lines):
    """Running text is encoded in parts, and text around <mask> too: each part would get a blank."""
    folder = save_byte_level(tmp_path, byte_level_tokenizer(corpus_lines[:40], 300, add_prefix_space=True))
    with pytest.raises(InputError, match="add_prefix_space true"):
        read_tokenizer(folder, None)


def test_write_tokenizer_gives_auto_tokenizer_our_ids_and_offsets(tmp_path, corpus_lines):
    folder = save_byte_level(tmp_path / "theirs", byte_level_tokenizer(corpus_lines[:40], 300))
    ours = read_tokenizer(folder, None).tokenizer
    write_tokenizer(ours, tmp_path, 64)
    auto = transformers.AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    for text in [*TEXTS, *SAMPLE, *SPACING, "<s> <mask>"]:
        expected = ours.encode(text, add_special_tokens=False)
        found = auto(text, return_offsets_mapping=True)
        assert found["input_ids"] == [0, *expected.ids, 2], text
        assert found["offset_mapping"][1:-1] == expected.offsets, text
    assert auto("a", "b")["input_ids"] == [0, *ids(ours, "a"), 2, *ids(ours, "b"), 2]
    again = read_tokenizer(tmp_path, None)
    assert again.order == list(range(len(again.order))) and symbols_of(again.tokenizer) == symbols_of(ours)


def test_a_sequence_of_pre_tokenizers_is_read(tmp_path, corpus_lines, theirs):
    tokenizer = byte_level_tokenizer(corpus_lines[:40], 300)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    folder = save_byte_level(tmp_path / "theirs", tokenizer)
    found = read_tokenizer(folder, None)
    assert "same ids" in compare_tokenizers(folder, found.tokenizer, found.order)
    assert found.tokenizer.encode("1999").tokens == ["1", "9", "9", "9"]
    assert isinstance(found.tokenizer.model, models.BPE)
