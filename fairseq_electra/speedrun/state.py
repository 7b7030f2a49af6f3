"""What a speedrun has done so far, in ``state.json``: the same command line resumes from there."""

import fcntl
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fairseq_electra.errors import InputError
from fairseq_electra.files.text import written_whole
from fairseq_electra.locks import open_lock

STATE_FILE, LOCK_FILE = "state.json", ".lock"


def is_begun(folder: Path) -> bool:
    """Tell whether a folder holds the record of a speedrun.

    Raises:
        InputError: it holds something else.
    """
    if (folder / STATE_FILE).is_file():
        return True
    if folder.is_dir() and any(path.name != LOCK_FILE for path in folder.iterdir()):
        raise InputError(f"{folder} holds something else than a speedrun; give another --output")
    return False


class State:
    """The record of one folder.

    Args:
        folder: of the run; made if it is not there.
        arguments: what decides the results, as plain data.

    Raises:
        InputError: the folder is in use, is that of another command line or of something else, or its record is damaged.
    """

    def __init__(self, folder: Path, arguments: dict[str, Any]):
        self.path = folder / STATE_FILE
        is_begun(folder)  # refuses a folder of something else before anything is written there
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = open(open_lock(folder / LOCK_FILE), "r+")  # noqa: SIM115 (held until the process ends)
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"another speedrun is at work in {folder}; wait for it, or give another --output"
            ) from error
        # read behind the lock: one that has just ended may have written more
        if is_begun(folder):
            self.values = self._read()
            differs = [
                name for name, value in self.values["arguments"].items() if arguments.get(name) != value
            ]
            if differs:
                raise InputError(
                    f"{folder} was begun with another {' and '.join(differs)}; repeat that command line to resume, or give another --output"
                )
        else:
            self.values = {"arguments": arguments, "done": {}, "notes": {}}
        self._write()

    def stage(self, name: str, work: Callable[[], Any]) -> Any:
        """Do a stage unless it is done; returns its result, which must be plain data, as it was recorded."""
        if name not in self.values["done"]:
            result = json.loads(json.dumps(work()))
            self.values["done"][name] = result
            self._write()
        return self.values["done"][name]

    def result(self, name: str) -> Any:
        """Return the result of a stage that is done, or else None."""
        return self.values["done"].get(name)

    def note(self, name: str, values: dict[str, Any]) -> None:
        """Record how far a stage is that is under way."""
        self.values["notes"][name] = values
        self._write()

    def noted(self, name: str) -> dict[str, Any]:
        """Return what was noted last; empty if nothing was."""
        return self.values["notes"].get(name, {})

    def _read(self) -> dict[str, Any]:
        try:
            values = json.loads(self.path.read_text(encoding="utf-8"))
            if not all(isinstance(values[part], dict) for part in ("arguments", "done", "notes")):
                raise ValueError("parts are missing")
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{self.path} is damaged ({error}); remove the folder and begin again, or give another --output"
            ) from error
        return values

    def _write(self) -> None:
        with written_whole(self.path) as stream:
            stream.write(json.dumps(self.values, indent=2) + "\n")
