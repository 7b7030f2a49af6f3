"""The figures of the page on the report are those of the committed reports."""

import json

from fairseq_electra.corpus_report.costs import DIRTY_SHARE, FULL_SHARE, MANY_PASSES, TOKENS_PER_WORD
from fairseq_electra.corpus_report.filtering import STEPS
from fairseq_electra.pretraining.unknown import WARNING_SHARE
from tests.helpers.paths import ROOT

PAGE = (ROOT / "docs" / "how-to" / "report.md").read_text(encoding="utf-8")
REPORTS = ROOT / "examples" / "pretraining" / "corpus_reports.json"


def table_of(reports):
    """Make the table of the page."""
    head = ["corpus", "MB", "words", *STEPS, "personal data", "tokens per word", "lost", "seconds", "memory"]
    lines = [f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(head) - 1)]
    for each in reports:
        text, vocabulary = each["text"], each["vocabulary"]
        cells = [
            f"`{each['corpus']}`",
            f"{each['bytes'] / 1e6:.1f}",
            f"{text['words']:,}",
            *(f"{each['steps'][step]['characters'] / text['characters']:.2%}" for step in STEPS),
            f"{sum(found['number'] for found in each['personal'].values()):,}",
            f"{vocabulary['tokens_per_word']:.2f}",
            f"{vocabulary['lost_characters']:.2%}",
            f"{each['processor_seconds']:.0f}",
            f"{each['memory_bytes'] / 1e6:.0f} MB",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def test_page_has_the_table_of_the_committed_reports():
    reports = json.loads(REPORTS.read_text())
    assert len(reports) == 5 and table_of(reports) in PAGE


def test_page_has_the_bounds_of_the_warnings():
    rows = (line.split(" | ") for line in PAGE.splitlines() if line.count("|") == 4)
    bounds = {row[0].strip("| "): row[1] for row in rows if len(row) == 3}
    assert bounds["sparse"] == f"{MANY_PASSES} passes on"
    assert bounds["short documents"] == f"rows under {FULL_SHARE * 100:.0f} % full"
    assert (
        bounds["repeated text"] == bounds["other languages"] == f"{DIRTY_SHARE * 100:.0f} % of the characters"
    )
    assert bounds["lost characters"] == f"{WARNING_SHARE * 100:.0f} %"
    assert f"tokens are estimated as {TOKENS_PER_WORD} per word" in PAGE
