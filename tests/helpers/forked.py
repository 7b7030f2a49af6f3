"""Run commands in copies of a process that has already imported PyTorch and fairseq.

These imports are most of what a short command costs. Each thread of a worker of pytest has one such process,
started when it is first needed. It imports neither the plugin nor a command of fairseq: a copy does, as a
process of its own would, so that ``--user-dir``, logging and the exit status are those of the command line.
"""

import atexit
import functools
import json
import logging
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]


def run(command: list[str], cwd=None, input: str | Path = "", timeout: int = 280, merged: bool = False):
    """Run a command in a copy; returns what ``subprocess.run`` returns.

    Args:
        command: ``[sys.executable, "-m", module, *arguments]``, or the same with ``"-c"`` and code.
        cwd: The copy's working folder, this process's unless given.
        input: Its standard input, or a file that holds it.
        timeout: Seconds until it is killed.
        merged: Whether its standard error goes where its standard output goes.

    Raises:
        subprocess.TimeoutExpired: It ran too long.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / name) for name in ("stdin", "stdout", "stdout" if merged else "stderr")]
        if isinstance(input, Path):
            files[0] = str(input)
        else:
            Path(files[0]).write_text(input)
        request = {
            "command": command[1:],
            "cwd": str(cwd or Path.cwd()),
            "environment": environment(),
            "files": files,
            "timeout": timeout,
        }
        # of its own for each thread: a server answers one request after the other
        server = start(threading.get_ident())
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        status = json.loads(server.stdout.readline())
        said = [Path(name).read_text() for name in files[1:]]
    if status is None:
        raise subprocess.TimeoutExpired(command, timeout, *said)
    return subprocess.CompletedProcess(command, status, *said)


@functools.cache
def start(thread: int) -> subprocess.Popen:
    """Start the process that is copied for the commands of a thread."""
    command, pipe = [sys.executable, "-m", "tests.helpers.forked"], subprocess.PIPE
    server = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT, env=environment())
    atexit.register(server.stdin.close)  # which ends it
    return server


def environment() -> dict[str, str]:
    """Return the environment of every command: one thread, and this package before other paths."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}


def serve() -> Callable[[], object]:
    """Answer requests until there are no more; returns, in each copy, what the copy is to do."""
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what an import prints is no answer
    import fairseq.tasks  # noqa: F401  (and with it torch, scikit-learn and all of fairseq's models)
    import torch._dynamo  # noqa: F401  (which PyTorch's optimizers import at the first step of a training)

    logging.root.handlers.clear()  # which that import has set up, and a command of fairseq would before it

    for line in requests:
        request = json.loads(line)
        copy = os.fork()
        if not copy:
            requests.close()
            answers.close()
            return become(request)
        answers.write(json.dumps(wait(copy, request["timeout"])) + "\n")
        answers.flush()
    os._exit(0)


def wait(copy: int, timeout: int) -> int | None:
    """Wait for a copy's end; return its exit status as ``subprocess`` does, or None after the time limit."""

    def kill(*_):
        killed.append(copy)
        os.kill(copy, signal.SIGKILL)

    killed: list[int] = []
    before = signal.signal(signal.SIGALRM, kill)
    signal.alarm(timeout)
    status = os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    return None if killed else status


def become(request: dict) -> Callable[[], object]:
    """Make this copy what a new process would be; returns what runs its module or code."""
    np.random.seed()  # as a new process would; Python's own generator is seeded by fork
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for number, name in enumerate(request["files"]):
        opened = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND if number else os.O_RDONLY, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    kind, program, *sys.argv[1:] = request["command"]
    if kind == "-m":
        return functools.partial(runpy.run_module, program, run_name="__main__", alter_sys=True)
    sys.argv[0] = kind
    return functools.partial(exec, program, {"__name__": "__main__"})


if __name__ == "__main__":
    serve()()  # a copy comes back from serve, so that its program ends as a process does
