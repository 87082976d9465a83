"""Large arrays: memory that backends take over as it is, and work that all processors share."""

import math
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

BLOCK = 1 << 16  # numbers, that stay in the cache of a processor

# Fewer are worked on faster by one thread than by two.
_BLOCKS_PER_THREAD = 8

_ALIGNMENT = 64  # bytes, that TensorFlow and XLA ask of memory which they take over


def empty(shape, dtype):
    """Returns an array without values, in memory that backends take over."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def aligned(values):
    """Returns a contiguous array of the same values in memory that backends take over."""
    if (
        values.flags.c_contiguous
        and values.flags.writeable
        and values.ctypes.data % _ALIGNMENT == 0
    ):
        return values
    copy = empty(values.shape, values.dtype)
    copy[...] = values
    return copy


def share(work, size):
    """Has threads share out the blocks of `size` numbers.

    `work` is called once by every thread, with an iterator that gives the first number of each
    block to one of them.
    """
    firsts = iter(range(0, size, BLOCK))
    num_helpers = min(size // (_BLOCKS_PER_THREAD * BLOCK), _num_processors()) - 1
    if num_helpers < 1:
        work(firsts)
        return
    with ThreadPoolExecutor(num_helpers) as threads:
        helpers = [threads.submit(work, firsts) for _ in range(num_helpers)]
        work(firsts)
    for helper in helpers:
        helper.result()


def _num_processors():
    """Returns how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
