"""Every change to fairseq, in one place: which line it mends, and why. tests/compat/test_compat.py fails once one is no longer needed."""

import argparse
import atexit
import contextlib
import errno
import filecmp
import functools
import os
import queue
import shutil
import sys
import threading
import time
import traceback
from pathlib import Path

import torch

from fairseq_electra.checkpoints import allow_plain_data, unreadable
from fairseq_electra.compat import (
    batch_sizes,
    batches,
    best_metric,
    command_line,
    distributed,
    epochs,
    fillers,
    memory,
    metrics,
    mistakes,
    patience,
    quiet,
    same_run,
    sameness,
    save_folder,
    sentences,
    shared_memory,
    speeds,
    starts,
    stopping,
    task_state,
    units,
    updates,
)
from fairseq_electra.compat.mistakes import input_error
from fairseq_electra.errors import InputError, print_last_line
from fairseq_electra.files.partial import create_partial, sync, sync_name
from fairseq_electra.finetuning.info import TASK_FILE
from fairseq_electra.pretraining.wordpiece import DICTIONARY_FILE, TOKENIZER_FILE

# what a checkpoint is read with: where it lies in the folder of the data, and in that of the checkpoints
BESIDE = {name: name for name in (DICTIONARY_FILE, TOKENIZER_FILE, TASK_FILE, f"label/{DICTIONARY_FILE}")}
BESIDE |= {f"input0/{name}": name for name in (DICTIONARY_FILE, TOKENIZER_FILE)}


def apply() -> None:
    """Apply them all; doing so again changes nothing."""
    allow_plain_data()
    speak_plainly()
    command_line.read_command_lines_plainly()
    quiet.keep_details_back()
    mistakes.explain_unwritable_folder()
    save_checkpoints_whole()
    updates.name_rows_of_infinite_losses()
    updates.look_at_gradients_later()
    fillers.leave_out_fillers()
    fillers.pass_over_fillers_in_fairseq_validate()
    memory.end_where_memory_runs_out()
    updates.log_norms_of_networks()
    updates.save_metrics_as_numbers()
    updates.seed_own_device()
    batches.send_batches_ahead()
    batch_sizes.keep_batch_sizes()
    batch_sizes.keep_last_batches()
    epochs.note_batching()
    epochs.go_on_with_rows_left()
    epochs.count_groups_left()
    epochs.validate_training_rows_apart()
    explain_damaged_checkpoints()
    starts.look_before_training()
    best_metric.check_before_training()
    shared_memory.end_without_shared_memory()
    start_average_from_weights()
    stop_readers_at_exit()
    distributed.distribute_on_cpus()
    distributed.gather_without_gpu()
    distributed.broadcast_checkpoints()
    distributed.sum_stats_without_waiting()
    metrics.know_our_meter()
    metrics.read_stats_when_asked()
    speeds.leave_validation_out_of_speeds()
    task_state.restore_task_state()
    same_run.refuse_other_runs()
    save_folder.keep_other_runs_out()
    stopping.say_how_to_go_on()
    updates.save_no_crash_of_wrong_input()
    units.forget_best_in_other_units()
    patience.remember_patience()
    keep_vocabulary_beside_checkpoints()
    speeds.leave_saving_out_of_speeds()
    sameness.say_when_all_is_the_same()
    sentences.gather_predictions()
    sentences.correlate_single_examples()
    sentences.log_losses_in_nats()
    sentences.compare_numbers_of_lines()
    sentences.name_ranking_heads()
    sentences.explain_absent_data()


def speak_plainly() -> None:
    """fairseq_cli/train.py has no handler: an :class:`InputError` would end in a traceback of forty lines above its one sentence.

    fairseq-hydra-train has one, hydra's, which prints its own traceback and ends with status 1 whatever it was; HYDRA_FULL_ERROR makes
    it let errors pass.
    """
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    previous = sys.excepthook
    if getattr(previous, "speaks_plainly", False):
        return

    def hook(kind, error, trace) -> None:
        stopping.exit_if_stopped(error)
        cause = input_error(error)
        if cause is None:
            previous(kind, error, trace)
            return
        if os.environ.get("FAIRSEQ_ELECTRA_TRACEBACK"):
            traceback.print_exception(kind, error, trace)
        print_last_line(f"fairseq_electra: error: {cause}")
        sys.exit(cause.status)

    hook.speaks_plainly = True  # type: ignore[attr-defined]
    sys.excepthook = hook


