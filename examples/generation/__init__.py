"""Scores of generated text: perplexity under a causal language model, diversity, accuracy of infilling."""

import argparse
from collections.abc import Callable

from fairseq_electra.errors import InputError


def positive_integer(given: str) -> int:
    """Read the value of an option that counts something."""
    if not given.isdecimal() or int(given) < 1:
        raise argparse.ArgumentTypeError(f"{given!r} is no number of 1 or more")
    return int(given)


def run(program: Callable[[], None]) -> None:
    """Run a program; bad input ends it with one sentence on standard error and status 1."""
    try:
        program()
    except InputError as error:
        raise SystemExit(str(error)) from None
