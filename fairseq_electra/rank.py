"""One process of ``fairseq-electra launch``: runs a fairseq command with this package's changes to fairseq already made.

``fairseq-hydra-train`` would import ``--user-dir`` only after it has decided how to distribute.
"""

import importlib
import os
import signal
import sys
import traceback
from pathlib import Path

FOLDER = "FAIRSEQ_ELECTRA_RANKS"  # where each process notes that it has joined, or its one sentence
TOOLS = {"fairseq-train": "fairseq_cli.train", "fairseq-hydra-train": "fairseq_cli.hydra_train", "fairseq-validate": "fairseq_cli.validate"}


def note(kind: str, text: str = "") -> None:
    """Write a note for the launcher, if there is one."""
    if FOLDER in os.environ:
        Path(os.environ[FOLDER], f"{os.environ['RANK']}.{kind}").write_text(text)


def main() -> None:
    """Run ``TOOL ARGUMENTS...`` as torchrun's environment says."""
    # the launcher is told as well, and says how to go on; a process that waits for others hears nothing but what ends it at once
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    tool = importlib.import_module(TOOLS[sys.argv[1]])

    import fairseq_electra
    from fairseq_electra import compat

    fairseq_electra.register()
    sys.argv = sys.argv[1:]
    try:
        tool.cli_main()
    except Exception as error:
        cause = compat.input_error(error)
        if cause is None:
            raise
        if os.environ.get("FAIRSEQ_ELECTRA_TRACEBACK"):
            traceback.print_exc()
        note(type(cause).__name__, str(cause))
        sys.exit(cause.status)


if __name__ == "__main__":
    main()
