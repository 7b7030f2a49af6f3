"""Input errors are printed as one sentence, without a traceback.

fairseq_cli/train.py handles no errors, so an :class:`InputError` would end in a traceback of forty lines
above its sentence. fairseq-hydra-train lets hydra handle them: it prints its own traceback, and the status is
always 1. Here an excepthook prints the sentence and ends with the error's status.
"""

import os
import sys
import traceback

from fairseq_electra.compat import stopping
from fairseq_electra.compat.mistakes import input_error
from fairseq_electra.errors import print_last_line


def print_input_errors_without_traceback() -> None:
    """Install the excepthook; the environment variable FAIRSEQ_ELECTRA_TRACEBACK shows the traceback, too."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # hydra lets errors pass
    plain = sys.excepthook

    def without_traceback(kind, error, trace) -> None:
        stopping.exit_if_stopped(error)
        cause = input_error(error)
        if cause is None:
            plain(kind, error, trace)
            return
        if os.environ.get("FAIRSEQ_ELECTRA_TRACEBACK"):
            traceback.print_exception(kind, error, trace)
        print_last_line(f"fairseq_electra: error: {cause}")
        sys.exit(cause.status)

    sys.excepthook = without_traceback
