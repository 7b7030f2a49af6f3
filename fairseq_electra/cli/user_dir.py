"""Print the folder of this package, for fairseq's --user-dir.

fairseq-train --user-dir "$(fairseq-electra user-dir)" ...
"""

import argparse
from pathlib import Path

import fairseq_electra


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments: none."""


def run(args: argparse.Namespace) -> None:
    """Print the folder."""
    print(Path(fairseq_electra.__file__).parent)
