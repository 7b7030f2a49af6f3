"""Vocabularies in transformers' folders, read as transformers' own AutoTokenizer reads them."""

import json
import string

import pytest
from tokenizers import Tokenizer, normalizers, processors

from fairseq_electra.errors import InputError
from fairseq_electra.hub.load import load_checkpoint
from fairseq_electra.interchange import cutting
from fairseq_electra.interchange.export_transformers import export_transformers
from fairseq_electra.interchange.import_transformers import import_transformers
from fairseq_electra.interchange.json_files import read_json
from fairseq_electra.interchange.tokenizer_files import read_tokenizer
from fairseq_electra.interchange.tokenizer_parity import SAMPLE, compare_tokenizers
from fairseq_electra.pretraining.wordpiece import LEADING, MASK, load_wordpiece, save_vocabulary, symbols_of
from tests.helpers.transformers_models import SMALL, SPECIAL_SYMBOLS, edit, transformers

# a no-break space too
CHARACTERS = sorted({*string.printable, *"".join(SAMPLE), *"abcABCéÉ"} - set(string.whitespace))
PIECES = [
    "[PAD]",
    "[unused0]",
    "[unused1]",
    *SPECIAL_SYMBOLS[1:],
    *CHARACTERS,
    *(f"##{c}" for c in CHARACTERS),
    "the",
    "The",
    "##the",
]
FLAGS = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False, "special": True}


@pytest.fixture
def make_folder(tmp_path):
    """Write config.json, vocab.txt or tokenizer.json, and other files by name."""

    def make(config=None, stored=None, pieces=PIECES, **files):
        folder = tmp_path / "theirs"
        folder.mkdir()
        (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
        if stored is not None:
            transformers.BertTokenizer.from_pretrained(folder, **stored).save_pretrained(folder)
            (folder / "vocab.txt").unlink(missing_ok=True)
        (folder / "config.json").write_text(
            json.dumps({"model_type": "electra", "vocab_size": len(pieces), **(config or {})})
        )
        for name, content in files.items():
            (folder / f"{name}.json").write_text(json.dumps(content))
        return folder

    return make


def assert_same_ids(folder, texts=(), vocabulary_size=None):
    """Check that the ids of the sample and of more text are AutoTokenizer's, before and after saving."""
    size = vocabulary_size or len(transformers.AutoTokenizer.from_pretrained(folder))
    found = read_tokenizer(folder, size)
    assert sorted(found.order) == list(range(size))
    symbols = symbols_of(found.tokenizer)
    assert tuple(symbols[:4]) == LEADING and symbols[-1] == MASK and len(symbols) == size
    assert "the same ids as transformers' " in compare_tokenizers(folder, found.tokenizer, found.order)
    save_vocabulary(found.tokenizer, folder / "ours")
    saved, theirs = load_wordpiece(folder / "ours"), transformers.AutoTokenizer.from_pretrained(folder)
    assert symbols_of(saved) == symbols
    for text in (*SAMPLE, *texts):
        expected = theirs(text, add_special_tokens=False)["input_ids"]
        for tokenizer in (found.tokenizer, saved):
            assert [
                found.order[i] for i in tokenizer.encode(text, add_special_tokens=False).ids
            ] == expected, text
    return found


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"do_lower_case": False},
        {"do_lower_case": False, "strip_accents": True},
        {"do_lower_case": True, "strip_accents": False},
        {"do_lower_case": True, "tokenize_chinese_chars": False, "tokenizer_class": "ElectraTokenizerFast"},
    ],
)
@pytest.mark.parametrize("stored", [None, {"do_lower_case": True}, {"do_lower_case": False}])
def test_the_configuration_decides_how_text_is_cut_whatever_tokenizer_json_says(make_folder, options, stored):
    found = assert_same_ids(make_folder(stored=stored, tokenizer_config=options), ["The É é the"])
    pieces = found.tokenizer.encode("The É", add_special_tokens=False).tokens
    assert pieces[0] == ("the" if options.get("do_lower_case", True) else "The")
    assert pieces[-1].lower() == (
        "e" if options.get("strip_accents", options.get("do_lower_case", True)) else "é"
    )


def test_a_tokenizer_that_is_all_in_tokenizer_json_is_taken_from_there(make_folder):
    options = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "do_lower_case": True,
        **dict(zip(NAMES, SPECIAL_SYMBOLS, strict=True)),
    }
    found = assert_same_ids(make_folder(stored={"do_lower_case": False}, tokenizer_config=options))
    assert found.tokenizer.encode("The", add_special_tokens=False).tokens == ["The"]


NAMES = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
NEXT = len(PIECES)
ADDED = [
    pytest.param(
        {"tokenizer_config": {"added_tokens_decoder": {str(NEXT): {"content": "[E1]", **FLAGS}}}},
        id="added_tokens_decoder",
    ),
    pytest.param({"added_tokens": {"[E1]": NEXT}}, id="added_tokens.json"),
    pytest.param(
        {"tokenizer_config": {"additional_special_tokens": ["[E1]"]}, "added_tokens": {"[E1]": NEXT}},
        id="special, added_tokens.json",
    ),
    pytest.param(
        {"tokenizer_config": {"extra_special_tokens": {"entity_token": "[E1]"}}},
        id="extra_special_tokens by name",
    ),
    pytest.param({"tokenizer_config": {"entity_token": "[E1]"}}, id="a name of its own"),
]


