import gzip
import lzma
import shutil
import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from fairseq.data import Dictionary
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from fairseq_electra.cli import main
from fairseq_electra.errors import InputError
from fairseq_electra.files.text import read_lines
from fairseq_electra.pretraining.binarized import load_dictionary, word_starts
from fairseq_electra.pretraining.dictionary import read_symbols, read_vocabulary
from fairseq_electra.pretraining.encode import encode_lines, encode_to_pieces
from fairseq_electra.pretraining.wordpiece import (
    LEADING,
    MASK,
    count_texts,
    count_words,
    frequent_characters,
    load_wordpiece,
    sample_lines,
    save_vocabulary,
    train_wordpiece,
)
from tests.helpers.commands import electra, fairseq, fairseq_process, run

AWKWARD = [
    "A literal <s> and <mask> and </s>, <unk>, <pad> and [MASK] stay text.",
    "carriage\rreturn inside, and at the end\r",
    "next\u0085line, line\u2028separator, paragraph\u2029separator, form\ffeed, vertical\vtab",
    *["a NUL \x00 here and a BOM \ufeff there", "\ufeff", "", "   ", "x" * 300],
    *["accents: é à ü ñ; cjk: 漢字 かな; emoji: 🙂👩\u200d🔬; ligature ﬁ; wide Ａ", "", "", "the end"],
]


@pytest.fixture
def awkward(tmp_path):
    path = tmp_path / "awkward.txt"
    path.write_bytes("\n".join(AWKWARD * 3).encode())  # no line end at the end
    return path


def test_dictionary_and_tokenizer_hold_the_same_ids(vocabulary):
    tokenizer, dictionary = load_wordpiece(vocabulary), load_dictionary(vocabulary)
    assert len(dictionary) == tokenizer.get_vocab_size() == 1000
    assert all(tokenizer.token_to_id(symbol) == i for i, symbol in enumerate(dictionary.symbols))
    assert dictionary.symbols[:4] == list(LEADING) and dictionary.symbols[-1] == MASK


@pytest.mark.parametrize("workers", [1, 2])
def test_one_pass_writes_what_fairseq_preprocess_writes_byte_for_byte(tmp_path, vocabulary, awkward, workers):
    pieces = electra("encode", "--vocab", vocabulary, input=awkward).stdout
    (tmp_path / "train.pieces").write_text(pieces, newline="\n")
    fairseq(
        *["preprocess", "--task", "electra_pretraining", "--only-source"],
        *["--srcdict", vocabulary / "dict.txt", "--trainpref", tmp_path / "train.pieces"],
        *["--destdir", tmp_path / "classic", "--workers"],
        str(workers),
    )
    electra("encode", "--vocab", vocabulary, "--destdir", tmp_path / "direct", "--trainpref", awkward)
    for name in ("train.bin", "train.idx", "dict.txt"):
        assert (tmp_path / "direct" / name).read_bytes() == (tmp_path / "classic" / name).read_bytes(), name
    sizes = np.fromfile(tmp_path / "direct" / "train.idx", np.int32, count=36, offset=26)
    assert len(sizes) == len(AWKWARD) * 3
    assert [int(size) for size in sizes[[4, 5, 6]]] == [1, 1, 1]


def test_special_symbols_in_text_stay_text(vocabulary):
    ids = load_wordpiece(vocabulary).encode(AWKWARD[0], add_special_tokens=False).ids
    assert min(ids) > 3 and max(ids) < 999


def test_an_added_token_with_a_blank_inside_goes_into_ids_and_not_into_pieces(vocabulary):
    tokenizer = load_wordpiece(vocabulary)
    tokenizer.add_tokens(["new york"])
    assert list(encode_to_pieces(tokenizer, ["a b"])) == ["a b"]
    assert next(encode_lines(tokenizer, ["a new york"]))[0][-1] == tokenizer.token_to_id("new york")
    with pytest.raises(
        InputError, match=r"the added token 'new york' has a blank inside, .* with --destdir DIR"
    ):
        list(encode_to_pieces(tokenizer, ["a b", "a new york"]))