def save_checkpoints_whole() -> None:
    """checkpoint_utils.py::save_checkpoint, ``PathManager.copy(checkpoints[0], cp)``: overwrites checkpoint_last.pt in place.

    A process killed at that moment, or a full disk, would lose the last good checkpoint: so the copy is made beside it and renamed.
    And ``_torch_persistent_save``, which saves beside it as well, writes a second and third attempt behind the first, waits five
    seconds, leaves them on the full disk and says so in PyTorch's words.
    """
    from fairseq import checkpoint_utils
    from fairseq.file_io import PathManager

    plain_copy, plain_save, plain_round = PathManager.copy, checkpoint_utils.torch_persistent_save, checkpoint_utils.save_checkpoint
    if getattr(plain_copy, "saves_whole", False):
        return

    def copy(src_path: str, dst_path: str, overwrite: bool = False) -> bool:
        if not Path(src_path).is_file():
            return plain_copy(src_path, dst_path, overwrite)
        with whole(dst_path) as partial:
            shutil.copyfile(src_path, partial)
        return True

    def torch_persistent_save(obj, filename, async_write: bool = False):
        if async_write or not isinstance(filename, str):
            return plain_save(obj, filename, async_write)
        with whole(filename) as partial, open(partial, "wb") as stream:
            torch.save(obj, stream)
        return None

    @functools.wraps(plain_round)
    def save_checkpoint(*args, **kwargs):
        try:
            return plain_round(*args, **kwargs)
        except NotWrittenError as error:
            raise InputError(f"{error}; the checkpoints before it are whole, and the same line goes on from the last") from error

    copy.saves_whole = True  # type: ignore[attr-defined]
    PathManager.copy = staticmethod(copy)
    checkpoint_utils.torch_persistent_save, checkpoint_utils.save_checkpoint = torch_persistent_save, save_checkpoint


@contextlib.contextmanager
def whole(path: str):
    """Give a name to write to; what was written there takes the place of ``path`` only once it is complete.

    Raises:
        NotWrittenError: the disk is full, or the place cannot be written to.
    """
    try:
        partial, descriptor = create_partial(Path(path))  # of its own: another process may write the same file
        try:
            yield partial
            sync(partial)
            partial.replace(path)
            sync_name(Path(path))
        finally:
            partial.unlink(missing_ok=True)
            os.close(descriptor)
    except (OSError, RuntimeError) as error:
        reason: BaseException = error
        while reason.__context__ is not None and not isinstance(reason, OSError):
            reason = reason.__context__  # PyTorch speaks of zip archives, the disk's own words are behind
        said, remedy = (str(reason) or type(reason).__name__).splitlines()[0], "check the path, and its rights"
        if not isinstance(reason, OSError) or reason.errno in (errno.ENOSPC, errno.EDQUOT):
            said += f"; {shutil.disk_usage(Path(path).parent).free / 1e6:,.1f} MB free"
            remedy = "make room"
        raise NotWrittenError(f"cannot write {path} ({said}); {remedy}") from error


class NotWrittenError(InputError):
    """A file could not be written; what stood there before is whole."""


