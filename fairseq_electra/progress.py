"""Progress reports on standard error: on a terminal a line that is rewritten, else one every 10 s."""

import shutil
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TextIO, TypeVar

ON_TERMINAL, ELSEWHERE = 0.25, 10.0  # seconds between two reports
MIN_SECONDS = 2.0  # of a stage before its remaining time is estimated

T = TypeVar("T")


@dataclass
class _Stage:
    name: str
    unit: str
    total: int
    start: float
    done: int = 0


class Progress:
    """A counter of finished work, which within ``with`` reports progress from a thread of its own.

    Outside ``with`` it only counts, so a function may use one of its own without printing anything.

    Args:
        stream: The stream of the reports; by default standard error.
        every: Seconds between two reports; by default a quarter of a second on a terminal, else ten seconds.
        beside: The stream to which the work writes its results as it goes. If both are a terminal nothing is
            reported, because the results show the progress.
    """

    def __init__(
        self, stream: TextIO | None = None, every: float | None = None, beside: TextIO | None = None
    ):
        self._stream, self._every, self._beside = stream, every, beside
        self._stage = _Stage("", "", 0, time.monotonic())
        self._shown = 0  # number of characters of the line on the terminal

    def stage(self, name: str, unit: str = "", total: int = 0) -> None:
        """Start a stage of the work.

        Args:
            name: Name of the stage.
            unit: What is counted, in the plural; empty if nothing is.
            total: Number of these; 0 if it is unknown.
        """
        self._stage = _Stage(name, unit, total, time.monotonic())

    def add(self, number: int = 1) -> None:
        """Count finished units."""
        self._stage.done += number

    def over(self, items: Iterable[T], name: str, unit: str, total: int = 0) -> Iterator[T]:
        """Yield the items of a new stage, and count them; the other arguments are those of :meth:`stage`."""
        self.stage(name, unit, total)
        yield from self.count(items)

    def count(self, items: Iterable[T]) -> Iterator[T]:
        """Yield items, and count them in the current stage."""
        for item in items:
            yield item
            self.add()

    def say(self, sentence: str) -> None:
        """Print a sentence to standard error at once, on a line of its own."""
        if self._shown:
            self._write("\r" + " " * self._shown + "\r")
        print(sentence, file=self._stream or sys.stderr, flush=True)

    def __enter__(self) -> "Progress":
        stream = self._stream = self._stream or sys.stderr
        self._on_terminal, self._ended = stream.isatty(), threading.Event()
        if self._on_terminal and self._beside is not None and self._beside.isatty():
            self._ended.set()
        self._thread = threading.Thread(target=self._report_until_the_end, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        if self._shown:
            self._write("\r" + " " * self._shown + "\r")

    def _report_until_the_end(self) -> None:
        every = self._every or (ON_TERMINAL if self._on_terminal else ELSEWHERE)
        while not self._ended.wait(every):
            line = self.line(time.monotonic())
            if self._on_terminal:
                line = line[: shutil.get_terminal_size().columns - 1]
                self._write("\r" + line.ljust(self._shown))
                self._shown = len(line)
            elif line:
                self._write(f"{line}\n")

    def _write(self, text: str) -> None:
        assert self._stream is not None
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:  # nobody reads the reports any more; the work itself may still be useful
            self._ended.set()

    def line(self, now: float) -> str:
        """Return a report: the stage, its progress and time, and the remaining time where the total is known.

        It is empty before the first stage.
        """
        stage = self._stage
        if not stage.name:
            return ""
        seconds, parts = now - stage.start, [stage.name]
        if stage.unit:
            of = f" of {stage.total:,}" if stage.total else ""
            parts.append(f"{stage.done:,}{of} {stage.unit}")
        parts.append(f"after {seconds:.0f} s")
        if stage.done and stage.done < stage.total and seconds >= MIN_SECONDS:
            parts.append(f"about {seconds * (stage.total - stage.done) / stage.done:.0f} s left")
        return f"{parts[0]}: {', '.join(parts[1:])}"