def test_the_same_text_compressed_gives_the_same_lines(tmp_path):
    plain = "\n".join(AWKWARD).encode() + b"\n"
    for name, write in (("a.txt", open), ("a.txt.gz", gzip.open), ("a.txt.xz", lzma.open)):
        with write(tmp_path / name, "wb") as stream:
            stream.write(plain)
    expected = [line.removesuffix("\r") for line in AWKWARD]
    for name in ("a.txt", "a.txt.gz", "a.txt.xz"):
        assert list(read_lines(tmp_path / name)) == expected


def test_moses_normalises_punctuation_first(vocabulary):
    done = electra("encode", "--vocab", vocabulary, "--moses", input="„quoted“ text…\n")
    plain = electra("encode", "--vocab", vocabulary, input='"quoted" text...\n')
    assert done.stdout == plain.stdout


@pytest.mark.parametrize(
    ("options", "kept"), [({}, "ecole"), ({"keep_accents": True}, "école"), ({"cased": True}, "École")]
)
def test_case_and_accents(options, kept):
    tokenizer = train_wordpiece(["École"] * 20, 60, **options)
    assert tokenizer.encode("École", add_special_tokens=False).tokens == [kept]


def test_training_is_repeatable(corpus_lines):
    first, second = (train_wordpiece(corpus_lines, 600).get_vocab() for _ in range(2))
    assert first == second


def test_training_is_repeatable_where_signs_stand_in_words_and_rare_characters_are_left_out():
    lines = ["20°c and 30°c cost 5€ or 6€", "a×b−c ångström naïve", "10½ km² of 面積 and ψ"] * 50 + [
        "שלום zß",
        "ωmega",
    ]
    first, second = (train_wordpiece(lines, 150, character_coverage=0.99).get_vocab() for _ in range(2))
    assert first == second
    assert "##°" in first and "##面" not in first and "ש" not in first


def test_rare_characters_have_no_pieces_but_ascii_has():
    words = Counter({"aaaa": 100, "ee": 100, "~": 1, "ψ": 1})
    assert frequent_characters(words, 0.99) == ["a", "e", "~"]
    assert frequent_characters(words, 1.0) == ["a", "e", "~", "ψ"]


def test_words_are_those_that_the_library_makes_of_whole_lines(corpus_lines):
    tokenizer = Tokenizer(models.WordPiece())
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    odd = ["a\tb  c\u00a0d\x1ce\u3000f", " ", "", "面積and ΟΔΟΣ.", "e\u0301 \u0301e İI ﬁ", "\u2028x\u0085y"]
    lines = [*corpus_lines[:500], *odd]
    plain = Counter(
        word
        for line in lines
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(line))
    )
    assert count_words(tokenizer, count_texts(lines)) == plain


def test_a_sample_of_a_pipe_is_refused_and_all_of_it_is_not(tmp_path, corpus_lines):
    options = ["--size", "600", "--output", tmp_path / "vocab", "-"]
    done = electra("vocab", *options, input="\n".join(corpus_lines), check=False)
    assert done.returncode == 1 and "--sample 0" in done.stderr
    electra("vocab", *options, "--sample", "0", input="\n".join(corpus_lines))
    assert load_wordpiece(tmp_path / "vocab").get_vocab_size() == 600