@pytest.mark.parametrize("files", ADDED)
def test_tokens_that_the_user_added_stay_whole_wherever_the_folder_lists_them(make_folder, files):
    found = assert_same_ids(
        make_folder(**files), ["a [E1] b", "a[E1]b the[E1]", "E1 [unused0] [MASKED]"], len(PIECES) + 1
    )
    ids = found.tokenizer.encode("a [E1] b", add_special_tokens=False).ids
    assert len(ids) == 3 and found.order[ids[1]] == len(PIECES) and not found.unnamed
    kept = found.tokenizer.encode("<s> [MASK] <mask>", add_special_tokens=False).ids
    assert min(kept) > 2 and max(kept) < len(PIECES)  # special symbols in text are text


def test_unused_pieces_that_became_special_tokens_stay_whole_too(make_folder):
    folder = make_folder(
        tokenizer_config={"additional_special_tokens": ["[unused1]"], "do_lower_case": False}
    )
    found = assert_same_ids(folder, ["a [unused1] b [unused0]"])
    assert [found.order[i] for i in found.tokenizer.encode("[unused1]", add_special_tokens=False).ids] == [2]


def test_added_words_are_found_as_their_flags_say_and_are_no_pieces_of_other_words(make_folder):
    folder = make_folder()
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    theirs.add_tokens(
        [
            "covid",
            transformers.AddedToken("Two Words", normalized=False),
            transformers.AddedToken("solo", single_word=True),
        ]
    )
    theirs.add_tokens([transformers.AddedToken("abcabc", normalized=False)])
    theirs.save_pretrained(folder)
    texts = ["covids COVID anticovid", "Two Words two words", "solo solos xsolo", "ABCABC abcabc abcabcabc"]
    assert_same_ids(folder, texts)


@pytest.mark.parametrize("more", [1, 8, 64])
def test_rows_of_a_padded_table_get_names_that_no_text_gives(make_folder, more):
    found = assert_same_ids(make_folder(), ["[unused2] [unused3]"], len(PIECES) + more)
    assert found.unnamed == [f"[unused{i + 2}]" for i in range(more)]  # 0 and 1 are pieces
    assert found.order[-1 - more : -1] == list(range(len(PIECES), len(PIECES) + more))


