"""What a vocabulary makes of a corpus: tokens, tokens per word, and characters that are lost to ``<unk>``."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fairseq_electra.corpus_report.paragraphs import Document
from fairseq_electra.pretraining.encode import encode_lines
from fairseq_electra.pretraining.unknown import Unknown
from fairseq_electra.pretraining.wordpiece import load_wordpiece


class VocabularyUse:
    """Counts what a vocabulary makes of documents.

    Args:
        folder: folder of the vocabulary.

    Raises:
        InputError: the folder has no tokenizer.
    """

    def __init__(self, folder: str | Path):
        self._folder, self._tokenizer = str(folder), load_wordpiece(folder)
        self.unknown, self._words = Unknown(), 0

    def add(self, documents: Iterable[Document]) -> None:
        """Encode the text of documents."""
        paragraphs = [paragraph for document in documents for paragraph in document.paragraphs]
        for _ in encode_lines(self._tokenizer, (each.text for each in paragraphs), self.unknown):
            pass
        self._words += sum(len(paragraph.words) for paragraph in paragraphs)

    def as_dict(self) -> dict[str, Any]:
        """Return the counts in a form for JSON."""
        return {
            "folder": self._folder,
            "tokens": self.unknown.ids,
            "tokens_per_word": self.unknown.ids / max(self._words, 1),
            "unknown_tokens": self.unknown.share_of_ids,
            "lost_characters": self.unknown.share_of_characters,
        }
