"""A run that is stopped, by Ctrl-C or SIGTERM, prints one line that tells how to resume it.

fairseq_cli/train.py: Ctrl-C ends in a traceback, and SIGTERM without a word. Neither tells which update was
reached. Here the trainer and its last save are recorded, and compat/tracebacks.py prints the line.
"""

import functools
import multiprocessing
import os
import signal
import sys
import threading
import weakref
from types import FrameType

from fairseq_electra.errors import print_last_line
from fairseq_electra.rank_notes import FOLDER, note
from fairseq_electra.resuming import NOTE, ResumeHint, signal_name


class RunStopped(KeyboardInterrupt):
    """SIGTERM as an exception; not an ``Exception``, for which fairseq would save a crash.pt."""


class _Run:
    """The training of this process, if there is one."""

    hint: ResumeHint | None = None
    is_first = True  # whether this is the first of the run's processes
    trainer: weakref.ref | None = None


def start(cfg) -> None:
    """Record a training that starts, and handle SIGTERM, which would end the process without a word.

    Args:
        cfg: fairseq's configuration.
    """
    _Run.hint = ResumeHint(cfg.checkpoint.save_dir, cfg.checkpoint.no_save, cfg.checkpoint.restore_file)
    _Run.is_first = not cfg.distributed_training.distributed_rank
    _Run.trainer = None
    if not _is_one_of_several(cfg.distributed_training):
        _handle_sigterm()
    _write_note()


def end() -> None:
    """Forget the training, which has ended by itself, and handle SIGTERM no longer."""
    _Run.hint = None
    if (
        getattr(signal.getsignal(signal.SIGTERM), "is_ours", False)
        and threading.current_thread() is threading.main_thread()
    ):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _is_one_of_several(options) -> bool:
    """Tell whether this process may wait for others, where only a signal that ends it at once is noticed."""
    return FOLDER in os.environ or (options.distributed_world_size > 1 and options.distributed_no_spawn)


def _handle_sigterm() -> None:
    """Turn SIGTERM into an exception, unless another handler is set."""
    own = multiprocessing.parent_process() is None and threading.current_thread() is threading.main_thread()
    if not own or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return
    process = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one ends the process at once
        if os.getpid() == process:
            raise RunStopped
        os.kill(os.getpid(), signal.SIGTERM)  # this is a copy of the process

    signal.signal(signal.SIGTERM, stop)


def _write_note() -> None:
    if _Run.hint is not None and _Run.is_first:
        note(NOTE, _Run.hint.as_note())


def exit_if_stopped(error: BaseException) -> None:
    """If a training was stopped, print how to resume it and end the process.

    Args:
        error: The error that ends the process.

    Raises:
        SystemExit: A training was stopped.
    """
    if not isinstance(error, KeyboardInterrupt) or _Run.hint is None:
        return
    number = signal.SIGTERM if isinstance(error, RunStopped) else signal.SIGINT
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C ends the process at once
    if _Run.is_first:
        trainer = None if _Run.trainer is None else _Run.trainer()
        at = "" if trainer is None else f" at update {trainer.get_num_updates():,}"
        print_last_line(f"fairseq_electra: stopped by {signal_name(number)}{at}; {_Run.hint}")
    sys.exit(128 + number)


def print_how_to_resume() -> None:
    """Change trainer.py::Trainer.__init__, so that the run and its trainer are known."""
    from fairseq.trainer import Trainer

    plain = Trainer.__init__

    @functools.wraps(plain)
    def initialize(self, cfg, *args, **kwargs):
        start(cfg)
        plain(self, cfg, *args, **kwargs)
        _Run.trainer = weakref.ref(self)

    Trainer.__init__ = initialize


def record_saves() -> None:
    """Change checkpoint_utils.py::save_checkpoint, so that the last checkpoint is known."""
    from fairseq import checkpoint_utils

    plain = checkpoint_utils.save_checkpoint

    @functools.wraps(plain)
    def save_checkpoint(cfg, trainer, *args, **kwargs):
        path = plain(cfg, trainer, *args, **kwargs)
        if path is not None and _Run.hint is not None:
            _Run.hint.saved, _Run.hint.path = trainer.get_num_updates(), str(path)
            _write_note()
        return path

    checkpoint_utils.save_checkpoint = save_checkpoint
