"""What the end of a process does, for programs that run in this one."""

import weakref

from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from fairseq_electra.compat import save_folder
from fairseq_electra.compat.readers import stop_readers

WITH_PROCESSES = weakref.WeakSet[_MultiProcessingDataLoaderIter]()


def know_loaders() -> None:
    """Remember each loader that has processes, so that :func:`end` finds it."""
    plain = _MultiProcessingDataLoaderIter.__init__

    def initialize(self, loader):
        plain(self, loader)
        WITH_PROCESSES.add(self)

    _MultiProcessingDataLoaderIter.__init__ = initialize


def end() -> None:
    """Give the folder of checkpoints back, and end threads and processes that load data.

    fairseq keeps the processes of a loader for its next epoch. Garbage collection would end them too, but
    closes the queue that tells them to end before it does, and so waits five seconds for each.
    """
    save_folder.release()
    stop_readers()
    for loader in tuple(WITH_PROCESSES):
        loader._shutdown_workers()
