"""Examples that cannot be used: the first one is an error, or all are collected and may be skipped."""

from collections import Counter
from typing import Literal

from fairseq_electra.errors import ExampleError, InputError


class Faults:
    """Collects errors: ``with faults:`` around the reading of an example notes its error and goes on.

    Args:
        skip: whether examples that cannot be used may be left out; otherwise they are an error.

    Attributes:
        errors: the errors so far, in the order of the files.
    """

    def __init__(self, skip: bool = False):
        self.skip = skip
        self.errors: list[InputError] = []

    def __enter__(self) -> None:
        """Start to read one example."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        """Note the example's error, if there is one."""
        if not isinstance(error, InputError):
            return False
        self.errors.append(error)
        return True

    def raise_unless_skipped(self, kept: dict[str, int]) -> None:
        """Raise an error for the examples that cannot be used, unless they may be left out.

        Args:
            kept: number of examples that can be used, by split.

        Raises:
            InputError: there are examples that cannot be used and may not be left out: their numbers by kind,
                and a line for each, or the message of the only one. Or no example of a split can be used: the
                numbers and the first message.
        """
        empty = [split for split, number in kept.items() if not number]
        if not self.errors or (self.skip and not empty):
            return
        if len(self.errors) == 1 and not self.skip:
            raise self.errors[0]
        if empty:
            raise InputError(
                f"no example of {empty[0]} can be used; of all there are {self._kinds()}, such as"
                f" {self.errors[0]}"
            )
        raise InputError(
            f"{len(self.errors):,} examples cannot be used; correct them, or leave them out with --skip-bad:"
            f" {self.listing()}"
        )

    def listing(self) -> str:
        """Return the numbers by kind, and a line for each example that cannot be used."""
        return "".join([self._kinds(), *(f"\n  {error}" for error in self.errors)])

    def _kinds(self) -> str:
        other = "with a value of another form"
        counts = Counter(error.kind if isinstance(error, ExampleError) else other for error in self.errors)
        return ", ".join(f"{number:,} {kind}" for kind, number in counts.most_common())


class _Strict(Faults):
    """Skips nothing."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> Literal[False]:
        """Let the error propagate."""
        return False


STRICT = _Strict()  # the first fault ends the reading
