"""Only the important lines are printed; all others are written to a file in the folder of the checkpoints.

fairseq_cli/train.py::main, ``logger.info(cfg)`` and the like, print a hundred lines, one of 7,000 characters,
before the first update. Here they go to details.log; ``--verbose`` prints them.
"""

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
IMPORTANT = re.compile(
    "num. shared model params|No existing checkpoint|Loaded checkpoint|Saved checkpoint|[Ss]topping "
    "training|early stop|begin validation"
    "|end of epoch|done training"
)
# warnings about fairseq's own calls of hydra and of PyTorch's loader
NOISE = re.compile(
    "hydra|Hydra|version_base|deprecated keyword in package|The strict flag in the compose API|'pin_memory'"
    " argument"
)
COMPOSING = "Error when composing"  # start of a line with all options; the next one has the reason
MAX_WAITING = 1000  # lines that are kept until there is a file


class Details(logging.Filter):
    """A filter that holds back unimportant lines, and writes them to a file once there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.shown = False
        self.waiting: deque[logging.LogRecord] = deque(maxlen=MAX_WAITING)
        self.file: logging.FileHandler | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a line is to be printed."""
        if self.shown or _is_important(record):
            return True
        if self.file is None:
            self.waiting.append(record)
        else:
            self.file.handle(record)
        return False

    def start(self, shown: bool) -> None:
        """Start a command or a run.

        Args:
            shown: Whether all lines are printed, also those that are waiting; else only important ones.
        """
        self.shown = shown
        if self.file is not None:
            self.file.close()
            self.file = None
        while shown and self.waiting:
            logging.getLogger().handle(self.waiting.popleft())

    def write_to(self, folder: str) -> None:
        """Append the waiting lines, and all later ones, to the file in a folder."""
        if self.shown or self.file is not None:
            return
        path = Path(folder) / FILE
        self.file = _File(path, encoding="utf-8")
        self.file.setFormatter(logging.Formatter("%(asctime)s | %(levelname)s | %(name)s | %(message)s"))
        while self.waiting:
            self.file.handle(self.waiting.popleft())
        logger.info(
            f"the configuration, the model and more lines of fairseq are in {path}; --{OPTION} prints them"
        )


class _File(logging.FileHandler):
    """A file for which a run does not fail on a full disk."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Drop the line."""


details = Details()


def _is_important(record: logging.LogRecord) -> bool:
    if not isinstance(record.msg, str):  # the configuration, the model
        return record.levelno > logging.INFO
    text = record.getMessage()
    return not text.startswith(COMPOSING) if record.levelno > logging.INFO else bool(IMPORTANT.match(text))


def hide_details() -> None:
    """Filter fairseq's loggers and warnings; change two functions that tell when the file can be written."""
    from fairseq import checkpoint_utils
    from fairseq.trainer import Trainer

    plain, plain_verify = Trainer.begin_epoch, checkpoint_utils.verify_checkpoint_directory
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

    @functools.wraps(plain_verify)
    def verify_checkpoint_directory(save_dir: str) -> None:
        # called just before the first of these lines: close the file of an earlier run in the same process
        details.start(details.shown)
        plain_verify(save_dir)

    Trainer.begin_epoch, warnings.showwarning = begin_epoch, showwarning
    checkpoint_utils.verify_checkpoint_directory = verify_checkpoint_directory


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--verbose``, unless this parser has it already: fairseq parses twice with the same parser."""
    with contextlib.suppress(argparse.ArgumentError):
        help_text = f"print the lines that are otherwise written to {FILE} in the folder of the checkpoints"
        parser.add_argument(f"--{OPTION}", action="store_true", help=help_text)
