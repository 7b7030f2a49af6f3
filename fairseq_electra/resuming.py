"""How to resume a run that was stopped: the text of the last line that it prints."""

import json
import signal
from dataclasses import asdict, dataclass
from pathlib import Path

NOTE = "saves"  # kind of the note to the launcher
# default of --restore-file, which means the one in --save-dir
LAST_CHECKPOINT = "checkpoint_last.pt"


@dataclass
class ResumeHint:
    """The checkpoints of a run; as a string, how to resume from them.

    Attributes:
        save_dir: Folder of the checkpoints.
        no_save: Whether none are saved.
        restore_file: The checkpoint to start from, as on the command line.
        saved: Number of updates of the last checkpoint; None if this process has not saved any.
        path: Path of the last checkpoint.
    """

    save_dir: str
    no_save: bool
    restore_file: str
    saved: int | None = None
    path: str | None = None

    def __str__(self) -> str:
        last = Path(self.save_dir) / LAST_CHECKPOINT
        if self.no_save:
            return "nothing is saved with --no-save, so the same command starts from scratch"
        if not last.is_file() and self.saved is not None:  # as with --no-last-checkpoints
            return f"the same command with --restore-file {self.path} resumes from update {self.saved:,}"
        if not last.is_file():
            start = "scratch" if self.restore_file == LAST_CHECKPOINT else f"{self.restore_file} again"
            return (
                f"nothing was saved yet, so the same command starts from {start}; --save-interval-updates N"
                " saves every N updates"
            )
        if self.restore_file != LAST_CHECKPOINT:
            return f"the same command without --restore-file resumes from {last}"
        return f"the same command resumes from {last}" + (
            "" if self.saved is None else f", which has {self.saved:,} updates"
        )

    def as_note(self) -> str:
        """Return it as text for :func:`read_note`."""
        return json.dumps(asdict(self))


def read_note(folder: Path) -> str:
    """Tell how to resume a run of several processes.

    Args:
        folder: Folder of the notes of this machine's processes.
    """
    notes = [path.read_text() for path in folder.glob(f"*.{NOTE}")]
    return (
        str(ResumeHint(**json.loads(notes[0])))
        if notes
        else "the same command resumes from the last checkpoint, if one was saved"
    )


def signal_name(number: int) -> str:
    """Return the name of a signal as a user knows it."""
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
