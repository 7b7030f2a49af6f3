"""One process of ``fairseq-electra launch``: runs a fairseq command with this package's changes to fairseq already made.

``fairseq-hydra-train`` would import ``--user-dir`` only after it has decided how to distribute.
"""

import importlib
import os
import signal
import sys
import traceback

from fairseq_electra.rank_notes import note

TOOLS = {"fairseq-train": "fairseq_cli.train", "fairseq-hydra-train": "fairseq_cli.hydra_train", "fairseq-validate": "fairseq_cli.validate"}


def main() -> None:
    """Run ``TOOL ARGUMENTS...`` as torchrun's environment says."""
    # the launcher is told as well, and says how to go on; a process that waits for others hears nothing but what ends it at once
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    tool = importlib.import_module(TOOLS[sys.argv[1]])

    import fairseq_electra

    fairseq_electra.register()
    from fairseq_electra.compat.mistakes import input_error

    sys.argv = sys.argv[1:]
    try:
        tool.cli_main()
    except Exception as error:
        cause = input_error(error)
        if cause is None:
            raise
        if os.environ.get("FAIRSEQ_ELECTRA_TRACEBACK"):
            traceback.print_exc()
        note(type(cause).__name__, str(cause))
        sys.exit(cause.status)


if __name__ == "__main__":
    main()