def test_rows_between_the_pieces_and_an_added_token_get_names_too(make_folder):
    folder = make_folder(added_tokens={"[E1]": NEXT + 3})
    found = read_tokenizer(folder, NEXT + 4)
    assert found.unnamed == ["[unused2]", "[unused3]", "[unused4]"] and sorted(found.order) == list(
        range(NEXT + 4)
    )
    assert [found.order[i] for i in found.tokenizer.encode("[E1]", add_special_tokens=False).ids] == [
        NEXT + 3
    ]
    with pytest.raises(
        InputError,
        match=r"cuts .* as transformers' BertTokenizer reads it, and into .* here; nothing was written",
    ):
        compare_tokenizers(folder, found.tokenizer, found.order)  # which gives it the next id


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            {"tokenizer_config": {"tokenizer_class": "BertJapaneseTokenizer"}},
            "is BertJapaneseTokenizer, whose way to cut text is not known",
        ),
        ({"config": {"tokenizer_class": "BertJapaneseTokenizer"}}, "is BertJapaneseTokenizer, whose way"),
        ({"config": {"model_type": "roformer"}}, "is RoFormerTokenizer, whose way"),
        (
            {"tokenizer_config": {"tokenizer_class": "KoCharElectraTokenizer"}},
            "is KoCharElectraTokenizer, whose way",
        ),
        ({"tokenizer_config": {"auto_map": {"AutoTokenizer": ["mine.Mine", None]}}}, "is code of its own"),
        (
            {"tokenizer_config": {"tokenizer_class": "PreTrainedTokenizerFast"}},
            "its PreTrainedTokenizerFast has no other file",
        ),
        (
            {"tokenizer_config": {"do_lower_case": "false"}},
            "has do_lower_case 'false'; it must be true or false",
        ),
        ({"tokenizer_config": {"strip_accents": 0}}, "has strip_accents 0; it must be true or false"),
        (
            {"tokenizer_config": {"added_tokens_decoder": ["x"]}},
            "added_tokens_decoder in tokenizer_config.json must be an object",
        ),
        ({"tokenizer_config": {"added_tokens_decoder": {"7": "x", "8": 5}}}, "has 5 for an added token"),
        (
            {"tokenizer_config": {"extra_special_tokens": 5}},
            "has 5 for extra_special_tokens or additional_special_tokens",
        ),
        (
            {"tokenizer_config": {"additional_special_tokens": "ab"}},
            "has 'ab' for extra_special_tokens or additional_special_tokens",
        ),
        ({"added_tokens": {"[E1]": "x"}}, "has 'x' for the id of an added token"),
        ({"added_tokens": {"[E1]": 5}}, f"has the id 5 for {PIECES[5]!r} and for '[E1]'"),
        (
            {"added_tokens": {"[E1]": NEXT}},
            f"has {NEXT + 1:,} entries, but the network's token table {NEXT:,}",
        ),
        (
            {"pieces": PIECES[: NEXT // 2]},
            f"has {NEXT // 2:,} entries, but the network's token table {NEXT:,}",
        ),
        ({"pieces": [*PIECES[:-1], "a"]}, "has 'a' twice"),
        ({"tokenizer_config": {"cls_token": "[BOS]"}, "pieces": PIECES}, "lacks [BOS]; name its cls_token"),
    ],
)
def test_vocabularies_that_cannot_be_read_as_they_are_meant_end_in_one_sentence(make_folder, files, sentence):
    with pytest.raises(InputError) as caught:
        read_tokenizer(make_folder(**files), NEXT)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"x": ' + "1" * 5000 + "}", "{"], ids=["nested", "digits", "cut short"]
)
def test_a_file_of_json_that_cannot_be_read_is_named(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config\.json is no JSON .*; copy it again"):
        read_json(tmp_path / "config.json")


def small_net(folder, rows, **config):
    sizes = transformers.ElectraConfig(vocab_size=rows, pad_token_id=0, **SMALL, **config)
    transformers.ElectraForPreTraining(sizes).save_pretrained(folder)


def test_a_padded_cased_net_with_an_added_token_is_imported_and_the_command_says_so(tmp_path, make_folder):
    folder = make_folder(tokenizer_config={"do_lower_case": False}, added_tokens={"[E1]": NEXT})
    small_net(folder, NEXT + 8)
    lines = import_transformers(folder, tmp_path / "in" / "checkpoint.pt")
    assert (
        "rows of the token table without a piece: 7, named [unused2] to [unused8], which no text gives"
        in lines
    )
    assert any(
        line.startswith("tokenizer: the same ids as transformers' BertTokenizer on 6") for line in lines
    )
    loaded = load_checkpoint(tmp_path / "in" / "checkpoint.pt")
    assert loaded.model.embeddings.tokens.weight.shape[0] == len(loaded.symbols) == NEXT + 8
    assert loaded.tokenizer.encode("The [E1]", add_special_tokens=False).tokens == ["The", "[E1]"]
    lines = export_transformers(loaded, tmp_path / "out")
    assert any("tokenizer: the same ids" in line and "with added tokens (1)" in line for line in lines)
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "out").tokenize("The [E1] [MASK]")[:3] == [
        "The",
        "[E1]",
        "[",
    ]


def test_a_tokenizer_that_cuts_text_otherwise_is_noticed_and_nothing_is_written(
    tmp_path, make_folder, monkeypatch
):
    folder = make_folder()
    small_net(folder, NEXT)
    monkeypatch.setattr(
        cutting,
        "_normalizer",
        lambda *_: normalizers.BertNormalizer(lowercase=True, strip_accents=False),
    )
    with pytest.raises(
        InputError,
        match=r"cuts 'Ünïcödé.* as transformers' BertTokenizer reads it, and into .* nothing was written",
    ):
        import_transformers(folder, tmp_path / "in" / "checkpoint.pt")
    assert not (tmp_path / "in").exists()


def one_more_separator(folder):
    path = folder / "tokenizer.json"
    stored = Tokenizer.from_file(str(path))
    ids = [(name, stored.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    stored.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] [SEP] $B:1 [SEP]:1", special_tokens=ids
    )
    stored.save(str(path))
    edit(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")


def no_segments(folder):
    edit(folder / "tokenizer_config.json", model_input_names=["input_ids", "attention_mask"])


def other_side(folder):
    edit(folder / "tokenizer_config.json", truncation_side="left")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (one_more_separator, "puts the texts a and b into the row '[CLS] a [SEP] [SEP] b [SEP]'"),
        (no_segments, "gives the second text of a pair no segment 1"),
        (other_side, "cuts off the beginning of texts that are too long"),
    ],
)
def test_a_network_that_was_fine_tuned_on_other_rows_is_refused_and_others_get_a_note(
    tmp_path, make_theirs, change, sentence
):
    made = make_theirs(generator=None, class_name="ElectraForSequenceClassification")
    import_transformers(made.folder, tmp_path / "same" / "checkpoint.pt")
    change(made.folder)
    with pytest.raises(InputError, match="fine-tuned on such rows; nothing was written") as refused:
        import_transformers(made.folder, tmp_path / "tuned" / "checkpoint.pt")
    assert sentence in str(refused.value) and not (tmp_path / "tuned").exists()
    edit(made.folder / "config.json", architectures=["ElectraModel"])
    (note,) = (
        line
        for line in import_transformers(made.folder, tmp_path / "plain" / "checkpoint.pt")
        if line.startswith("note: ")
    )
    assert sentence in note
