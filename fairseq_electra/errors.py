"""The exceptions that speak to the user, and how the last line of a program is printed."""

import io
import sys
from collections.abc import Iterable


class InputError(ValueError):
    """Something outside the program is wrong: data, options or a checkpoint.

    Its message is one sentence for the person at the keyboard: what is wrong, which value, what to do. Commands print it without
    a traceback and end with ``status`` (:func:`fairseq_electra.compat.speak_plainly` does so for fairseq's own commands).
    """

    status = 1


class RunCollapsedError(InputError):
    """Pre-training has failed for so long that ``--stop-when-collapsed`` ends it; the status tells scripts that it was this."""

    status = 3


class DivergedError(InputError):
    """The losses have grown beyond what numbers can hold: the network does not train at this learning rate."""


class DeviceFaultError(FloatingPointError):
    """A gradient was not finite once, and finite when the same update was done again: that is no matter of the learning rate."""


class ExampleError(InputError):
    """One example of many cannot be used.

    Args:
        kind: what is wrong with it, in words that can be counted: ``12 labels that are empty`` is ``12`` and the kind.
        message: as of every :class:`InputError`, with the example's place.
    """

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


def shortened(text: str, longest: int = 60) -> str:
    """Cut a text for a message."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def listed(names: Iterable[str], most: int = 8) -> str:
    """List names in a message: at most so many, each cut to 60 characters, and the number of the others."""
    names = list(names)
    others = [f"and {len(names) - most:,} more"] if len(names) > most else []
    return ", ".join([*map(shortened, names[:most]), *others])


def print_last_line(sentence: str) -> None:
    """Print to standard error, from an excepthook that ends the process.

    PyTorch's excepthook of processes that train as one (``distributed_c10d.py::init_process_group``) gives the hook before it a buffer
    in place of standard error, and loses what is in it if that hook ends the process.
    """
    print(sentence, file=sys.__stderr__ if isinstance(sys.stderr, io.StringIO) else sys.stderr)