def test_a_sample_is_spread_over_the_text(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("".join(f"line number {i}\n" for i in range(10_000)))
    lines = list(sample_lines([path], 40_000))
    assert sum(map(len, lines)) == pytest.approx(40_000, rel=0.1)
    numbers = [int(line.split()[-1]) for line in lines]
    assert numbers == sorted(numbers) and numbers[0] < 100 and numbers[-1] > 9900
    assert lines == list(sample_lines([path], 40_000))


def test_bpe_round_trip(vocabulary):
    from omegaconf import OmegaConf

    from fairseq_electra.tasks.electra_wordpiece import ElectraWordPiece, ElectraWordPieceConfig

    bpe = ElectraWordPiece(
        OmegaConf.merge(OmegaConf.structured(ElectraWordPieceConfig), {"wordpiece_vocab": str(vocabulary)})
    )
    pieces = bpe.encode("The statement is executed")
    assert bpe.decode("<s> " + pieces + " </s>") == "the statement is executed"
    assert [bpe.is_beginning_of_word(piece) for piece in ("the", "##re")] == [True, False]


@pytest.mark.parametrize("sample", ["-1", "inf", "nan"])
def test_a_sample_that_is_no_number_of_characters_is_refused(tmp_path, capsys, sample):
    (tmp_path / "text").write_text("a\n")
    assert main(["vocab", "--output", str(tmp_path / "out"), "--sample", sample, str(tmp_path / "text")]) == 1
    assert (
        f"--sample must be 0 or more, and finite, got {float(sample)}; --sample 0 takes all"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("words", "others"),
    [("▁the ▁cat ▁##", "s <unk> ##"), ("the cat ▁ <unk>", "##s ##ing")],
    ids=["sentencepiece", "WordPiece"],
)
def test_the_mark_that_more_entries_have_tells_which_begin_a_word(words, others):
    symbols = [*words.split(), *others.split()]
    starts = word_starts(SimpleNamespace(symbols=symbols))
    assert [symbol for symbol, begins in zip(symbols, starts, strict=True) if begins] == words.split()


@pytest.mark.long
def test_sentencepiece_goes_through_fairseqs_own_bpe(tmp_path, corpus_lines):
    import sentencepiece

    (tmp_path / "text").write_text("\n".join(corpus_lines[:300]))
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "text"), model_prefix=str(tmp_path / "spm"), vocab_size=500
    )
    model = sentencepiece.SentencePieceProcessor(str(tmp_path / "spm.model"))
    (tmp_path / "dict.txt").write_text("".join(f"{model.id_to_piece(i)} 1\n" for i in range(3, 500)))
    from fairseq.data.encoders.sentencepiece_bpe import SentencepieceBPE, SentencepieceConfig
    from omegaconf import OmegaConf

    bpe = SentencepieceBPE(
        OmegaConf.merge(
            OmegaConf.structured(SentencepieceConfig), {"sentencepiece_model": str(tmp_path / "spm.model")}
        )
    )
    (tmp_path / "train.pieces").write_text("".join(bpe.encode(line) + "\n" for line in corpus_lines[:60]))
    fairseq_process(
        *["preprocess", "--task", "electra_pretraining", "--only-source"],
        *["--srcdict", tmp_path / "dict.txt", "--trainpref", tmp_path / "train.pieces"],
        *["--validpref", tmp_path / "train.pieces", "--destdir", tmp_path / "bin"],
    )
    dictionary = load_dictionary(tmp_path / "bin")
    assert dictionary.symbols[-1] == "<mask>"
    assert 50 < word_starts(dictionary).sum() < 450
    from tests.helpers.small_model import TINY_NET
    from tests.helpers.training import train

    log = train(tmp_path / "bin", tmp_path / "save", "--max-update", "2", "--mask-whole-words", *TINY_NET)
    assert log.updates == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"fine\nbad \xe9 byte\n", "line 2: not UTF-8 (byte 0xe9 at column 4)"),
        (b"", "no word to learn"),
        (b"\n\n  \n", "no word to learn"),
    ],
)
def test_vocab_refuses_bad_text(tmp_path, content, message):
    (tmp_path / "a.txt").write_bytes(content)
    done = electra("vocab", "--size", "50", "--output", tmp_path / "out", tmp_path / "a.txt", check=False)
    assert done.returncode == 1
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_cut_short_and_missing_files_are_named(tmp_path):
    text = b"".join(b"line number %d\n" % i for i in range(5000))
    (tmp_path / "a.gz").write_bytes(gzip.compress(text)[:-500])
    (tmp_path / "a.xz").write_bytes(lzma.compress(text)[:-500])
    for name in ("a.gz", "a.xz"):
        with pytest.raises(InputError, match="damaged or cut-short"):
            list(read_lines(tmp_path / name))
    with pytest.raises(InputError, match="cannot read"):
        list(read_lines(tmp_path / "absent.txt"))


