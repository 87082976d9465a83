"""Any initializer, drawn by the axes of a kernel and from streams of our own."""

import keras
import numpy as np

from keras_winit._random import distributions
from keras_winit.initializers._equivalents import changed, ours
from keras_winit.initializers._kernel_initializer import KernelInitializer

initializers = keras.initializers

# How each is drawn, and what is left of the `stddev` that Keras has cut.
_NORMAL = {
    initializers.RandomNormal: (distributions.normal, 1.0),
    initializers.TruncatedNormal: (distributions.truncated_normal, distributions.TRUNCATED_STDDEV),
}


def draw(initializer, shape, axes, dtype, seed):
    """Draws a kernel and returns it as a NumPy array.

    What Keras can draw, and what this package can, is drawn from our own streams, equal on every
    backend. Other initializers are called, once for every separate matrix of the kernel.
    """
    values = elementwise(initializer, shape, seed)
    if values is not None:
        return values
    initializer = ours(initializer)
    if isinstance(initializer, KernelInitializer):
        return initializer._draw(shape, axes, dtype, seed)
    return _call_for_each_matrix(initializer, shape, axes, seed)


def elementwise(initializer, shape, seed):
    """Returns the draw of one of Keras's initializers that look at no axes, else `None`."""
    kind = type(initializer)
    arguments = {"seed": seed, "purpose": kind.__name__}
    if kind is initializers.Zeros:
        return np.zeros(shape, np.float32)
    if kind is initializers.Ones:
        return np.ones(shape, np.float32)
    if kind is initializers.Constant:
        return np.broadcast_to(_finite("value", initializer.value), shape).copy()
    if kind in _NORMAL:
        stddev = initializer.stddev
        if np.any(_finite("stddev", stddev) < 0):
            raise ValueError(f"`stddev` should not be negative. Received: stddev={stddev!r}.")
        mean, (law, kept) = _finite("mean", initializer.mean), _NORMAL[kind]
        values = law(shape, stddev=stddev * kept, **arguments)
        values += mean
        return values
    if kind is initializers.RandomUniform:
        low, high = initializer.minval, initializer.maxval
        if np.any(_finite("minval", low) > _finite("maxval", high)):
            raise ValueError(
                f"`minval` should not be above `maxval`. Received: minval={low!r}, maxval={high!r}."
            )
        values = distributions.uniform(shape, limit=(high - low) / 2, **arguments)
        values += np.float32((low + high) / 2)
        return values
    return None


@np.errstate(over="ignore")  # what is too large for float32 is not finite either
def _finite(name, value):
    """Returns an argument as float32, or raises: Keras itself does not check it."""
    try:
        array = None if isinstance(value, str) else np.asarray(value, np.float32)
    except (TypeError, ValueError):
        array = None
    if array is None:
        raise TypeError(f"`{name}` should be a number. Received: {name}={value!r}.")
    if not np.isfinite(array).all():
        raise ValueError(f"`{name}` should be finite. Received: {name}={value!r}.")
    return array


def _call_for_each_matrix(initializer, shape, axes, seed):
    """Draws with an initializer we know nothing of, as if each matrix were a layer's kernel."""
    taps, inputs, outputs, batch = axes.sizes(shape)
    spatial = [shape[axis] for axis in axes.spatial]
    one = (*spatial, inputs, outputs) if axes.input or axes.output else tuple(spatial)
    matrices = []
    for number in range(batch):
        drawn = _with_seed(initializer, f"{seed}/{number}")(one, dtype="float32")
        drawn = keras.ops.convert_to_numpy(drawn)
        if np.iscomplexobj(drawn):
            raise ValueError(
                f"the initializer {initializer!r} should return real numbers. "
                f"Received: an array of {drawn.dtype}."
            )
        if drawn.shape != one:
            raise ValueError(
                f"the initializer {initializer!r} should return an array of shape {one}. "
                f"Received: an array of shape {drawn.shape}."
            )
        matrices.append(drawn)
    return axes.kernel(np.stack(matrices).reshape(batch, taps * inputs, outputs), shape)


def _with_seed(initializer, seed):
    """Returns a copy of an initializer with its own seed, itself if it takes none."""
    if isinstance(initializer, keras.Initializer) and "seed" in initializer.get_config():
        return changed(initializer, seed=distributions.integer_seed(seed))
    return initializer
