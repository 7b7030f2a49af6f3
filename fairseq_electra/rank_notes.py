"""Notes from each process of ``fairseq-electra launch`` to the launcher."""

import os
from pathlib import Path

FOLDER = "FAIRSEQ_ELECTRA_RANKS"  # environment variable with the folder of the notes


def note(kind: str, text: str = "") -> None:
    """Write a note to the launcher, if there is one.

    Args:
        kind: ``joined``, :data:`fairseq_electra.resuming.NOTE`, or the class of an error.
        text: The content, such as the sentence of an error.
    """
    if FOLDER in os.environ:
        Path(os.environ[FOLDER], f"{os.environ['RANK']}.{kind}").write_text(text)
