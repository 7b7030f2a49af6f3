"""U+0085, U+2028 and the like are characters, not line ends, in vocabularies and labels."""

import pytest
from tokenizers import Tokenizer, decoders, models

from fairseq_electra.cli.config import comment, from_comment
from fairseq_electra.compat.sentence_data import check_number_of_classes
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.sentences import PREDICTION
from fairseq_electra.finetuning.sentences.folder import write_task_folder
from fairseq_electra.finetuning.sentences.read import Example
from fairseq_electra.finetuning.words import TAGGING
from fairseq_electra.finetuning.words.folder import write_tag_folder
from fairseq_electra.finetuning.words.read import Sentence, read_conll
from fairseq_electra.finetuning.words.tags import BIO, Entity
from fairseq_electra.pretraining.binarized import load_dictionary
from fairseq_electra.pretraining.encode import check_ids, encode_to_binary
from fairseq_electra.pretraining.pieces import pieces_of
from fairseq_electra.pretraining.wordpiece import LEADING, MASK, load_wordpiece, read_entries, save_vocabulary
from fairseq_electra.tasks.electra_wordpiece import ElectraWordPiece

# where str.splitlines cuts, but for \n and \r
SEPARATORS = [*["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]]
LABELS = tuple(f"a{separator}b" for separator in SEPARATORS)


def vocabulary_of(*pieces):
    symbols = [*LEADING, *pieces, MASK]
    tokenizer = Tokenizer(
        models.WordPiece({symbol: i for i, symbol in enumerate(symbols)}, unk_token="<unk>")
    )
    tokenizer.add_special_tokens([*LEADING, MASK])
    return tokenizer


def test_a_vocabulary_with_line_separators_is_the_same_in_both_of_its_files(tmp_path):
    pieces = [*SEPARATORS, *LABELS, "\u3000", "word"]  # BERT's Chinese vocabulary has U+2028 as a piece
    save_vocabulary(vocabulary_of(*pieces), tmp_path)
    assert read_entries(tmp_path / "dict.txt") == [*pieces, MASK]
    check_ids(load_wordpiece(tmp_path), tmp_path)
    encode_to_binary(load_wordpiece(tmp_path), ["word"], tmp_path / "bin" / "train", tmp_path)
    assert load_dictionary(tmp_path / "bin").symbols == [*LEADING, *pieces, MASK]


def test_labels_with_line_separators_are_counted_as_fairseq_counts_them(tmp_path, vocabulary):
    info = TaskInfo("task", PREDICTION, 1, LABELS, ("accuracy",), 16)
    examples = [Example(("text",), label, "") for label in LABELS]
    write_task_folder(tmp_path / "task", vocabulary, {"train": examples}, info)
    assert tuple(load_dictionary(tmp_path / "task" / "label").symbols[len(LEADING) : -1]) == LABELS
    check_number_of_classes(tmp_path / "task", len(LABELS), has_classes=True)
    with pytest.raises(InputError, match=f"names {len(LABELS)} labels"):
        check_number_of_classes(tmp_path / "task", len(LABELS) + 1, has_classes=True)


def test_a_label_with_a_line_end_is_refused_and_nothing_is_left(tmp_path, vocabulary):
    info = TaskInfo("task", PREDICTION, 1, ("good", "a\nb"), ("accuracy",), 16)
    with pytest.raises(InputError, match=r"'a\\nb' holds a line end"):
        write_task_folder(
            tmp_path / "new" / "task", vocabulary, {"train": [Example(("text",), "good", "")]}, info
        )
    sentences = [Sentence(["word"], [Entity("a\rb", 0, 1)], "")]
    with pytest.raises(InputError, match=r"'B-a\\rb' holds a line end"):
        write_tag_folder(
            tmp_path / "new" / "tags",
            vocabulary,
            {"train": sentences},
            TaskInfo("tags", TAGGING, 1, (), (), 16, stride=8),
        )
    assert list((tmp_path / "new").iterdir()) == []


def test_numbers_of_choices_are_read_in_fairseqs_lines(tmp_path):
    for name in ("input0", "input1", "input2", "label"):
        (tmp_path / name).mkdir()
    (tmp_path / "label" / "train.label").write_text("0\x0c\n1\u2028\n", encoding="utf-8")
    check_number_of_classes(tmp_path, 2, has_classes=False)
    (tmp_path / "label" / "train.label").write_text("0\x0c\n2\n")
    with pytest.raises(InputError, match="line 2: '2' is not a choice from 0 to 1"):
        check_number_of_classes(tmp_path, 2, has_classes=False)


def test_pieces_with_line_separators_are_joined_whole():
    bpe = ElectraWordPiece.__new__(ElectraWordPiece)
    bpe.tokenizer = vocabulary_of("word")
    bpe.tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    bpe.pieces = pieces_of(bpe.tokenizer)
    assert bpe.decode("<s> x\u2028y  word </s>") == "x\u2028y word"


@pytest.mark.parametrize("between", ["\t", " "])
def test_a_separator_within_a_word_or_a_tag_does_not_end_its_line(tmp_path, between):
    (tmp_path / "a.conll").write_text(f"a\u2028b{between}O\nword{between}B-X\x85Y\n", encoding="utf-8")
    (sentence,) = read_conll(tmp_path / "a.conll", BIO)
    assert (sentence.words, sentence.entities) == (["a\u2028b", "word"], [Entity("X\x85Y", 1, 2)])


def test_a_command_line_with_a_separator_is_read_back_from_its_comment():
    arguments = ["data\u2028bin", "--save-dir", "a\x85b"]
    assert from_comment("first line\n" + comment(arguments) + "\n") == arguments


def test_a_dictionary_that_is_not_utf_8_is_refused_in_words(tmp_path):
    (tmp_path / "dict.txt").write_bytes(b"caf\xe9 1\n")
    with pytest.raises(InputError, match="is no dictionary: not UTF-8"):
        read_entries(tmp_path / "dict.txt")
    with pytest.raises(InputError, match="cannot read"):
        read_entries(tmp_path / "absent.txt")
