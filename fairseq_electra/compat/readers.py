"""The threads that read batches ahead are stopped before the interpreter ends.

data/iterators.py::BufferedIterator._create_consumer starts a thread with ``daemon = True``. In a run that
ends within an epoch it still makes batches inside PyTorch when the interpreter ends, and the process ends
with abort() and "terminate called". Here a function that runs at exit stops these threads first.
"""

import atexit
import contextlib
import queue
import threading
import time


def stop_readers_at_exit() -> None:
    """Stop all threads of data/iterators.py::BackgroundConsumer when the process ends."""
    atexit.register(stop_readers)


def stop_readers(seconds: float = 10.0) -> None:
    """Let each thread finish its current batch and end; wait for them for some seconds at most."""
    from fairseq.data.iterators import BackgroundConsumer

    readers = [thread for thread in threading.enumerate() if isinstance(thread, BackgroundConsumer)]
    for reader in readers:
        reader._max_len = 0
    deadline = time.monotonic() + seconds
    while any(reader.is_alive() for reader in readers) and time.monotonic() < deadline:
        for reader in readers:  # a thread may be waiting for a free place in a full queue
            with contextlib.suppress(queue.Empty):
                reader._queue.get(timeout=0.02)