def keep_vocabulary_beside_checkpoints() -> None:
    """checkpoint_utils.py::save_checkpoint: a checkpoint alone cannot be used, what turns text into its ids lies with the data.

    So the vocabulary, and the labels of a sentence task, are copied into the folder of the checkpoints.
    """
    from fairseq import checkpoint_utils

    plain = checkpoint_utils.save_checkpoint
    if getattr(plain, "keeps_vocabulary", False):
        return

    @functools.wraps(plain)  # with the marks of other changes
    def save_checkpoint(cfg, trainer, *args, **kwargs):
        data = Path(str(getattr(trainer.cfg.task, "data", "")).split(os.pathsep)[0])
        if not cfg.no_save and trainer.is_data_parallel_master and Path(cfg.save_dir).is_dir():
            for place, name in BESIDE.items():
                source, copy = data / place, Path(cfg.save_dir) / name
                if source.is_file() and not (copy.is_file() and filecmp.cmp(source, copy, shallow=False)):
                    copy.parent.mkdir(exist_ok=True)
                    with whole(str(copy)) as partial:
                        shutil.copyfile(source, partial)
        return plain(cfg, trainer, *args, **kwargs)

    save_checkpoint.keeps_vocabulary = True  # type: ignore[attr-defined]
    checkpoint_utils.save_checkpoint = save_checkpoint


def explain_damaged_checkpoints() -> None:
    """checkpoint_utils.py::load_checkpoint_to_cpu, ``torch.load(f)``: a file cut short ends in PyTorch's words on zip archives.

    And what PyTorch can read and is no checkpoint of fairseq's, such as transformers' pytorch_model.bin, ends in a KeyError.
    """
    from fairseq import checkpoint_utils

    plain = checkpoint_utils.load_checkpoint_to_cpu
    if getattr(plain, "explains", False):
        return

    def load_checkpoint_to_cpu(path, *args, **kwargs):
        try:
            return plain(path, *args, **kwargs)
        except InputError:
            raise
        except Exception as error:
            starts.check_checkpoint(path)
            raise unreadable(path, error) from error

    load_checkpoint_to_cpu.explains = True  # type: ignore[attr-defined]
    checkpoint_utils.load_checkpoint_to_cpu = load_checkpoint_to_cpu


def start_average_from_weights() -> None:
    """trainer.py::Trainer.load_checkpoint, ``self.ema.restore(state["model"], ...)``: comes after ``del state["model"]``.

    So --store-ema could not go on from a checkpoint that was saved without it.
    """
    from fairseq import checkpoint_utils
    from fairseq.trainer import Trainer

    plain = Trainer.load_checkpoint
    if getattr(plain, "starts_average", False):
        return

    def load_checkpoint(self, *args, **kwargs):
        if not self.cfg.ema.store_ema:
            return plain(self, *args, **kwargs)
        read = checkpoint_utils.load_checkpoint_to_cpu

        def with_average(*args, **kwargs):
            state = read(*args, **kwargs)
            state["extra_state"].setdefault("ema", dict(state["model"]))
            return state

        checkpoint_utils.load_checkpoint_to_cpu = with_average
        try:
            return plain(self, *args, **kwargs)
        finally:
            checkpoint_utils.load_checkpoint_to_cpu = read

    load_checkpoint.starts_average = True  # type: ignore[attr-defined]
    Trainer.load_checkpoint = load_checkpoint


def stop_readers_at_exit() -> None:
    """data/iterators.py::BufferedIterator._create_consumer, ``daemon = True``: a run that ends within an epoch ends by abort().

    The thread is still making batches inside PyTorch when the interpreter goes, which C++ answers with "terminate called".
    """
    atexit.unregister(stop_readers)
    atexit.register(stop_readers)


def stop_readers(seconds: float = 10.0) -> None:
    """Let the threads that read ahead finish the batch in hand, and no more."""
    from fairseq.data.iterators import BackgroundConsumer

    readers = [thread for thread in threading.enumerate() if isinstance(thread, BackgroundConsumer)]
    for reader in readers:
        reader._max_len = 0
    deadline = time.monotonic() + seconds
    while any(reader.is_alive() for reader in readers) and time.monotonic() < deadline:
        for reader in readers:  # room in a full queue, which it may be waiting for
            with contextlib.suppress(queue.Empty):
                reader._queue.get(timeout=0.02)


def forget_tpu(args: argparse.Namespace) -> None:
    """options.py::parse_args_and_arch, ``if args.bf16: args.tpu = True``: takes every --bf16 for a TPU, and crashes without one."""
    if getattr(args, "bf16", False) and getattr(args, "tpu", False):
        try:
            import torch_xla  # noqa: F401
        except ImportError:
            args.tpu = False
