"""Values of a weight taken from those of another one, along every axis."""

import numpy as np

from keras_winit._random import distributions

# How much the copies of a unit differ in what is made of them. Of equal shares, all copies of a
# unit would get the same gradient, and stay copies for good.
_UNEVENNESS = 0.5


def taken(values, places):
    """Returns the values at these places along each axis, as a copy of at least 32 bits."""
    found = values
    for axis, along in enumerate(places):
        if not np.array_equal(along, np.arange(values.shape[axis])):
            found = np.take(found, along, axis)
    return np.array(found, np.result_type(values.dtype, np.float32))


def copies(places):
    """Returns for each unit how many stand for the same one."""
    _, inverse, counts = np.unique(places, return_inverse=True, return_counts=True)
    return counts[inverse]


def shares(shape, places, *, key):
    """Returns what the copies of a unit are multiplied by where they are summed: together one.

    The shares of each output are others.

    Args:
        shape: That of the kernel.
        places: Dict from an axis that is summed over to the place that each unit stands for.
        key: String that the shares follow from.
    """
    draw = 1 + distributions.uniform(shape, seed=0, purpose=key, limit=_UNEVENNESS)
    total = draw
    for axis, along in places.items():
        total = _summed(total, axis, along)
    return draw / total


def _summed(values, axis, places):
    """Returns the sum over the copies of each unit in place of its value."""
    _, inverse = np.unique(places, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    starts = np.searchsorted(inverse[order], np.arange(inverse.max() + 1))
    sums = np.add.reduceat(np.take(values, order, axis), starts, axis)
    return np.take(sums, inverse, axis)
