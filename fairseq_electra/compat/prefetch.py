"""The next batches are copied to the GPU while it computes.

trainer.py::Trainer._prepare_sample, ``utils.move_to_cuda(sample)``, copies a batch when its update starts, so
the update waits for the copy. data/iterators.py::BufferedIterator has a thread that reads batches ahead. Here
it copies them ahead as well, for data sets with ``sends_ahead``.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from fairseq_electra.compat.shared_memory import tensors_of


class _CopiedBatch(NamedTuple):
    """A batch on the GPU, and the event after which it is complete."""

    sample: Any
    arrived: torch.cuda.Event

    def received(self) -> Any:
        """Return the batch for the current stream, which waits for the copy; the host does not."""
        stream = torch.cuda.current_stream()
        stream.wait_event(self.arrived)
        for tensor in tensors_of(self.sample):
            # else the next copy might overwrite it before this stream has read it
            tensor.record_stream(stream)
        return self.sample


class CopiedAhead:
    """An iterable that copies each batch to the GPU on a stream of its own, and yields :class:`_CopiedBatch`.

    The thread that iterates makes the copy.

    Args:
        batches: The batches in the host's memory.
    """

    def __init__(self, batches: Any):
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[_CopiedBatch]:
        from fairseq.utils import move_to_cuda

        stream = torch.cuda.Stream()
        for batch in self.batches:
            with torch.cuda.stream(stream):
                sample = move_to_cuda(batch)
            yield _CopiedBatch(sample, stream.record_event())


def copy_batches_ahead() -> None:
    """Change data/iterators.py::BufferedIterator."""
    from fairseq.data.iterators import BufferedIterator

    plain_init, plain_next = BufferedIterator.__init__, BufferedIterator.__next__

    def initialize(self, size, iterable):
        if getattr(getattr(iterable, "dataset", None), "sends_ahead", False):
            iterable = CopiedAhead(iterable)
        plain_init(self, size, iterable)

    def next_batch(self):
        item = plain_next(self)
        return item.received() if isinstance(item, _CopiedBatch) else item

    BufferedIterator.__init__, BufferedIterator.__next__ = initialize, next_batch
