"""Longer rows for a model: the base of its rotary angles, and documents of two lengths to train on."""

from collections.abc import Iterable, Iterator

from fairseq_electra.adaptation.replay import Document, tokens_of

ROWS_OF_A_STRETCH = 8  # long rows that a document is cut into at least, before some of them are cut further


def longer_base(base: float, before: int, after: int, head_size: int) -> float:
    """Return the base of rotary angles with which the slowest pair turns as far in longer rows as before.

    The fastest pair, which tells neighbours apart, turns as fast as before.

    Args:
        base: the base so far.
        before, after: tokens of the longest row, so far and from now on.
        head_size: dimensions of an attention head.

    Source: "NTK-aware" scaling, as in transformers modeling_rope_utils.py::_compute_dynamic_ntk_parameters,
        with the factor 1.
    """
    return base * (after / before) ** (head_size / max(head_size - 2, 1))


class TwoLengths:
    """Documents of which a share of the tokens stands in short parts, so that a model keeps reading these.

    Args:
        documents: the documents, in stretches of :data:`ROWS_OF_A_STRETCH` long rows where they are longer.
        short: tokens of a short part, at least; it ends with a line, or within one that is longer.
        long: tokens of a long row.
        share: share of the tokens in short parts, from 0 to below 1, which is never exceeded.

    Attributes:
        tokens, short_tokens, long_tokens: number of tokens read so far: of all, of those in short parts, and
            of those in documents that fill a long row.
    """

    def __init__(self, documents: Iterable[Document], short: int, long: int, share: float):
        self._documents, self._short, self._long, self._share = documents, short, long, share
        self.tokens = self.short_tokens = self.long_tokens = 0

    def __iter__(self) -> Iterator[Document]:
        for document in self._documents:
            count = tokens_of(document)
            self.tokens += count
            if self.short_tokens + count <= self._share * self.tokens:
                self.short_tokens += count
                yield from parts_of(document, self._short)
            else:
                self.long_tokens += count * (count >= self._long)
                yield document


def parts_of(document: Document, tokens: int) -> Iterator[Document]:
    """Cut a document into parts that end with a line, once they have so many tokens; longer lines are cut."""
    part = Document()
    for line in (each[start : start + tokens] for each in document for start in range(0, len(each), tokens)):
        part.append(line)
        if tokens_of(part) >= tokens:
            yield part
            part = Document()
    if part:
        yield part
