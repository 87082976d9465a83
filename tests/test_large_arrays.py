"""Memory that backends take over, and work shared out among threads."""

import numpy as np
import pytest

from keras_winit import _large_arrays
from keras_winit._large_arrays import BLOCK, aligned, empty, share


@pytest.mark.parametrize("shape", [(), (3,), (7, 1000), (1 << 20,)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_lie_where_backends_take_them_over(shape, dtype):
    arrays = [empty(shape, dtype) for _ in range(4)]
    for array in arrays:
        array[...] = 1
        assert (array.shape, array.dtype) == (shape, dtype)
        assert array.ctypes.data % 64 == 0
        assert aligned(array) is array
    copy = aligned(arrays[0].T)
    assert copy.flags.c_contiguous
    np.testing.assert_array_equal(copy, arrays[0].T)


@pytest.mark.parametrize("num_threads", [1, 2, 16])
@pytest.mark.parametrize("size", [0, 1, BLOCK + 1, 40 * BLOCK - 1])
def test_each_block_is_worked_on_once(size, num_threads, monkeypatch):
    monkeypatch.setattr(_large_arrays, "_num_processors", lambda: num_threads)
    counts, calls = np.zeros(size, int), []

    def work(firsts):
        calls.append(1)
        for first in firsts:
            counts[first : first + BLOCK] += 1

    share(work, size)
    assert (counts == 1).all()
    assert len(calls) == max(1, min(num_threads, size // (8 * BLOCK)))


def test_what_fails_in_a_thread_is_an_error(monkeypatch):
    monkeypatch.setattr(_large_arrays, "_num_processors", lambda: 4)
    calls = []

    def work(firsts):
        calls.append(1)
        if len(calls) > 1:
            raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        share(work, 40 * BLOCK)
