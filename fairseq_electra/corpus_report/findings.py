"""What was found in a corpus: counts, lengths and examples, as one object for a JSON file."""

import heapq
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fairseq_electra.corpus_report.boilerplate import line_key
from fairseq_electra.corpus_report.filtering import BOILERPLATE, NEAR_DUPLICATE, STEPS, Copy
from fairseq_electra.corpus_report.paragraphs import Document, Paragraph, excerpt

MAX_EXAMPLES = 3  # of each kind
UNCLEAR = "short or not clear"  # for a language


@dataclass
class Amount:
    """An amount of text.

    Attributes:
        documents: number of documents; of a step of the filter, those of which it removed the last line.
        lines: number of lines that are not blank.
        words: number of words of these lines.
        characters: number of characters of these lines.
    """

    documents: int = 0
    lines: int = 0
    words: int = 0
    characters: int = 0

    def add(self, paragraph: Paragraph) -> None:
        """Count a line."""
        self.lines += 1
        self.words += len(paragraph.words)
        self.characters += len(paragraph.text)


class Findings:
    """Counts the paragraphs of documents that :meth:`Filter.judge` has judged.

    Args:
        repeated: how often each line of boilerplate occurs, by its key.
    """

    def __init__(self, repeated: Mapping[int, int]):
        self.read, self.kept = Amount(), Amount()
        self.removed = {step: Amount() for step in STEPS}
        self.languages: dict[str, Amount] = defaultdict(Amount)
        self.personal: Counter[str] = Counter()
        self.document_words, self.line_words = array("Q"), array("Q")
        self.kept_document_words = array("Q")  # of the documents of which a line stays
        self.kept_languages, self.kept_personal = Counter[str](), Counter[str]()  # characters, number
        self._kept_words = 0  # of the document so far
        self._fates: set[str] = set()  # steps that removed lines of the document so far; "": one stays
        self._examples: dict[str, list[str]] = defaultdict(list)
        self._most_repeated = dict.fromkeys(heapq.nlargest(MAX_EXAMPLES, repeated, key=repeated.__getitem__))
        self._repeated = repeated

    def add(self, documents: Iterable[Document], copies: Sequence[Copy]) -> None:
        """Count documents, and keep examples.

        Args:
            documents: the documents.
            copies: the near duplicates in them.
        """
        for document in documents:
            self._add_document(document)
        for paragraph, first, similarity in copies:
            words = f"{paragraph.location} repeats {first} ({similarity:.2f}): {excerpt(paragraph.text)}"
            self._add_example(NEAR_DUPLICATE, words)

    def _add_document(self, document: Document) -> None:
        if document.begins:
            self.read.documents += 1
            self.document_words.append(0)
            self._fates, self._kept_words = set(), 0
        self._fates |= {paragraph.removed_by for paragraph in document.paragraphs}
        for paragraph in document.kept:
            self._kept_words += len(paragraph.words)
            self.kept_languages[paragraph.language or UNCLEAR] += len(paragraph.text)
            self.kept_personal.update(each.kind for each in paragraph.personal)
        if document.ends:
            if "" in self._fates:
                self.kept.documents += 1
                self.kept_document_words.append(self._kept_words)
            else:
                self.removed[max(self._fates, key=STEPS.index)].documents += 1
        for paragraph in document.paragraphs:
            self.read.add(paragraph)
            self.line_words.append(len(paragraph.words))
            self.document_words[-1] += len(paragraph.words)
            (self.removed[paragraph.removed_by] if paragraph.removed_by else self.kept).add(paragraph)
            self._add_personal(paragraph)
            if paragraph.removed_by == BOILERPLATE:
                self._add_boilerplate(paragraph)
            else:
                self._add_language(paragraph)

    def _add_personal(self, paragraph: Paragraph) -> None:
        if paragraph.personal:
            kinds = Counter(each.kind for each in paragraph.personal)
            self.personal += kinds
            for kind in kinds:
                self._add_example(kind, str(paragraph.location))

    def _add_boilerplate(self, paragraph: Paragraph) -> None:
        key = line_key(paragraph.text)
        if key in self._most_repeated and self._most_repeated[key] is None:
            times = f"{self._repeated[key]:,} times, first in {paragraph.location}"
            self._most_repeated[key] = f"{times}: {excerpt(paragraph.text)}"

    def _add_language(self, paragraph: Paragraph) -> None:
        self.languages[paragraph.language or UNCLEAR].add(paragraph)
        if paragraph.language:
            self._add_example(paragraph.language, f"{paragraph.location}: {excerpt(paragraph.text)}")

    def _add_example(self, kind: str, example: str) -> None:
        examples = self._examples[kind]
        if len(examples) < MAX_EXAMPLES:
            examples.append(example)

    def as_dict(self) -> dict[str, Any]:
        """Return all counts and examples in a form for JSON; languages are sorted, the largest first."""
        by_size = sorted(self.languages.items(), key=lambda item: -item[1].characters)
        languages = {
            code: asdict(amount) | {"examples": self._examples.get(code, [])} for code, amount in by_size
        }
        for language in languages.values():
            del language["documents"]  # a document may have several
        boilerplate = [example for example in self._most_repeated.values() if example is not None]
        examples = {**self._examples, BOILERPLATE: boilerplate}
        return {
            "text": asdict(self.read)
            | {
                "words_per_document": spread(self.document_words),
                "words_per_line": spread(self.line_words),
            },
            "languages": languages,
            "steps": {
                step: asdict(amount) | {"examples": examples.get(step, [])}
                for step, amount in self.removed.items()
            },
            "kept": asdict(self.kept)
            | {
                "languages": dict(self.kept_languages.most_common()),
                "personal": dict(self.kept_personal.most_common()),
            },
            "personal": {
                kind: {"number": number, "examples": self._examples[kind]}
                for kind, number in self.personal.most_common()
            },
        }


def spread(numbers: Sequence[int]) -> dict[str, float]:
    """Return the mean, some percentiles and the largest of some numbers."""
    values = np.asarray(numbers)
    low, middle, high = np.percentile(values, (10, 50, 90)).tolist()
    return {
        "mean": float(values.mean()),
        "10 %": low,
        "median": middle,
        "90 %": high,
        "largest": int(values.max()),
    }
