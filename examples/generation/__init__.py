"""Scores of generated text: perplexity under a causal language model, diversity, accuracy of infilling."""

from collections.abc import Callable

from fairseq_electra.errors import InputError


def run(program: Callable[[], None]) -> None:
    """Run a program; bad input ends it with one sentence on standard error and status 1."""
    try:
        program()
    except InputError as error:
        raise SystemExit(str(error)) from None
