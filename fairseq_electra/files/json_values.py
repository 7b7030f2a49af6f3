"""Read texts and labels from JSON records; values of other types are refused, not silently converted."""

import json
import math
from typing import Any

from fairseq_electra.errors import InputError

_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number with a point",
    type(None): "null",
}


def parsed(text: str) -> Any:
    """Read JSON.

    Raises:
        ValueError: the text is not JSON (``json.JSONDecodeError``, with the position), or holds a value that
            Python cannot read.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except RecursionError as error:
        raise ValueError("lists or objects inside each other, too many to read") from error
    except ValueError as error:
        raise ValueError("a whole number of more digits than can be read") from error


def kind_of(value: Any) -> str:
    """Name the type of a value that ``json`` has read."""
    return _KINDS[type(value)]


def described(value: Any) -> str:
    """Write a value and its type for a message; a long value is shortened."""
    if value is None:
        return "null"
    written = json.dumps(value)
    return f"{written if len(written) <= 60 else written[:57] + '...'}, {kind_of(value)}"


def text_of(value: Any, what: str) -> str:
    """Return a value that must be a text.

    Args:
        value: as ``json`` has read it.
        what: name and location of the value, for errors.

    Raises:
        InputError: the value is not a text, or cannot be written as UTF-8.
    """
    if not isinstance(value, str):
        raise InputError(f"{what} is {described(value)}; write a text, in quotes")
    check_text(value, what)
    return value


def label_of(value: Any, what: str) -> str:
    """Return a label as written: a text, number, true or false; arguments and errors of :func:`text_of`."""
    if isinstance(value, str):
        return text_of(value, what)
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return json.dumps(value)
    raise InputError(f"{what} is {described(value)}; a label is a text, a finite number, true or false")


def check_text(text: str, what: str) -> None:
    """Refuse a text with a lone surrogate, half a character of UTF-16: JSON can hold it, UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{what} holds half a character, {text[error.start]!a} at {error.start}; write both halves, or"
            " take it out"
        ) from error
