"""A run whose workers have too little shared memory ends with a sentence.

data/iterators.py::EpochBatchIterator, ``torch.utils.data.DataLoader``: a worker without shared memory makes
the run wait for ever. PyTorch moves a batch there in a thread of the worker that prints its error and
continues with the next batch, so the batch that failed never arrives. A container has 64 MB by default. Here
the worker moves the batch itself.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import get_worker_info

from fairseq_electra.errors import InputError

FOLDER = Path("/dev/shm")  # of Linux


class SharedByWorkers:
    """A function that makes batches; in a worker it moves each batch into shared memory at once.

    Args:
        collate: The function that makes a batch.
    """

    def __init__(self, collate: Callable[[Any], Any]):
        self.collate = collate

    def __call__(self, samples: Any) -> Any:
        """Make a batch.

        Raises:
            InputError: The shared memory is full.
        """
        batch, worker = self.collate(samples), get_worker_info()
        if worker is None:
            return batch
        try:
            for tensor in tensors_of(batch):
                tensor.share_memory_()
        except RuntimeError as error:
            raise InputError(
                f"no room for a batch in shared memory{_free_memory()}, which --num-workers "
                f"{worker.num_workers} needs; give "
                "the machine more (docker run --shm-size=1g), or --num-workers 0"
            ) from error
        return batch


def stop_without_shared_memory() -> None:
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
    elif isinstance(batch, dict | list | tuple):
        for value in batch.values() if isinstance(batch, dict) else batch:
            yield from tensors_of(value)


def _free_memory() -> str:
    if not FOLDER.is_dir():
        return ""
    usage = shutil.disk_usage(FOLDER)
    return f" ({FOLDER}: {usage.free / 1e6:,.1f} of {usage.total / 1e6:,.1f} MB free)"
