"""The comparison of long rows with transformers' ModernBERT."""

import argparse

import pytest

from benchmark import long_rows

pytest.importorskip("transformers")


@pytest.mark.long
def test_all_variants_are_measured_and_the_report_becomes_a_table():
    args = argparse.Namespace(size="modern_tiny", tokens=512, rounds=1, autocast="none")
    rows = long_rows.compare(512, args)
    assert [row["variant"] for row in rows] == list(long_rows.VARIANTS)
    assert all(row["cpu_seconds"] > 0 and row["megabytes"] > 0 for row in rows)
    report = {
        "machine": {"processor": "a processor", "torch": "2.13", "transformers": "5"},
        **{"size": "modern_tiny", "tokens": 512, "autocast": "none"},
        "found": [{"length": 512, "rows": rows}],
    }
    table = long_rows.markdown(report)
    assert "| 512 | " in table and len({line.count("|") for line in table.splitlines()[2:]}) == 1
