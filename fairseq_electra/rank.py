"""One process of ``fairseq-electra launch``: it makes our changes to fairseq, and runs a fairseq command.

By itself ``fairseq-hydra-train`` imports ``--user-dir`` only after it has decided how to distribute.
"""

import importlib
import os
import signal
import sys
import traceback

from fairseq_electra.rank_notes import note

TOOLS = {
    "fairseq-train": "fairseq_cli.train",
    "fairseq-hydra-train": "fairseq_cli.hydra_train",
    "fairseq-validate": "fairseq_cli.validate",
}


def main() -> None:
    """Run ``TOOL ARGUMENTS...`` in the environment that torchrun has set."""
    # the launcher gets the signal as well, and prints how to resume; this process may be waiting for others,
    # where only a signal that ends it at once is noticed
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
