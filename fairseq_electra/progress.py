"""How far long work has come, on standard error: on a terminal one line that is rewritten, elsewhere a line every ten seconds."""

import shutil
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TextIO, TypeVar

ON_TERMINAL, ELSEWHERE = 0.25, 10.0  # seconds between two reports
WORTH_A_GUESS = 2.0  # seconds of a stage, before which the time that it still takes is not estimated

T = TypeVar("T")


@dataclass
class _Stage:
    what: str
    unit: str
    total: int
    start: float
    done: int = 0


class Progress:
    """Counts what is done, and within ``with`` reports it, from a thread of its own: also while one step takes long.

    Outside ``with`` it only counts. So a function can take one, make its own where it got none, and stay silent.

    Args:
        stream: where reports go; by default standard error.
        every: seconds between two reports; by default a quarter of a second on a terminal, ten seconds elsewhere.
        beside: where the work writes its results as it goes. If both are a terminal, nothing is reported: the results show it.
    """

    def __init__(self, stream: TextIO | None = None, every: float | None = None, beside: TextIO | None = None):
        self._stream, self._every, self._beside = stream, every, beside
        self._stage = _Stage("", "", 0, time.monotonic())
        self._shown = 0  # characters of the terminal's line

    def stage(self, what: str, unit: str = "", total: int = 0) -> None:
        """Begin a part of the work.

        Args:
            what: names it.
            unit: of what is counted, in the plural; empty: nothing is.
            total: how many there are; 0: not known.
        """
        self._stage = _Stage(what, unit, total, time.monotonic())

    def add(self, number: int = 1) -> None:
        """Count."""
        self._stage.done += number

    def over(self, items: Iterable[T], what: str, unit: str, total: int = 0) -> Iterator[T]:
        """Yield the items of a part of the work, and count them; arguments as for :meth:`stage`."""
        self.stage(what, unit, total)
        yield from self.count(items)

    def count(self, items: Iterable[T]) -> Iterator[T]:
        """Yield items, and count them in the part of the work that has begun."""
        for item in items:
            yield item
            self.add()

    def say(self, sentence: str) -> None:
        """Write a sentence to standard error at once, in a line of its own."""
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
        except OSError:  # nobody reads it any more; the work itself may still be of use
            self._ended.set()

    def line(self, now: float) -> str:
        """Say what is being done, how far it is, for how long, and where the total is known how long it may still take.

        Empty before the first stage.
        """
        stage = self._stage
        if not stage.what:
            return ""
        seconds, parts = now - stage.start, [stage.what]
        if stage.unit:
            of = f" of {stage.total:,}" if stage.total else ""
            parts.append(f"{stage.done:,}{of} {stage.unit}")
        parts.append(f"after {seconds:.0f} s")
        if stage.done and stage.done < stage.total and seconds >= WORTH_A_GUESS:
            parts.append(f"about {seconds * (stage.total - stage.done) / stage.done:.0f} s left")
        return f"{parts[0]}: {', '.join(parts[1:])}"
