"""A change to fairseq's workers: where there is no room for a batch in shared memory, the run ends with a sentence."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import get_worker_info

from fairseq_electra.errors import InputError

PLACE = Path("/dev/shm")  # Linux's


class SharedByWorkers:
    """A function that makes batches; a worker puts what it has made into shared memory at once.

    Args:
        collate: the function.
    """

    def __init__(self, collate: Callable[[Any], Any]):
        self.collate = collate

    def __call__(self, samples: Any) -> Any:
        """Make a batch.

        Raises:
            InputError: a worker finds no room for it.
        """
        batch, worker = self.collate(samples), get_worker_info()
        if worker is None:
            return batch
        try:
            for tensor in _tensors(batch):
                tensor.share_memory_()
        except RuntimeError as error:
            raise InputError(
                f"no room for a batch in shared memory{_room()}, where --num-workers {worker.num_workers} needs it; give the machine more "
                "(docker run --shm-size=1g), or --num-workers 0"
            ) from error
        return batch


def end_without_shared_memory() -> None:
    """data/iterators.py::EpochBatchIterator, ``torch.utils.data.DataLoader``: a worker without shared memory makes the run wait for ever.

    PyTorch moves a batch there in a thread of the worker that writes down its error and goes on with the next batch, so the one that
    failed never comes. A container has 64 MB by default.
    """
    from fairseq.data.iterators import EpochBatchIterator

    plain = EpochBatchIterator.__init__

    def initialize(self, *args, **kwargs):
        plain(self, *args, **kwargs)
        if self.num_workers > 0:
            self.collate_fn = SharedByWorkers(self.collate_fn)

    EpochBatchIterator.__init__ = initialize


def _tensors(batch: Any) -> Iterator[Tensor]:
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, dict | list | tuple):
        for value in batch.values() if isinstance(batch, dict) else batch:
            yield from _tensors(value)


def _room() -> str:
    if not PLACE.is_dir():
        return ""
    usage = shutil.disk_usage(PLACE)
    return f" ({PLACE}: {usage.free / 1e6:,.1f} of {usage.total / 1e6:,.1f} MB free)"
