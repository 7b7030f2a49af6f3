"""A change to fairseq's reading ahead: the next batches go to the GPU while it computes."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor


class _Sent(NamedTuple):
    """A batch on the GPU, and the event after which it is all there."""

    sample: Any
    arrived: torch.cuda.Event

    def received(self) -> Any:
        """Return the batch to the thread that will compute with it; its stream waits for the copy, the host does not."""
        stream = torch.cuda.current_stream()
        stream.wait_event(self.arrived)
        for tensor in _tensors(self.sample):
            tensor.record_stream(stream)  # else its memory might be used for the next copy before this stream has read it
        return self.sample


class SentAhead:
    """Batches, each copied to the GPU on a stream of its own by the thread that iterates; as :class:`_Sent`."""

    def __init__(self, batches: Any):
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[_Sent]:
        from fairseq.utils import move_to_cuda

        stream = torch.cuda.Stream()
        for batch in self.batches:
            with torch.cuda.stream(stream):
                sample = move_to_cuda(batch)
            yield _Sent(sample, stream.record_event())


def send_batches_ahead() -> None:
    """trainer.py::Trainer._prepare_sample, ``utils.move_to_cuda(sample)``: copies a batch when its update begins, so the update waits.

    data/iterators.py::BufferedIterator has a thread that reads ahead: for data sets with ``sends_ahead`` it copies ahead as well.
    """
    from fairseq.data.iterators import BufferedIterator

    plain_init, plain_next = BufferedIterator.__init__, BufferedIterator.__next__
    if getattr(plain_init, "sends_ahead", False):
        return

    def initialize(self, size, iterable):
        if getattr(getattr(iterable, "dataset", None), "sends_ahead", False):
            iterable = SentAhead(iterable)
        plain_init(self, size, iterable)

    def next_batch(self):
        item = plain_next(self)
        return item.received() if isinstance(item, _Sent) else item

    initialize.sends_ahead = True  # type: ignore[attr-defined]
    BufferedIterator.__init__, BufferedIterator.__next__ = initialize, next_batch


def _tensors(sample: Any) -> Iterable[Tensor]:
    if isinstance(sample, Tensor):
        yield sample
    elif isinstance(sample, dict):
        for value in sample.values():
            yield from _tensors(value)
