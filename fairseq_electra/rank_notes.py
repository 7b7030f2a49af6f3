"""Notes that each process of ``fairseq-electra launch`` leaves for the launcher."""

import os
from pathlib import Path

FOLDER = "FAIRSEQ_ELECTRA_RANKS"  # where each process notes that it has joined, or its one sentence


def note(kind: str, text: str = "") -> None:
    """Write a note for the launcher, if there is one."""
    if FOLDER in os.environ:
        Path(os.environ[FOLDER], f"{os.environ['RANK']}.{kind}").write_text(text)
