"""The exceptions whose message is for the user, and the last line that a program prints."""

import io
import sys
from collections.abc import Iterable


class InputError(ValueError):
    """Something outside the program is wrong: data, options or a checkpoint.

    Its message is one sentence for the user: what is wrong, which value, what to do. Commands print it
    without a traceback and end with ``status`` (:mod:`fairseq_electra.compat.tracebacks` does so for
    fairseq's own commands).
    """

    status = 1


class RunCollapsedError(InputError):
    """Pre-training has collapsed, and ``--stop-when-collapsed`` ends it; scripts can recognize the status."""

    status = 3


class DivergedError(InputError):
    """The losses have overflowed: the model does not train at this learning rate."""

    status = 4


class DeviceFaultError(FloatingPointError):
    """A gradient was not finite, but was when the update was repeated: the learning rate is not the cause."""


class ExampleError(InputError):
    """One example of many cannot be used.

    Args:
        kind: What is wrong with it, as a plural that follows a number: ``12 labels that are empty``.
        message: The message as of every :class:`InputError`, with the file and the line of the example.
    """

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


def shortened(text: str, max_length: int = 60) -> str:
    """Shorten a text for a message, to a number of characters."""
    return text if len(text) <= max_length else f"{text[: max_length - 3]}..."


def listed(names: Iterable[str], max_names: int = 8) -> str:
    """List names for a message: the first ones, each shortened, and the number of the others."""
    names = list(names)
    others = [f"and {len(names) - max_names:,} more"] if len(names) > max_names else []
    return ", ".join([*map(shortened, names[:max_names]), *others])


def print_last_line(sentence: str) -> None:
    """Print to standard error, from an excepthook that ends the process.

    PyTorch's excepthook of distributed training (``distributed_c10d.py::init_process_group``) replaces
    standard error by a buffer while it calls our hook. The buffer is lost if our hook ends the process.
    """
    print(sentence, file=sys.__stderr__ if isinstance(sys.stderr, io.StringIO) else sys.stderr)
