"""Run commands: any program, fairseq's tools, and ours, in this process or in one of their own.

``electra`` and ``fairseq`` run in this process, which has imported PyTorch and fairseq already: a command
takes a few hundredths of a second. ``electra_process`` and ``fairseq_process`` run in a process of their own,
for tests of what only a process has: its exit, its signals, all that it writes, its first import of this
package, other processes beside it.
"""

import contextlib
import importlib
import io
import logging
import os
import subprocess
import sys
from pathlib import Path

from fairseq_electra import cli
from fairseq_electra.compat.mistakes import input_error
from tests.helpers import forked, process_end
from tests.helpers.paths import ROOT, USER_DIR


def run(command, cwd=None, check=True, env=None, **kwargs) -> subprocess.CompletedProcess:
    """Run a program; returns the finished process with its output as text."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'examples'}", **(env or {})},
        **kwargs,
    )
    return checked(done, check)


def with_options(arguments, more) -> list:
    """Return arguments with further options; one that stands in both has the value of the second."""
    values = iter(arguments)
    named, kept = {str(word) for word in more if str(word).startswith("--")}, []
    for word in values:
        if str(word) in named:
            next(values)
        else:
            kept.append(word)
    return [*kept, *more]


def checked(done: subprocess.CompletedProcess, check=True) -> subprocess.CompletedProcess:
    """Return a finished process, which must have succeeded where check says so."""
    assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def electra(*arguments, check=True, input="", cwd=None) -> subprocess.CompletedProcess:
    """Run one of our commands in this process; it must succeed unless check says otherwise."""
    return checked(
        subprocess.CompletedProcess(arguments, *electra_here(*arguments, text=input, cwd=cwd)), check
    )


def electra_here(*arguments, text="", cwd=None) -> tuple[int, str, str]:
    """Run one of our commands in this process; return its status, its output and its standard error."""

    def program() -> int:
        return cli.main([str(word) for word in arguments])

    with streams(text) as (output, said), contextlib.chdir(cwd or Path.cwd()):
        status = status_of(program)
    return status, written(output), written(said)


def fairseq(tool, *arguments, check=True) -> subprocess.CompletedProcess:
    """Run fairseq-train or the like with this plugin in this process; all that it logs is in ``stderr``."""
    given = [f"fairseq-{tool}", *map(str, arguments), "--user-dir", str(USER_DIR)]

    def program() -> int:
        sys.argv = given
        try:
            importlib.import_module(f"fairseq_cli.{tool}").cli_main()
        except Exception as error:
            refused = input_error(error)
            if refused is None:
                raise
            # as at the end of a process
            logging.getLogger("fairseq_electra").error(f"fairseq_electra: error: {refused}")
            return refused.status
        return 0

    before, root = sys.argv, logging.getLogger()
    level = root.level
    with streams("") as (output, said):
        handler = logging.StreamHandler(said)
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        try:
            status = status_of(program)
        finally:
            process_end.end()
            sys.argv = before
            root.setLevel(level)
            root.removeHandler(handler)
    return checked(subprocess.CompletedProcess(given, status, written(output), written(said)), check)


def fairseq_process(tool, *arguments, check=True, **kwargs) -> subprocess.CompletedProcess:
    """Run fairseq-train, fairseq-preprocess, ... with this plugin in a process of its own."""
    command = [sys.executable, "-m", f"fairseq_cli.{tool}", *map(str, arguments), "--user-dir", str(USER_DIR)]
    return checked(forked.run(command, **kwargs), check)


def electra_process(*arguments, check=True, **kwargs) -> subprocess.CompletedProcess:
    """Run one of our commands in a process of its own."""
    code = "import sys; from fairseq_electra.cli import main; sys.exit(main())"
    return checked(forked.run([sys.executable, "-c", code, *map(str, arguments)], **kwargs), check)


@contextlib.contextmanager
def streams(text: str | Path):
    """Replace standard input by a text or a file, and standard output and standard error by two buffers."""
    data = text.read_bytes() if isinstance(text, Path) else text.encode()
    output, said, given = (
        io.TextIOWrapper(io.BytesIO(each), encoding="utf-8", write_through=True) for each in (b"", b"", data)
    )
    before, sys.stdin = sys.stdin, given
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(said):
            yield output, said
    finally:
        sys.stdin = before


def written(stream: io.TextIOWrapper) -> str:
    """Return what was written to a stream of :func:`streams`."""
    return stream.buffer.getvalue().decode("utf-8", "surrogateescape")


def status_of(program) -> int:
    """Return the status that a process would exit with after this function."""
    try:
        return program()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
