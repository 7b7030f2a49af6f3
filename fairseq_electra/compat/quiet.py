"""A change to what fairseq prints: the lines that a user waits for. All others go to a file beside the checkpoints, or behind --verbose."""

import argparse
import contextlib
import functools
import logging
import re
import warnings
from collections import deque
from pathlib import Path

logger = logging.getLogger(__name__)
FILE, OPTION = "details.log", "verbose"
LOGGERS = (
    *("fairseq_cli.train", "fairseq_cli.validate", "fairseq.trainer", "fairseq.checkpoint_utils"),
    *("fairseq.utils", "fairseq.dataclass.utils"),
    *("fairseq.tasks.fairseq_task", "fairseq.tasks.sentence_prediction", "fairseq.tasks.sentence_ranking"),
    *("fairseq.data.iterators", "fairseq.data.data_utils", "fairseq_electra.memory"),
)
MATTERS = re.compile(
    "num. shared model params|No existing checkpoint|Loaded checkpoint|Saved checkpoint|[Ss]topping training|early stop|begin validation"
    "|end of epoch|done training"
)
# fairseq's calls of hydra and of PyTorch's loader, which a user can do nothing about
NOISE = re.compile(r"hydra|Hydra|version_base|deprecated keyword in package|The strict flag in the compose API|'pin_memory' argument")
COMPOSING = "Error when composing"  # all options in one line, above the reason
MOST = 1000  # lines that are kept until there is a file


class Details(logging.Filter):
    """Keeps back what does not matter, and writes it to a file once there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.shown = False
        self.waiting: deque[logging.LogRecord] = deque(maxlen=MOST)
        self.file: logging.FileHandler | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a line is to be printed."""
        if self.shown or _matters(record):
            return True
        if self.file is None:
            self.waiting.append(record)
        else:
            self.file.handle(record)
        return False

    def begin(self, shown: bool) -> None:
        """Begin a command or a run, which prints all lines or those that matter; what waited for it is printed or goes on waiting."""
        self.shown = shown
        if self.file is not None:
            self.file.close()
            self.file = None
        while shown and self.waiting:
            logging.getLogger().handle(self.waiting.popleft())

    def write_to(self, folder: str) -> None:
        """Write what waits, and all that comes, to the file in a folder, behind what an earlier run has written there."""
        if self.shown or self.file is not None:
            return
        path = Path(folder) / FILE
        self.file = _File(path, encoding="utf-8")
        self.file.setFormatter(logging.Formatter("%(asctime)s | %(levelname)s | %(name)s | %(message)s"))
        while self.waiting:
            self.file.handle(self.waiting.popleft())
        logger.info(f"the configuration, the network and more lines of fairseq are in {path}; --{OPTION} prints them")


class _File(logging.FileHandler):
    """A file whose loss, on a full disk, is not worth the run."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Go on without the line."""


details = Details()


def _matters(record: logging.LogRecord) -> bool:
    if not isinstance(record.msg, str):  # the configuration, the network
        return record.levelno > logging.INFO
    text = record.getMessage()
    return not text.startswith(COMPOSING) if record.levelno > logging.INFO else bool(MATTERS.match(text))


def keep_details_back() -> None:
    """fairseq_cli/train.py::main, ``logger.info(cfg)`` and the like: a hundred lines, one of 7,000 characters, before the first update.

    It looks at its folder just before the first of them, so that there the file of a run before, of the same process, is left.
    """
    from fairseq import checkpoint_utils
    from fairseq.trainer import Trainer

    plain, plain_look = Trainer.begin_epoch, checkpoint_utils.verify_checkpoint_directory
    for name in LOGGERS:
        logging.getLogger(name).addFilter(details)
    plain_warning = warnings.showwarning

    def showwarning(message, category, filename, lineno, file=None, line=None):
        if not NOISE.search(str(message)):
            plain_warning(message, category, filename, lineno, file, line)
            return
        text = f"{category.__name__}: {' '.join(str(message).split())}"
        record = logging.LogRecord("py.warnings", logging.INFO, filename, lineno, text, None, None)
        if details.filter(record):
            logging.getLogger().handle(record)

    def begin_epoch(self, epoch):
        if self.is_data_parallel_master and not self.cfg.checkpoint.no_save:
            details.write_to(self.cfg.checkpoint.save_dir)
        return plain(self, epoch)

    @functools.wraps(plain_look)
    def verify_checkpoint_directory(save_dir: str) -> None:
        details.begin(details.shown)
        plain_look(save_dir)

    Trainer.begin_epoch, warnings.showwarning = begin_epoch, showwarning
    checkpoint_utils.verify_checkpoint_directory = verify_checkpoint_directory


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--verbose``, unless fairseq reads with this parser for the second time."""
    with contextlib.suppress(argparse.ArgumentError):
        parser.add_argument(f"--{OPTION}", action="store_true", help=f"print the lines that go to {FILE} in the folder of the checkpoints")
