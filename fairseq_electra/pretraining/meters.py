"""A meter that keeps sums on the device until they are read."""

import torch
from fairseq.logging.meters import Meter
from torch import Tensor

from fairseq_electra.pretraining.score_histogram import to_current_bins

# names in the order of a packed vector, and the number of values of each
Layout = tuple[tuple[str, int], ...]


def pack(sums: dict[str, Tensor]) -> tuple[Layout, Tensor]:
    """Pack the sums of an update into one vector of float64, without waiting for the device.

    Args:
        sums: tensors of any shape and of several types. Integers up to 2^53 stay exact.

    Returns:
        the layout, and the vector, which is a copy: a CUDA graph may overwrite its own outputs later.
    """
    by_type: dict[torch.dtype, list[str]] = {}
    for name, value in sums.items():
        by_type.setdefault(value.dtype, []).append(name)
    # one type at a time: int64 and float32 together would become float32, which holds integers up to 2^24
    # only
    parts = [torch.cat([sums[name].reshape(-1) for name in names]).double() for names in by_type.values()]
    return tuple((name, sums[name].numel()) for names in by_type.values() for name in names), torch.cat(parts)


class SumsOnDevice(Meter):
    """Sums by name over all updates since the last reset; several numbers of one name stay a vector of int64.

    An update adds on the device; :meth:`read` moves the sums to the host in one piece.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all sums."""
        self.total: dict[str, float | Tensor] = {}
        self.layout: Layout = ()
        self.pending: Tensor | None = None

    def update(self, numbers: dict[str, float], layout: Layout, vector: Tensor) -> None:
        """Add the sums of one update.

        Args:
            numbers: the sums on the host.
            layout, vector: the sums on the device, as :func:`pack` returns them.
        """
        for name, value in numbers.items():
            self.total[name] = self.total.get(name, 0) + value
        if layout != self.layout:
            self.read()
        self.layout = layout
        # not in place: several meters share a vector
        self.pending = vector if self.pending is None else self.pending + vector

    def read(self) -> dict[str, float | Tensor]:
        """Wait for the device once, and return all sums: numbers, and vectors on the CPU."""
        if self.pending is not None:
            sizes = [size for _, size in self.layout]
            for (name, size), part in zip(self.layout, self.pending.cpu().split(sizes), strict=True):
                self.total[name] = self.total.get(name, 0) + (part.item() if size == 1 else part.long())
            self.pending = None
        return self.total

    def state_dict(self) -> dict:
        """Return the sums for a checkpoint."""
        return {"total": dict(self.read())}

    def load_state_dict(self, state_dict: dict) -> None:
        """Restore the sums of a checkpoint."""
        self.reset()
        self.total = {
            name: to_current_bins(value) if isinstance(value, Tensor) else value
            for name, value in state_dict["total"].items()
        }

    @property
    def smoothed_value(self) -> None:  # type: ignore[override]
        """None: the logged metrics are derived from the sums."""
        return None
