"""A worker sends a batch in one piece of shared memory, and says if there is no room for it.

data/iterators.py::EpochBatchIterator, ``torch.utils.data.DataLoader``: a worker without shared memory makes
the run wait for ever. PyTorch moves a batch there in a thread of the worker that prints its error and
continues with the next batch, so the batch that failed never arrives. A container has 64 MB by default. Here
the worker moves the batch itself.

PyTorch also opens a file and a connection for each tensor of a batch. A batch of pre-training has seven, and
to send it took three times as long as to make it: 6 instead of 2 ms for 128 rows of 128 tokens.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from fairseq_electra.errors import InputError

FOLDER = Path("/dev/shm")  # of Linux
ALIGNMENT = 16  # bytes, a multiple of the size of every type: a view of memory must begin at such a multiple


class Place(NamedTuple):
    """Where a tensor of a batch lies in the memory of the batch."""

    start: int
    end: int
    dtype: torch.dtype
    shape: torch.Size

    def of(self, memory: Tensor) -> Tensor:
        """Return the tensor, a view of the memory."""
        return memory[self.start : self.end].view(self.dtype).view(self.shape)


class SharedBatch:
    """A batch whose tensors lie in one piece of shared memory. Unpickled, it is the batch itself again.

    Args:
        batch: Tensors and plain values, nested in dicts, lists and tuples. A tensor that is there twice is
            sent once.

    Raises:
        RuntimeError: The shared memory is full.
    """

    def __init__(self, batch: Any):
        places, end = dict[int, Place](), 0
        tensors = {id(tensor): tensor for tensor in tensors_of(batch)}
        for key, tensor in tensors.items():
            places[key] = Place(end, end + tensor.nbytes, tensor.dtype, tensor.shape)
            end += -(-tensor.nbytes // ALIGNMENT) * ALIGNMENT
        self.memory = torch.empty(end, dtype=torch.uint8).share_memory_()
        for key, place in places.items():
            place.of(self.memory).copy_(tensors[key])
        self.batch = replaced(batch, Tensor, lambda tensor: places[id(tensor)])

    def __reduce__(self):
        """Tell pickle to restore the batch."""
        return restored, (self.memory, self.batch)


def restored(memory: Tensor, batch: Any) -> Any:
    """Return a batch that has a :class:`Place` for each tensor, with the tensors."""
    return replaced(batch, Place, lambda place: place.of(memory))


def replaced(batch: Any, kind: type, by: Callable[[Any], Any]) -> Any:
    """Return a copy of a batch in which the values of a type are replaced, however they are nested."""
    if isinstance(batch, kind):
        return by(batch)
    if isinstance(batch, dict):
        return {name: replaced(value, kind, by) for name, value in batch.items()}
    if isinstance(batch, list):
        return [replaced(value, kind, by) for value in batch]
    if type(batch) is tuple:
        return tuple(replaced(value, kind, by) for value in batch)
    return batch


class SharedByWorkers:
    """A function that makes batches; in a worker it moves each batch into shared memory at once.

    Args:
        collate: The function that makes a batch.
    """

    def __init__(self, collate: Callable[[Any], Any]):
        self.collate = collate

    def __call__(self, samples: Any) -> Any:
        """Make a batch; in a worker, a :class:`SharedBatch`.

        Raises:
            InputError: The shared memory is full.
        """
        batch, worker = self.collate(samples), get_worker_info()
        if worker is None:
            return batch
        try:
            return SharedBatch(batch)
        except RuntimeError as error:
            raise InputError(
                f"no room for a batch in shared memory{_free_memory()}, which --num-workers "
                f"{worker.num_workers} needs; give "
                "the machine more (docker run --shm-size=1g), or --num-workers 0"
            ) from error


def send_batches_in_one_piece() -> None:
    """Change data/iterators.py::EpochBatchIterator.__init__."""
    from fairseq.data.iterators import EpochBatchIterator

    plain = EpochBatchIterator.__init__

    def initialize(self, *args, **kwargs):
        plain(self, *args, **kwargs)
        if self.num_workers > 0:
            self.collate_fn = SharedByWorkers(self.collate_fn)

    EpochBatchIterator.__init__ = initialize


def tensors_of(batch: Any) -> Iterator[Tensor]:
    """Yield the tensors of a batch, however they are nested."""
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, dict | list) or type(batch) is tuple:
        for value in batch.values() if isinstance(batch, dict) else batch:
            yield from tensors_of(value)


def _free_memory() -> str:
    if not FOLDER.is_dir():
        return ""
    usage = shutil.disk_usage(FOLDER)
    return f" ({FOLDER}: {usage.free / 1e6:,.1f} of {usage.total / 1e6:,.1f} MB free)"
