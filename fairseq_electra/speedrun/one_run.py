"""Run ``fairseq-train`` once, in a process of its own that ends with this one, and follow what it prints.

``python -m fairseq_electra.speedrun.one_run ARGUMENTS...`` is that process.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import fairseq_electra
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.runs import USER_DIR

ERROR = "fairseq_electra: error: "  # begins the sentence that compat/ prints for a user's mistake


def follow(arguments: Sequence[str], log: Path) -> Generator[tuple[float, str], None, None]:
    """Train, and yield each line that is printed with the seconds since the start; closing the generator ends the training.

    Args:
        arguments: of ``fairseq-train``; ``--user-dir`` is added.
        log: file that the lines are added to.

    Raises:
        InputError: the training failed.
    """
    command = [sys.executable, "-m", "fairseq_electra.speedrun.one_run", *arguments, "--user-dir", USER_DIR]
    start, last, reason = time.monotonic(), "", ""
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        open(log, "a", encoding="utf-8") as stream,
        # a session of its own: Ctrl-C comes to the parent alone, which ends the training in its own way
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
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
        raise InputError(f"fairseq-train failed: {reason or last}; its log is {log}")


def main() -> None:
    """Train with the arguments of this process."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from fairseq_cli import train

    fairseq_electra.register()
    sys.argv[0] = "fairseq-train"
    train.cli_main()


def _end_with_parent() -> None:
    """Wait for the end of standard input, which comes when the parent closes it or dies."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    main()
