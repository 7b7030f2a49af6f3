"""What a vocabulary makes of a corpus: tokens, tokens per word, and characters that are lost to ``<unk>``."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fairseq_electra.corpus_report.paragraphs import Document
from fairseq_electra.pretraining.encode import encode_lines
from fairseq_electra.pretraining.pieces import pieces_of
from fairseq_electra.pretraining.unknown import Unknown
from fairseq_electra.pretraining.wordpiece import load_wordpiece


class VocabularyUse:
    """Counts what a vocabulary makes of documents.

    Args:
        folder: folder of the vocabulary.
        filtered: whether only what the filter leaves of the documents counts.

    Raises:
        InputError: the folder has no tokenizer.
    """

    def __init__(self, folder: str | Path, filtered: bool = False):
        self._filtered = filtered
        self._folder, self._tokenizer = str(folder), load_wordpiece(folder)
        self._pieces = pieces_of(self._tokenizer)
        self.unknown, self._words = Unknown(), 0

    def add(self, documents: Iterable[Document]) -> None:
        """Encode the text of documents."""
        lines: list[str] = []
        for document in documents:
            paragraphs = document.kept if self._filtered else document.paragraphs
            self._words += sum(len(paragraph.words) for paragraph in paragraphs)
            lines += [""] * document.begins + [paragraph.text for paragraph in paragraphs]
        for _ in encode_lines(self._tokenizer, self._pieces.texts_of_lines(lines), self.unknown):
            pass

    def as_dict(self) -> dict[str, Any]:
        """Return the counts in a form for JSON."""
        return {
            "folder": self._folder,
            "tokens": self.unknown.ids,
            "tokens_per_word": self.unknown.ids / max(self._words, 1),
            "unknown_tokens": self.unknown.share_of_ids,
            "lost_characters": self.unknown.share_of_characters,
        }