def test_encode_leaves_nothing_behind_when_it_fails(tmp_path, vocabulary):
    (tmp_path / "a.txt").write_bytes(b"good line\n" * 10_000 + b"\xff\n")
    done = electra(
        *["encode", "--vocab", vocabulary, "--destdir", tmp_path / "out", "--trainpref", tmp_path / "a.txt"],
        check=False,
    )
    assert done.returncode == 1 and "line 10001: not UTF-8" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []
    (tmp_path / "empty.txt").write_text("\n\n")
    done = electra(
        *["encode", "--vocab", vocabulary, "--destdir", tmp_path / "out"],
        *["--trainpref", tmp_path / "empty.txt"],
        check=False,
    )
    assert done.returncode == 1 and "no text to encode" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_encode_refuses_what_does_not_fit_together(tmp_path, vocabulary, corpus_lines):
    (tmp_path / "a.txt").write_text("good line\n")
    save_vocabulary(train_wordpiece(corpus_lines, 700), tmp_path / "other")
    into = ["--destdir", tmp_path / "out"]
    electra("encode", "--vocab", vocabulary, *into, "--trainpref", tmp_path / "a.txt")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    more = ["--validpref", tmp_path / "a.txt"]
    done = electra("encode", "--vocab", tmp_path / "other", *into, *more, check=False)
    assert done.returncode == 1 and "is of another vocabulary" in done.stderr
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    shutil.copy(vocabulary / "dict.txt", tmp_path / "other" / "dict.txt")
    done = electra(
        *["encode", "--vocab", tmp_path / "other", "--destdir", tmp_path / "new"],
        *["--trainpref", tmp_path / "a.txt"],
        check=False,
    )
    assert done.returncode == 1 and "have different ids" in done.stderr and not (tmp_path / "new").exists()


def test_encode_refuses_a_folder_without_vocabulary(tmp_path):
    done = electra("encode", "--vocab", tmp_path, input="text\n", check=False)
    assert done.returncode == 1 and "no tokenizer.json" in done.stderr
    (tmp_path / "tokenizer.json").write_text("{}")
    done = electra("encode", "--vocab", tmp_path, input="text\n", check=False)
    assert done.returncode == 1 and "is no tokenizer" in done.stderr


def test_a_vocabulary_too_small_for_its_characters_is_refused(corpus_lines):
    with pytest.raises(InputError, match="has no room for"):
        train_wordpiece(corpus_lines, 20)


def test_our_commands_do_not_load_fairseq(vocabulary):
    code = (
        "import sys; from fairseq_electra.cli import main; main(['encode', '--vocab', sys.argv[1]]); "
        "assert not {'fairseq', 'torch'} & set(sys.modules)"
    )
    run([sys.executable, "-c", code, vocabulary], input="text\n")


def test_saving_refuses_a_vocabulary_in_another_order(tmp_path):
    from tokenizers import Tokenizer, models

    with pytest.raises(InputError, match="must start with"):
        save_vocabulary(Tokenizer(models.WordPiece({"a": 0, "<unk>": 1}, unk_token="<unk>")), tmp_path)


def test_read_vocabulary_gives_what_fairseq_reads(tmp_path, vocabulary):
    assert read_vocabulary(vocabulary) == load_dictionary(vocabulary).symbols
    path = tmp_path / "dict.txt"
    path.write_text("a 3\nb -1\n<s> 0 #fairseq:overwrite\nmadeupword0000 0\n", encoding="utf-8")
    assert read_symbols(path) == Dictionary.load(str(path)).symbols
    assert read_vocabulary(tmp_path) == load_dictionary(tmp_path).symbols


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("a 1\na 2\n", "line 2: 'a' stands there twice"),
        ("a b\n", "line 1: not a symbol and its count"),
        ("<s> 1\n", "twice"),
    ],
)
def test_read_symbols_names_the_line_that_is_wrong(tmp_path, lines, message):
    (tmp_path / "dict.txt").write_text(lines)
    with pytest.raises(InputError, match=message):
        read_symbols(tmp_path / "dict.txt")
    with pytest.raises((RuntimeError, ValueError)):
        Dictionary.load(str(tmp_path / "dict.txt"))
