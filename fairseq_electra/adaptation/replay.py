"""Old text mixed into new text, so that a model does not forget what it knew."""

from collections.abc import Iterable, Iterator
from itertools import chain

from tokenizers import Tokenizer

from fairseq_electra.pretraining.encode import encode_lines
from fairseq_electra.pretraining.pieces import pieces_of
from fairseq_electra.pretraining.unknown import Unknown

PART_TOKENS = 2048  # of a document of the old text that is mixed in at once, if it is longer

Document = list[list[int]]  # the ids of each line


def encoded_documents(
    tokenizer: Tokenizer,
    lines: Iterable[str],
    unknown: Unknown | None = None,
    longest: int | None = None,
) -> Iterator[Document]:
    """Encode running text, and yield its documents.

    Args:
        tokenizer: the vocabulary.
        lines: text with blank lines between documents.
        unknown: counts unknown text.
        longest: a longer document is yielded in parts that end with a line, once they have so many tokens; a
            longer line is cut.
    """
    texts = pieces_of(tokenizer).texts_of_lines(lines)
    document, tokens = Document(), 0
    lines_of_ids = chain.from_iterable(encode_lines(tokenizer, texts, unknown))
    for ids in lines_of_ids if longest is None else _cut(lines_of_ids, longest):
        if ids:
            document.append(ids)
            tokens += len(ids)
        if document and (not ids or (longest is not None and tokens >= longest)):
            yield document
            document, tokens = [], 0
    if document:
        yield document


def _cut(lines: Iterable[list[int]], longest: int) -> Iterator[list[int]]:
    for ids in lines:
        yield from (ids[first : first + longest] for first in range(0, max(len(ids), 1), longest))


class Mixture:
    """Documents of a new text, with documents of an old one between them; the same at each reading.

    Args:
        new: the new documents, all of which are taken.
        old: the old ones, taken from the first on until they have their share.
        share: share of the old text in the tokens of both, from 0 to below 1.

    Attributes:
        new_tokens, old_tokens: number of tokens taken so far from either text.
    """

    def __init__(self, new: Iterable[Document], old: Iterable[Document] = (), share: float = 0.0):
        self._new, self._old, self._by_new = new, iter(old), share / (1 - share)
        self.new_tokens = self.old_tokens = 0

    @property
    def share(self) -> float:
        """Share of the old text in the tokens taken so far; smaller than asked for if it has no more text."""
        return self.old_tokens / max(1, self.new_tokens + self.old_tokens)

    def __iter__(self) -> Iterator[Document]:
        for document in self._new:
            yield document
            self.new_tokens += tokens_of(document)
            while self.old_tokens < self._by_new * self.new_tokens:
                old = next(self._old, None)
                if old is None:
                    break
                yield old
                self.old_tokens += tokens_of(old)


def tokens_of(document: Document) -> int:
    """Count the tokens of a document."""
    return sum(map(len, document))
