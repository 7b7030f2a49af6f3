"""The record of what a speedrun has done so far, ``state.json``, from which the same command line resumes.

Other commands with several stages, such as ``adapt``, keep such a record too.
"""

import fcntl
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fairseq_electra.errors import InputError
from fairseq_electra.files.text import atomic_write
from fairseq_electra.locks import open_lock

STATE_FILE, LOCK_FILE = "state.json", ".lock"
SPEEDRUN = "speedrun"


def holds_speedrun(folder: Path, command: str = SPEEDRUN) -> bool:
    """Tell whether a folder holds the record of a speedrun.

    Args:
        folder: The folder.
        command: What the record is of, for the message.

    Raises:
        InputError: The folder holds files, but no speedrun.
    """
    if (folder / STATE_FILE).is_file():
        return True
    if folder.is_dir() and any(path.name != LOCK_FILE for path in folder.iterdir()):
        raise InputError(f"{folder} holds files that are not from a {command}; give another --output")
    return False


class State:
    """The record of a speedrun.

    Args:
        folder: The folder of the speedrun, which is created if it does not exist.
        arguments: All settings that influence the results, as plain data.
        command: What the record is of, for messages.

    Raises:
        InputError: The folder is in use, holds a run of another command line or files that are not from a
            speedrun, or its record is damaged.
    """

    def __init__(self, folder: Path, arguments: dict[str, Any], command: str = SPEEDRUN):
        self.path = folder / STATE_FILE
        holds_speedrun(
            folder, command
        )  # raises an error for a foreign folder before anything is written there
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = open(open_lock(folder / LOCK_FILE), "r+")  # noqa: SIM115 (held until close)
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"another {command} is running in {folder}; wait until it ends, or give another --output"
            ) from error
        try:  # read only after locking, because a run that has just ended may have written more
            started = holds_speedrun(folder, command)
            self.values = (
                self._started(folder, arguments, command)
                if started
                else {"arguments": arguments, "done": {}, "notes": {}}
            )
            self._write()
        except BaseException:
            self.close()
            raise

    def stage(self, name: str, work: Callable[[], Any]) -> Any:
        """Run a stage unless it is done; returns its recorded result, which must be plain data."""
        if name not in self.values["done"]:
            result = json.loads(json.dumps(work()))
            self.values["done"][name] = result
            self._write()
        return self.values["done"][name]

    def result(self, name: str) -> Any:
        """Return the result of a stage, or None if the stage is not done."""
        return self.values["done"].get(name)

    def note(self, name: str, values: dict[str, Any]) -> None:
        """Record the progress of a stage that is running."""
        self.values["notes"][name] = values
        self._write()

    def last_note(self, name: str) -> dict[str, Any]:
        """Return the last note of a stage; empty if there is none."""
        return self.values["notes"].get(name, {})

    def close(self) -> None:
        """Let another process use the folder, also while a process that this one started is still there."""
        fcntl.flock(self.lock, fcntl.LOCK_UN)
        self.lock.close()

    def _started(self, folder: Path, arguments: dict[str, Any], command: str) -> dict[str, Any]:
        """Read the record of a run that was started, which must be one of the same command line."""
        values = self._read()
        before = values["arguments"]
        if set(before) != set(arguments):
            raise InputError(
                f"{folder} is from another command than {command}, or from another version of it; give"
                " another --output"
            )
        differs = [name for name, value in before.items() if arguments[name] != value]
        if differs:
            raise InputError(
                f"{folder} was started with a different {' and '.join(differs)}; "
                "repeat that command line to resume, or give another --output"
            )
        return values

    def _read(self) -> dict[str, Any]:
        try:
            values = json.loads(self.path.read_text(encoding="utf-8"))
            if not all(isinstance(values[part], dict) for part in ("arguments", "done", "notes")):
                raise ValueError("parts are missing")
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{self.path} is damaged ({error}); remove the folder and start again, or give another"
                " --output"
            ) from error
        return values

    def _write(self) -> None:
        with atomic_write(self.path) as stream:
            stream.write(json.dumps(self.values, indent=2) + "\n")
