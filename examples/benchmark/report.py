"""What all comparisons share: exclusive use of the machine, common options, ratios, and the report."""

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

from fairseq_electra.files.text import atomic_write
from fairseq_electra.locks import open_lock

Markdown = Callable[[dict], str]


@contextlib.contextmanager
def machine_lock() -> Iterator[None]:
    """Wait until no other benchmark runs on the machine, and keep others from starting."""
    with open(open_lock(Path(tempfile.gettempdir()) / "fairseq_electra.benchmark.lock"), "r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def new_parser(description: str | None, output: str, rounds: int = 5) -> argparse.ArgumentParser:
    """Make a parser with the options that all comparisons have.

    Args:
        description: The description of the program.
        output: The default file of the report.
        rounds: The default number of rounds.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=rounds,
        help="number of rounds; in each, every variant runs once (default: %(default)s)",
    )
    parser.add_argument(
        "--output", default=output, metavar="FILE", help="file of the report (default: %(default)s)"
    )
    parser.add_argument(
        "--table",
        metavar="FILE",
        help="measure nothing, but print the tables of this report",
    )
    return parser


def read_arguments(parser: argparse.ArgumentParser, markdown: Markdown) -> argparse.Namespace:
    """Read the command line; with ``--table``, print the tables of a report and exit."""
    args = parser.parse_args()
    if args.table:
        print(markdown(json.loads(Path(args.table).read_text(encoding="utf-8"))))
        parser.exit()
    return args


def publish(report: dict, output: str, markdown: Markdown) -> None:
    """Write a report and print its tables."""
    with atomic_write(output) as stream:
        stream.write(json.dumps(report, indent=2) + "\n")
    print(markdown(report))


def run_logged(command: Sequence[str], log: Path, threads: int, seconds: float | None = None) -> None:
    """Run a Python module in its own process.

    Args:
        command: The module and its arguments.
        log: The file for its output.
        threads: The number of CPU threads.
        seconds: The time limit; None for no limit.

    Raises:
        RuntimeError: The program failed; the message has the end of its log.
        TimeoutError: The program exceeded the time limit.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with log.open("w") as stream:
        words = [sys.executable, "-m", *command]
        try:
            done = subprocess.run(
                words, stdout=stream, stderr=subprocess.STDOUT, env=environment, timeout=seconds
            )
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"{command[0]} was stopped: it exceeded its time limit") from error
    if done.returncode:
        end = log.read_text(encoding="utf-8").splitlines()[-20:]
        raise RuntimeError(
            "\n".join([f"{command[0]} ended with status {done.returncode}, and last printed", *end])
        )


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> dict:
    """Return the median and the range of the ratios of two series of measurements, round by round."""
    ratios = [a / b for a, b in zip(numerators, denominators, strict=True)]
    return {
        "ratio": round(statistics.median(ratios), 2),
        "ratio_range": [round(min(ratios), 2), round(max(ratios), 2)],
    }
