"""Report on a corpus and, if asked to, write what the filter leaves of it; reads the text twice.

The first time counts how often each line occurs, the second does everything else.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from fairseq_electra.corpus_report.boilerplate import repeated_lines
from fairseq_electra.corpus_report.costs import warnings_of
from fairseq_electra.corpus_report.filtering import Filter, Settings, read_personal
from fairseq_electra.corpus_report.findings import Findings
from fairseq_electra.corpus_report.languages import Languages
from fairseq_electra.corpus_report.paragraphs import Document, read_documents
from fairseq_electra.corpus_report.vocabulary import VocabularyUse
from fairseq_electra.errors import InputError, listed
from fairseq_electra.files.text import OPENERS, atomic_write
from fairseq_electra.pretraining.documents import BLANK_LINES, DocumentCounts
from fairseq_electra.progress import Progress

BATCH_CHARACTERS = 1 << 19
Sink = Callable[[Document], None]


def report_on(
    paths: Sequence[str | Path],
    settings: Settings,
    vocabulary: str | Path | None = None,
    output: str | Path | None = None,
    progress: Progress | None = None,
    document_start: str = BLANK_LINES,
) -> dict[str, Any]:
    """Examine a corpus.

    Args:
        paths: its files, as :func:`fairseq_electra.corpus_report.paragraphs.read_documents` reads them.
        settings: what the filter removes.
        vocabulary: folder of a vocabulary whose use is counted.
        output: file for the text that the filter leaves; compressed if its name ends in .gz or .xz.
        progress: counts the lines.
        document_start: where documents start.

    Returns:
        what was found, in a form for JSON; of the vocabulary what it makes of the text that is left, if
            there is an output. :func:`fairseq_electra.corpus_report.table.table` shows it.

    Raises:
        InputError: the text is empty or cannot be read, a language is unknown, or the filter leaves nothing.
            Nothing is written.
    """
    progress = progress or Progress()
    filtered = output is not None
    use = VocabularyUse(vocabulary, filtered) if vocabulary is not None else None
    languages = Languages()
    languages.check(settings.languages)
    counts = DocumentCounts()
    lines = counts.over(_lines(read_documents(paths, document_start), settings, progress))
    repeated = repeated_lines((line for line in lines if line), settings.repeats)
    judge, findings = Filter(settings, repeated, languages), Findings(repeated)
    with writer(output) as write:
        progress.stage("examining", "lines")
        for documents in batches(read_documents(paths, document_start)):
            findings.add(documents, judge.judge(documents))
            if use is not None:
                use.add(documents)
            for document in documents:
                write(document)
                progress.add(len(document.paragraphs))
        if not findings.read.lines:
            raise InputError(f"{listed(map(str, paths))}: no text; give files with text in them")
        if filtered and not findings.kept.lines:
            raise InputError(f"the filter leaves nothing for {output}; the report without --filter says why")
    found = {
        "files": list(map(str, paths)),
        "settings": settings._asdict(),
        "filtered": filtered,
        **findings.as_dict(),
    }
    if use is not None:
        found["vocabulary"] = use.as_dict()
    place = str(paths[0]) if len(paths) == 1 else "the text"
    of_form = [counts.warning_of_returns(place), counts.warning(place, len(paths), document_start)]
    warnings = [each.removeprefix("WARNING: ") for each in of_form if each]
    words = findings.kept_document_words if filtered else findings.document_words
    return found | {"warnings": [*warnings, *warnings_of(found, words)]}


def _lines(documents: Iterable[Document], settings: Settings, progress: Progress) -> Iterator[str]:
    """Yield the lines of documents as the filter compares them, and a blank one behind each document."""
    progress.stage("counting lines", "lines")
    for document in documents:
        for paragraph in document.paragraphs:
            if settings.mask_personal:
                read_personal(paragraph, mask=True)
            yield paragraph.text
        if document.ends:
            yield ""
        progress.add(len(document.paragraphs))


def batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Put documents together to batches of about :data:`BATCH_CHARACTERS`, for the sake of speed."""
    batch, characters = list[Document](), 0
    for document in documents:
        batch.append(document)
        characters += sum(len(paragraph.text) for paragraph in document.paragraphs)
        if characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


@contextlib.contextmanager
def writer(path: str | Path | None) -> Iterator[Sink]:
    """Yield a function that writes what is left of a document; the file appears once all of it is written.

    Args:
        path: the file, compressed if its name ends in .gz or .xz; None: nothing is written.
    """
    if path is None:
        yield lambda document: None
        return
    with atomic_write(path, "wb") as raw, contextlib.ExitStack() as stack:
        stream: BinaryIO = raw
        if opener := OPENERS.get(Path(path).suffix):
            stream = stack.enter_context(opener(raw, "wb"))
        yield _Text(stream).write


class _Text:
    """Writes documents with a blank line between two of which something is left."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        self._begun = self._separated = False

    def write(self, document: Document) -> None:
        """Write the paragraphs that are left."""
        self._separated = self._separated or (document.begins and self._begun)
        for paragraph in document.kept:
            if self._separated:
                self._stream.write(b"\n")
            self._stream.write(paragraph.text.encode() + b"\n")
            self._begun, self._separated = True, False
