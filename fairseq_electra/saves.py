"""How to go on with a run that was stopped: what the last line of its output says."""

import json
import signal
from dataclasses import asdict, dataclass
from pathlib import Path

NOTE = "saves"  # of a process for the launcher
LAST = "checkpoint_last.pt"


@dataclass
class Saves:
    """Where a run's checkpoints are, and so how to go on with it, which is its text.

    Attributes:
        save_dir: their folder.
        no_save: there are none.
        restore_file: what the command line says to start from.
        saved: number of updates in the last of them; None: this process has not saved any.
        path: of that.
    """

    save_dir: str
    no_save: bool
    restore_file: str
    saved: int | None = None
    path: str | None = None

    def __str__(self) -> str:
        last = Path(self.save_dir) / LAST
        if self.no_save:
            return "nothing is saved with --no-save, so the same line begins anew"
        if not last.is_file() and self.saved is not None:  # as with --no-last-checkpoints
            return f"the same line with --restore-file {self.path} goes on from update {self.saved:,}"
        if not last.is_file():
            start = "anew" if self.restore_file == LAST else f"at {self.restore_file} again"
            return f"nothing was saved yet, so the same line begins {start}; --save-interval-updates N saves every N updates"
        if self.restore_file != LAST:
            return f"the same line without --restore-file goes on from {last}"
        return f"the same line goes on from {last}" + ("" if self.saved is None else f", which has {self.saved:,} updates")

    def as_note(self) -> str:
        """Write it down for :func:`read_note`."""
        return json.dumps(asdict(self))


def read_note(folder: Path) -> str:
    """Tell how to go on with a run of several processes.

    Args:
        folder: of the notes of this machine's processes.
    """
    notes = [path.read_text() for path in folder.glob(f"*.{NOTE}")]
    return str(Saves(**json.loads(notes[0]))) if notes else "the same line goes on from the last checkpoint, if one was saved"


def name_of(number: int) -> str:
    """Name a signal as a user knows it."""
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
