"""What all comparisons share: their turn on the machine, the options that all have, ratios, and the report."""

import argparse
import contextlib
import fcntl
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fairseq_electra.files.text import written_whole
from fairseq_electra.locks import open_lock

Markdown = Callable[[dict], str]


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Wait until no other benchmark of this kind runs on the machine."""
    with open(open_lock(Path(tempfile.gettempdir()) / "fairseq_electra.benchmark.lock"), "r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def new_parser(description: str | None, output: str, rounds: int = 5) -> argparse.ArgumentParser:
    """Make a parser with the options that all comparisons have.

    Args:
        description: of the program.
        output: where its report goes if nothing else is said.
        rounds: likewise.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=rounds,
        help="rounds; in each, every variant has its turn (default: %(default)s)",
    )
    parser.add_argument(
        "--output", default=output, metavar="FILE", help="where the figures go (default: %(default)s)"
    )
    parser.add_argument(
        "--table",
        metavar="FILE",
        help="measure nothing: print the tables of figures that were written before",
    )
    return parser


def read_arguments(parser: argparse.ArgumentParser, markdown: Markdown) -> argparse.Namespace:
    """Read the command line; with ``--table`` print the tables and exit."""
    args = parser.parse_args()
    if args.table:
        print(markdown(json.loads(Path(args.table).read_text(encoding="utf-8"))))
        parser.exit()
    return args


def publish(report: dict, output: str, markdown: Markdown) -> None:
    """Write a report, and print its tables."""
    with written_whole(output) as stream:
        stream.write(json.dumps(report, indent=2) + "\n")
    print(markdown(report))


def run_logged(command: Sequence[str], log: Path, threads: int, seconds: float | None = None) -> None:
    """Run a program of this package's Python in a process of its own.

    Args:
        command: the module and its arguments.
        log: where all that it prints goes.
        threads: of the CPU.
        seconds: when to end it; None: never.

    Raises:
        RuntimeError: it failed; the end of its log is in the message.
        TimeoutError: it did not end in time.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with log.open("w") as stream:
        words = [sys.executable, "-m", *command]
        try:
            done = subprocess.run(
                words, stdout=stream, stderr=subprocess.STDOUT, env=environment, timeout=seconds
            )
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"{command[0]} was ended: no time was left") from error
    if done.returncode:
        end = log.read_text(encoding="utf-8").splitlines()[-20:]
        raise RuntimeError(
            "\n".join([f"{command[0]} ended with status {done.returncode}, and last printed", *end])
        )


def ratios(of: Sequence[float], to: Sequence[float]) -> dict:
    """Ratio of two series of measurements, round by round: its median, and its smallest and largest."""
    found = [a / b for a, b in zip(of, to, strict=True)]
    return {
        "ratio": round(statistics.median(found), 2),
        "ratio_range": [round(min(found), 2), round(max(found), 2)],
    }
