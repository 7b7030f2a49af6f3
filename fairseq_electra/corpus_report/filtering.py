"""Which paragraphs the filter removes, in the order of its steps.

1. boilerplate: lines that occur often in the corpus, all of them.
2. other languages (if some are asked for): paragraphs of others; the rest of a document, short or unclear
   paragraphs, goes with them where no paragraph is of a language asked for. Of a document that is too long to
   be judged as a whole the rest stays.
3. near duplicates of a paragraph before them; the first one stays.

A step sees what the steps before it left, with personal data replaced if that is asked for. So the filter
finds nothing more in the text that it wrote, but for the rest of such a long document: counts of lines have
only fallen, a language depends on the paragraph alone, and what stayed was compared with all that stayed
before it.
"""

from array import array
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fairseq_electra.corpus_report.boilerplate import REPEATS, line_key
from fairseq_electra.corpus_report.languages import Languages
from fairseq_electra.corpus_report.near_duplicates import MIN_WORDS, NearDuplicates
from fairseq_electra.corpus_report.paragraphs import Document, Location, Paragraph, words_of
from fairseq_electra.corpus_report.personal import find_personal, masked

BOILERPLATE, OTHER_LANGUAGE, NEAR_DUPLICATE = "boilerplate", "other language", "near duplicate"
STEPS = (BOILERPLATE, OTHER_LANGUAGE, NEAR_DUPLICATE)


class Settings(NamedTuple):
    """What the filter removes.

    Attributes:
        repeats: a line that occurs more often is boilerplate.
        languages: codes of the languages that stay; empty: all.
        mask_personal: whether personal data is replaced by placeholders.
    """

    repeats: int = REPEATS
    languages: tuple[str, ...] = ()
    mask_personal: bool = False


class Copy(NamedTuple):
    """A near duplicate, the paragraph that it repeats, and their estimated similarity."""

    paragraph: Paragraph
    first: Location
    similarity: float


class Filter:
    """Marks the paragraphs to remove; takes the documents of a corpus in their order.

    Args:
        settings: what to remove.
        repeated: the lines that are boilerplate, as
            :func:`fairseq_electra.corpus_report.boilerplate.repeated_lines` gives them.
        languages: the classifier of languages.
    """

    def __init__(self, settings: Settings, repeated: Mapping[int, int], languages: Languages):
        self.settings, self._repeated, self._languages = settings, repeated, languages
        self._index = NearDuplicates()
        self._files: list[str] = []
        self._locations = array("Q")  # of the paragraphs in the index: number of the file, number of the line

    def judge(self, documents: Sequence[Document]) -> list[Copy]:
        """Fill in what is found in each paragraph, and which step removes it; returns the near duplicates."""
        for document in documents:
            for paragraph in document.paragraphs:
                read_personal(paragraph, self.settings.mask_personal)
                paragraph.words = words_of(paragraph.text)
                if line_key(paragraph.text) in self._repeated:
                    paragraph.removed_by = BOILERPLATE
                else:
                    paragraph.language = self._languages(paragraph.text, paragraph.words)
            self._remove_other_languages(document)
        kept = [paragraph for document in documents for paragraph in document.kept]
        return self._remove_copies([paragraph for paragraph in kept if len(paragraph.words) >= MIN_WORDS])

    def _remove_other_languages(self, document: Document) -> None:
        if not self.settings.languages:
            return
        kept = document.kept
        others = [each for each in kept if each.language and each.language not in self.settings.languages]
        is_whole = document.begins and document.ends  # other parts may have what this one lacks
        stays = not is_whole or any(each.language in self.settings.languages for each in kept)
        for paragraph in others if stays or not others else kept:
            paragraph.removed_by = OTHER_LANGUAGE

    def _remove_copies(self, paragraphs: Sequence[Paragraph]) -> list[Copy]:
        copies = []
        for paragraph, twin in zip(
            paragraphs, self._index.add([paragraph.words for paragraph in paragraphs]), strict=True
        ):
            if twin is None:
                self._locations.append(self._packed(paragraph.location))
            else:
                paragraph.removed_by = NEAR_DUPLICATE
                copies.append(Copy(paragraph, self._unpacked(self._locations[twin.number]), twin.similarity))
        return copies

    def _packed(self, location: Location) -> int:
        if not self._files or self._files[-1] != location.file:
            self._files.append(location.file)
        return (len(self._files) - 1) << 40 | location.line

    def _unpacked(self, packed: int) -> Location:
        return Location(self._files[packed >> 40], packed & ((1 << 40) - 1))


def read_personal(paragraph: Paragraph, mask: bool) -> None:
    """Find the personal data of a paragraph, and replace it by placeholders if ``mask`` is set."""
    paragraph.personal = find_personal(paragraph.text)
    if mask and paragraph.personal:
        paragraph.text = masked(paragraph.text, paragraph.personal)
