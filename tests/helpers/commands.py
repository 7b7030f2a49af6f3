"""Run commands: any program, fairseq's tools, and ours, in a process of their own or in this one."""

import contextlib
import io
import os
import subprocess
import sys

from fairseq_electra import cli
from tests.helpers import forked
from tests.helpers.paths import ROOT, USER_DIR


def run(command, cwd=None, check=True, env=None, **kwargs):
    """Run a command; returns the finished process with its output as text."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        **kwargs,
    )
    return checked(done, check)


def checked(done, check=True):
    """Return a finished process, which must have succeeded where check says so."""
    assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def fairseq(tool, *arguments, check=True, **kwargs):
    """Run fairseq-train, fairseq-preprocess, ... with this plugin."""
    return checked(
        forked.run([sys.executable, "-m", f"fairseq_cli.{tool}", *map(str, arguments), "--user-dir", str(USER_DIR)], **kwargs), check
    )


def electra(*arguments, check=True, **kwargs):
    """Run one of our commands."""
    code = "import sys; from fairseq_electra.cli import main; sys.exit(main())"
    return checked(forked.run([sys.executable, "-c", code, *map(str, arguments)], **kwargs), check)


def electra_here(*arguments, text=None, monkeypatch=None) -> tuple[int, str, str]:
    """Run one of our commands in this process; returns its status, its output and what it wrote to standard error."""
    output, said = io.StringIO(), io.StringIO()
    if text is not None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(said):
        status = cli.main([str(word) for word in arguments])
    return status, output.getvalue(), said.getvalue()
