"""Long work reports its progress: in one line on a terminal, else in lines some seconds apart."""

import io
import threading
import time

import pytest

from fairseq_electra.progress import ELSEWHERE, Progress


class Stream(io.StringIO):
    """A stream that tells when it has been written to; on a terminal or not."""

    def __init__(self, terminal: bool):
        super().__init__()
        self.terminal, self.written = terminal, threading.Event()

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> int:
        number = super().write(text)
        self.written.set()
        return number

    def next_report(self) -> None:
        self.written.clear()
        assert self.written.wait(10)


def test_elsewhere_each_report_is_a_line_and_comes_while_the_work_stands_still():
    stream = Stream(terminal=False)
    with Progress(stream, every=0.01) as progress:
        progress.stage("reading", "lines", 3)
        progress.add(2)
        stream.next_report()
        stream.next_report()
    lines = stream.getvalue().split("\n")
    assert len(lines) >= 3 and lines.pop() == ""
    assert set(lines) <= {"reading: 0 of 3 lines, after 0 s", "reading: 2 of 3 lines, after 0 s"}
    assert lines[-1] == "reading: 2 of 3 lines, after 0 s"


def test_on_a_terminal_one_line_is_rewritten_and_gone_in_the_end(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    stream = Stream(terminal=True)
    with Progress(stream, every=0.01) as progress:
        progress.stage("a long name of the work", "lines")
        stream.next_report()
        stream.next_report()
        progress.stage("short")
        stream.next_report()
        stream.next_report()
    said = stream.getvalue()
    assert "\n" not in said and "\ra long name of the" in said
    assert max(map(len, said.split("\r"))) < 20, (
        "a line that is as long as the terminal is wide would not be rewritten"
    )
    assert "\rshort: after 0 s   " in said, "the rest of the longer line must be blanked out"
    assert said.endswith("\r") and not said.split("\r")[-2].strip()


def test_short_work_says_nothing():
    for terminal in (True, False):
        stream = Stream(terminal)
        with Progress(stream) as progress:
            assert progress.line(time.monotonic()) == ""
            assert list(progress.over("abc", "reading", "lines")) == ["a", "b", "c"]
        assert stream.getvalue() == ""
    assert ELSEWHERE == 10


@pytest.mark.parametrize(
    ("terminal", "beside", "reported"), [(True, True, False), (True, False, True), (False, True, True)]
)
def test_nothing_is_reported_into_results_on_the_same_terminal(terminal, beside, reported):
    stream = Stream(terminal)
    with Progress(stream, every=0.01, beside=Stream(beside)) as progress:
        progress.stage("reading")
        assert stream.written.wait(10 if reported else 0.05) is reported


@pytest.mark.parametrize(
    ("total", "done", "seconds", "line"),
    [
        (0, 0, 1, "reading: 0 lines, after 1 s"),
        (0, 12345, 70, "reading: 12,345 lines, after 70 s"),
        (3000, 1000, 10, "reading: 1,000 of 3,000 lines, after 10 s, about 20 s left"),
        (3000, 1000, 1, "reading: 1,000 of 3,000 lines, after 1 s"),
        (3000, 0, 10, "reading: 0 of 3,000 lines, after 10 s"),
        (3000, 3000, 10, "reading: 3,000 of 3,000 lines, after 10 s"),
    ],
)
def test_the_line_names_work_count_time_and_what_is_left(monkeypatch, total, done, seconds, line):
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    progress = Progress()
    progress.stage("reading", "lines", total)
    progress.add(done)
    assert progress.line(100.0 + seconds) == line


def test_items_are_counted_as_they_are_taken_and_a_stage_without_a_unit_is_named_alone(monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    progress = Progress()
    counts = [progress.line(0.0) for _ in progress.over("abc", "reading", "lines", 3)]
    assert counts == [f"reading: {number} of 3 lines, after 0 s" for number in range(3)]
    assert progress.line(0.0) == "reading: 3 of 3 lines, after 0 s"
    progress.stage("learning pieces")
    assert progress.line(12.0) == "learning pieces: after 12 s"


def test_work_goes_on_where_nobody_reads_its_reports():
    class Broken(Stream):
        def write(self, text: str) -> int:
            super().write("")
            raise BrokenPipeError

    stream = Broken(terminal=False)
    with Progress(stream, every=0.01) as progress:
        progress.stage("reading", "lines")
        assert stream.written.wait(10)
        progress.add()
    assert stream.getvalue() == ""
