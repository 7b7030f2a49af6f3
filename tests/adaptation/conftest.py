"""An adaptation whose fairseq commands run in this process."""

import importlib
import logging
import sys

import pytest
from fairseq_cli import validate

from fairseq_electra.adaptation import figures, training
from tests.helpers import process_end
from tests.helpers.paths import USER_DIR
from tests.helpers.training import logged


@pytest.fixture
def follow_here(monkeypatch):
    """Let fairseq's commands run in this process; returns the arguments of each, in order."""
    calls = []

    def follow(arguments, log, tool="fairseq-train"):
        calls.append([tool, *arguments])
        for name in ("fairseq", "fairseq_electra"):  # which our command has made quiet
            logging.getLogger(name).setLevel(logging.NOTSET)
        monkeypatch.setattr(sys, "argv", [tool, *arguments, "--user-dir", str(USER_DIR)])
        try:
            with logged() as stream:
                importlib.import_module(tool.replace("fairseq-", "fairseq_cli.")).cli_main()
        finally:
            process_end.end()
        with open(log, "a", encoding="utf-8") as file:
            file.write(stream.getvalue())
        yield from ((0.0, line) for line in stream.getvalue().splitlines())

    monkeypatch.setattr(validate, "reset_logging", lambda: None)  # it would take logged's handler away
    for module in (figures, training):
        monkeypatch.setattr(module, "follow", follow)
    return calls
