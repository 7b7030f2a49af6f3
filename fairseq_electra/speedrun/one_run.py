"""Runs ``fairseq-train`` in a child process that ends with this process, and yields the lines it prints.

The child process is ``python -m fairseq_electra.speedrun.one_run TOOL ARGUMENTS...``.
"""

import importlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import fairseq_electra
from fairseq_electra.errors import DivergedError, InputError
from fairseq_electra.finetuning.runs import USER_DIR
from fairseq_electra.rank import TOOLS

ERROR = "fairseq_electra: error: "  # the prefix that compat/ puts before the message of an input error


def follow(
    arguments: Sequence[str], log: Path, tool: str = "fairseq-train", threads: int | None = None
) -> Generator[tuple[float, str], None, None]:
    """Train and yield each printed line with its time; closing the generator ends the training.

    Args:
        arguments: The arguments of the tool without ``--user-dir``, which is added.
        log: The file to which the lines are appended.
        tool: A name in :data:`fairseq_electra.rank.TOOLS`.
        threads: The number of CPU threads; by default that of this process's environment.

    Yields:
        The seconds since the start, and the line.

    Raises:
        DivergedError: The training diverged.
        InputError: It failed otherwise.
    """
    module = "fairseq_electra.speedrun.one_run"
    command = [sys.executable, "-m", module, tool, *arguments, "--user-dir", USER_DIR]
    start, last, reason = time.monotonic(), "", ""
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        open(log, "a", encoding="utf-8") as stream,
        # in a new session, so that Ctrl-C reaches only the parent, which then ends the training
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env=None if threads is None else {**os.environ, "OMP_NUM_THREADS": str(threads)},
        ) as process,
    ):
        try:
            for line in process.stdout or ():
                stream.write(line)
                stream.flush()
                last = line.strip() or last
                if line.startswith(ERROR):
                    reason = line.removeprefix(ERROR).strip()
                yield time.monotonic() - start, line.rstrip("\n")
        finally:
            if process.poll() is None:
                process.terminate()
        process.wait()
    if process.returncode:
        diverged = process.returncode == DivergedError.status or last.startswith("FloatingPointError")
        kind = DivergedError if diverged else InputError
        raise kind(f"{tool} failed: {reason or last}; its log is {log}")


def main() -> None:
    """Run the tool that the arguments of this process name."""
    end_with_parent()
    sys.argv = sys.argv[1:]
    tool = importlib.import_module(TOOLS[sys.argv[0]])
    fairseq_electra.register()
    tool.cli_main()


def end_with_parent() -> None:
    """Exit at the end of standard input, that is, when the parent process closes it or dies."""

    def watch() -> None:
        os.read(0, 1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main()
