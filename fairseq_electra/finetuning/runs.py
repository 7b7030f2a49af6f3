"""Run ``fairseq-train`` many times without paying for its start each time."""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

import fairseq_electra
from fairseq_electra.errors import DeviceFaultError, DivergedError, InputError
from fairseq_electra.pretraining.log import read_log

DIVERGED = "diverged: "  # begins what went wrong with a run whose losses are beyond all numbers
# what every run imports, fairseq first, so that this package registers what fairseq's options name
PRELOADED = ["fairseq_cli.train", "fairseq_electra", "fairseq_electra.finetuning.study", "torch._dynamo"]
USER_DIR = str(Path(fairseq_electra.__file__).parent)
# else fairseq takes all GPUs, and an update has as many batches
ONE_PROCESS = ("--distributed-world-size", "1")


class Job(NamedTuple):
    """What a process is told to do.

    Attributes:
        name: name of the run.
        arguments: arguments of ``fairseq-train``.
        log: path of the file for what it prints.
        threads: number of threads.
        then: called with the run's name once it has trained.
    """

    name: str
    arguments: list[str]
    log: str
    threads: int
    then: Callable[[str], None] | None


def train_all(
    runs: Mapping[str, Sequence[str]],
    logs: Path,
    processes: int,
    threads: int = 1,
    then: Callable[[str], None] | None = None,
) -> Iterator[tuple[str, str, list[dict]]]:
    """Train side by side, each run in a fresh process forked from one that has fairseq loaded.

    Args:
        runs: arguments of ``fairseq-train`` by name; ``--user-dir`` and the log format are added.
        logs: folder for ``NAME.log``.
        processes: how many at a time.
        threads: of each.
        then: called with a run's name in its process once it has trained.

    Yields:
        name of each run as it ends, what went wrong, as :func:`trouble_of` has it, empty if nothing, and its
        validations: dicts of metrics, as fairseq logs them, with ``subset``.

    Raises:
        InputError: a process was killed; what runs beside it ends too.
    """
    logs.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    jobs = [
        Job(name, list(arguments), str(logs / f"{name}.log"), threads, then)
        for name, arguments in runs.items()
    ]
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(
        processes, mp_context=context, max_tasks_per_child=1, initializer=_end_with_parent
    ) as pool:
        try:
            pending = [pool.submit(_train, job) for job in jobs]
            for future in as_completed(pending):
                name, trouble = future.result()
                yield (
                    name,
                    trouble,
                    [
                        record
                        for record in read_log(logs / f"{name}.log")
                        if record["subset"] != "train_inner"
                    ],
                )
        except BrokenProcessPool as error:
            raise InputError(
                f"a process of the runs in {logs} was killed, perhaps for want of memory: fewer --processes"
                " need less; the same line goes on with what is not done"
            ) from error
        except BaseException:  # Ctrl-C above all: the pool would do all that is left first
            pool.shutdown(wait=False, cancel_futures=True)
            for child in set(multiprocessing.active_children()) - others:
                child.terminate()
            raise


def _end_with_parent() -> None:
    """Leave no run behind when the process that planned it is killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _train(job: Job) -> tuple[str, str]:
    """Run ``fairseq-train`` in this process; returns the run's name and what went wrong, empty if nothing."""
    Path(job.log).parent.mkdir(parents=True, exist_ok=True)
    with open(job.log, "wb") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    import torch
    from fairseq_cli import train

    fairseq_electra.register()
    from fairseq_electra.compat.mistakes import input_error

    torch.set_num_threads(job.threads)
    ours = [
        *("--user-dir", USER_DIR, "--log-format", "json", "--num-workers", "0"),
        *ONE_PROCESS,
        *([] if torch.cuda.is_available() else ["--cpu"]),
    ]
    sys.argv = ["fairseq-train", *job.arguments, *ours]
    try:
        train.cli_main()
        if job.then is not None:
            job.then(job.name)
    except (Exception, SystemExit) as error:
        return job.name, trouble_of(error, input_error(error))
    return job.name, ""


def trouble_of(error: BaseException, known: InputError | None) -> str:
    """Put into words what ended a run; begins with :data:`DIVERGED` if its training diverged.

    Args:
        error: that ended it.
        known: what :func:`fairseq_electra.compat.mistakes.input_error` has found in it.
    """
    text = str(known or f"{type(error).__name__}: {error}")
    diverged = isinstance(known or error, FloatingPointError | DivergedError) and not isinstance(
        error, DeviceFaultError
    )
    return DIVERGED + text if diverged else text
