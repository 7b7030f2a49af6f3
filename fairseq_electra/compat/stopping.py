"""A change to fairseq's end: a run that is stopped, by Ctrl-C or SIGTERM, says in one line how to go on."""

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
from fairseq_electra.saves import NOTE, Saves, name_of


class RunStopped(KeyboardInterrupt):
    """SIGTERM as an exception; no ``Exception``, which fairseq would save a crash.pt for."""


class _Run:
    """The training of this process, if there is one."""

    saves: Saves | None = None
    is_first = True  # of the run's processes
    trainer: weakref.ref | None = None


def begin(cfg) -> None:
    """Take note of a training that begins, and from now on of SIGTERM, which would end the process without a word.

    Args:
        cfg: fairseq's configuration.
    """
    _Run.saves = Saves(cfg.checkpoint.save_dir, cfg.checkpoint.no_save, cfg.checkpoint.restore_file)
    _Run.is_first = not cfg.distributed_training.distributed_rank
    _Run.trainer = None
    if not _is_one_of_several(cfg.distributed_training):
        _listen()
    _leave_note()


def end() -> None:
    """Forget the training, which has ended by itself."""
    _Run.saves = None
    if getattr(signal.getsignal(signal.SIGTERM), "is_ours", False) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _is_one_of_several(options) -> bool:
    """Tell whether this process may wait for others, deaf to all but a signal that ends it at once."""
    return FOLDER in os.environ or (options.distributed_world_size > 1 and options.distributed_no_spawn)


def _listen() -> None:
    """Turn SIGTERM into an exception, unless somebody else listens to it."""
    own = multiprocessing.parent_process() is None and threading.current_thread() is threading.main_thread()
    if not own or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return
    process = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one ends it at once
        if os.getpid() == process:
            raise RunStopped
        os.kill(os.getpid(), signal.SIGTERM)  # a copy of the process

    signal.signal(signal.SIGTERM, stop)


def _leave_note() -> None:
    if _Run.saves is not None and _Run.is_first:
        note(NOTE, _Run.saves.as_note())


def exit_if_stopped(error: BaseException) -> None:
    """Say how to go on and end the process, if a training was stopped; else do nothing.

    Args:
        error: what nobody has caught.
    """
    if not isinstance(error, KeyboardInterrupt) or _Run.saves is None:
        return
    number = signal.SIGTERM if isinstance(error, RunStopped) else signal.SIGINT
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C ends it at once
    if _Run.is_first:
        trainer = None if _Run.trainer is None else _Run.trainer()
        at = "" if trainer is None else f" at update {trainer.get_num_updates():,}"
        print_last_line(f"fairseq_electra: stopped by {name_of(number)}{at}; {_Run.saves}")
    sys.exit(128 + number)


def say_how_to_go_on() -> None:
    """fairseq_cli/train.py: Ctrl-C ends in a traceback and SIGTERM in nothing; neither says where the run has got to."""
    from fairseq import checkpoint_utils
    from fairseq.trainer import Trainer

    plain, plain_save = Trainer.__init__, checkpoint_utils.save_checkpoint

    @functools.wraps(plain)
    def initialize(self, cfg, *args, **kwargs):
        begin(cfg)
        plain(self, cfg, *args, **kwargs)
        _Run.trainer = weakref.ref(self)

    @functools.wraps(plain_save)
    def save_checkpoint(cfg, trainer, *args, **kwargs):
        path = plain_save(cfg, trainer, *args, **kwargs)
        if path is not None and _Run.saves is not None:
            _Run.saves.saved, _Run.saves.path = trainer.get_num_updates(), str(path)
            _leave_note()
        return path

    Trainer.__init__, checkpoint_utils.save_checkpoint = initialize, save_checkpoint
