"""Repeated lines, against a plain counter."""

from collections import Counter

from fairseq_electra.corpus_report.boilerplate import line_key, repeated_lines


def test_repeated_lines_counts_as_a_plain_counter_does():
    lines = [f"line {i % 7 if i % 3 else i}" for i in range(200)]
    expected = {line: n for line, n in Counter(lines).items() if n > 10}
    assert 0 < len(expected) < len(set(lines))
    assert repeated_lines(lines, 10) == {line_key(line): n for line, n in expected.items()}


def test_repeated_lines_ignores_case_and_blanks_and_an_empty_text_has_none():
    assert repeated_lines(["Home  Contact", "home contact", " HOME CONTACT ", "x"], 2) == {
        line_key("home contact"): 3
    }
    assert repeated_lines(["a", "a"], 2) == {} and repeated_lines([], 1) == {}
