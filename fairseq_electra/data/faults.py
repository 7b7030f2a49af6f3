"""Examples that cannot be used: the first one ends the reading, or all are gathered, counted by kind, and left out if so wished."""

import sys
from collections import Counter

from fairseq_electra.errors import ExampleError, InputError, listed


class Faults:
    """Where ``with faults:`` stands around the reading of one example, what is wrong with it is noted, and the example passed over.

    Args:
        skip: examples that cannot be used are left out in the end; else they are an error.

    Attributes:
        found: what is wrong, in the order of the files.
    """

    def __init__(self, skip: bool = False):
        self.skip = skip
        self.found: list[InputError] = []

    def __enter__(self) -> None:
        """Read one example."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        """Note what is wrong with it."""
        if not isinstance(error, InputError):
            return False
        self.found.append(error)
        return True

    def settle(self, kept: dict[str, int]) -> None:
        """Print all that was found, a line each, on standard error, and count it by kind.

        Args:
            kept: number of examples that can be used, by split.

        Raises:
            InputError: there was something, and it is not to be left out, or nothing else is left of a split. What is found alone is
                raised as it is.
        """
        if not self.found:
            return
        if len(self.found) == 1 and not self.skip:
            raise self.found[0]
        for error in self.found:
            print(error, file=sys.stderr)
        counts = Counter(error.kind if isinstance(error, ExampleError) else "with a value of another form" for error in self.found)
        kinds = listed(f"{number:,} {kind}" for kind, number in counts.most_common())
        empty = [split for split, number in kept.items() if not number]
        if not self.skip:
            raise InputError(f"{len(self.found):,} examples cannot be used: {kinds}; mend them, or leave them out with --skip-bad")
        if empty:
            raise InputError(f"no example of {empty[0]} can be used, of all splits there are {kinds}; mend them")
        print(f"left out: {len(self.found):,} examples: {kinds}", file=sys.stderr)


class _Strict(Faults):
    """Passes over nothing."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        return False


STRICT = _Strict()  # the first fault ends the reading
