import numpy as np
import pytest

from keras_winit._inherit.values import copies, shares, taken


def test_values_are_taken_along_every_axis_and_are_a_copy():
    given = np.arange(12.0, dtype="float16").reshape(3, 4)
    found = taken(given, [np.array([0, 0, 2]), np.array([1, 3])])
    np.testing.assert_array_equal(found, [[1, 3], [1, 3], [9, 11]])
    assert found.dtype == "float32"
    same = taken(given.astype("float64"), [np.arange(3), np.arange(4)])
    assert same.dtype == "float64"
    assert not np.shares_memory(same, given)


def test_copies_are_counted():
    assert copies(np.array([4, 0, 4, 4, 1])).tolist() == [3, 1, 3, 3, 1]


@pytest.mark.parametrize("axes", [(0,), (2,), (0, 1)])
def test_the_shares_of_copies_are_one_together_and_differ_by_output(axes):
    places = {axis: [[0, 0, 1, 1, 1], [1, 0, 0], [2, 1, 0, 2]][axis] for axis in axes}
    found = shares((5, 3, 4), {axis: np.array(p) for axis, p in places.items()}, key="a")
    for axis in axes:  # the copies one after the other, each with the sum over all of them
        sums = np.zeros((*found.shape[:axis], 3, *found.shape[axis + 1 :]))
        for index, place in enumerate(places[axis]):
            np.moveaxis(sums, axis, 0)[place] += np.moveaxis(found, axis, 0)[index]
        found = sums.take(sorted(set(places[axis])), axis)
    np.testing.assert_allclose(found, 1.0, rtol=1e-6)
    again = shares((5, 3, 4), {axes[0]: np.array(places[axes[0]])}, key="a")
    assert again.std() > 0.05
    np.testing.assert_array_equal(
        again, shares((5, 3, 4), {axes[0]: np.array(places[axes[0]])}, key="a")
    )
