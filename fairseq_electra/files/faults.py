"""Examples that cannot be used: the first one ends the reading, or all are gathered, counted by kind, and left out if so wished."""

from collections import Counter
from typing import Literal

from fairseq_electra.errors import ExampleError, InputError


class Faults:
    """Where ``with faults:`` stands around the reading of one example, what is wrong with it is noted, and the example is passed over.

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
        """Refuse what was found, unless it is to be left out.

        Args:
            kept: number of examples that can be used, by split.

        Raises:
            InputError: there are examples that cannot be used, and they are not to be left out: the numbers by kind, and a line for each
                example. Where it is only one, that is the message. Or nothing is left of a split, with the first example alone.
        """
        empty = [split for split, number in kept.items() if not number]
        if not self.found or (self.skip and not empty):
            return
        if len(self.found) == 1 and not self.skip:
            raise self.found[0]
        if empty:
            raise InputError(
                f"no example of {empty[0]} can be used; of all there are {self._kinds()}, such as {self.found[0]}"
            )
        raise InputError(
            f"{len(self.found):,} examples cannot be used; mend them, or leave them out with --skip-bad: {self.listing()}"
        )

    def listing(self) -> str:
        """Return the numbers by kind, and a line for each example that cannot be used."""
        return "".join([self._kinds(), *(f"\n  {error}" for error in self.found)])

    def _kinds(self) -> str:
        counts = Counter(
            error.kind if isinstance(error, ExampleError) else "with a value of another form"
            for error in self.found
        )
        return ", ".join(f"{number:,} {kind}" for kind, number in counts.most_common())


class _Strict(Faults):
    """Passes over nothing."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> Literal[False]:
        """Let the error go on."""
        return False


STRICT = _Strict()  # the first fault ends the reading
