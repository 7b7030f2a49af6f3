"""Settings of the C library's memory manager for training."""

import ctypes
import logging

logger = logging.getLogger(__name__)
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8  # glibc malloc.h


def keep_freed_memory() -> bool:
    """Keep freed memory in the process, for training on a CPU.

    By default glibc returns the memory of every large tensor to the kernel and requests it again in the next
    step, page by page, which takes a quarter of the step of a small model. Without glibc nothing is done.

    Returns:
        Whether freed memory is kept.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    settings = ((M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 256 << 20), (M_MMAP_MAX, 0), (M_ARENA_MAX, 1))
    kept = all(mallopt(name, value) for name, value in settings)
    logger.info(f"freed memory stays in the process: {'yes' if kept else 'no'}")
    return kept
