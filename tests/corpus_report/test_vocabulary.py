"""What a vocabulary makes of a corpus, against what encode writes."""

import pytest

from fairseq_electra.corpus_report.paragraphs import read_documents
from fairseq_electra.corpus_report.vocabulary import VocabularyUse
from fairseq_electra.pretraining.binarized import open_binarized
from fairseq_electra.pretraining.byte_level_bpe import train_byte_level_bpe
from fairseq_electra.pretraining.wordpiece import save_vocabulary, train_wordpiece
from tests.helpers.commands import electra

TEXT = "one two\nthree four\nfive\n\nsix\nseven\n"


@pytest.mark.parametrize("train", [train_byte_level_bpe, train_wordpiece])
def test_tokens_are_those_that_encode_writes(tmp_path, corpus_lines, train):
    """With byte-level BPE the line ends within a document are tokens."""
    tokenizer = train(corpus_lines[:200], 600)
    save_vocabulary(tokenizer, tmp_path / "vocab")
    (tmp_path / "text.txt").write_text(TEXT)
    use = VocabularyUse(tmp_path / "vocab")
    use.add(read_documents([tmp_path / "text.txt"]))
    folders = ["--vocab", tmp_path / "vocab", "--destdir", tmp_path / "bin"]
    electra("encode", *folders, "--trainpref", tmp_path / "text.txt")
    written = open_binarized(tmp_path / "bin" / "train", tokenizer.get_vocab_size())
    ends = len(written.line_sizes)
    assert use.as_dict()["tokens"] == len(written.ids) - ends > 0
