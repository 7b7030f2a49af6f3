"""Ways of putting something else in the place of what fairseq uses."""

import contextlib
from collections.abc import Iterator
from typing import Any


class Overlay:
    """An object, such as a module, with some attributes replaced; all others are those of the object.

    Args:
        plain: The object.
        replaced: The new attributes, by name.
    """

    def __init__(self, plain: Any, **replaced: Any):
        self._plain = plain
        vars(self).update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)


@contextlib.contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Replace an attribute of a module or class within a ``with`` block."""
    plain = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, plain)
