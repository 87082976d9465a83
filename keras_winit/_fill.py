"""One initializer on one weight: any initializer, with the axes the weight really has."""

import keras
import numpy as np

from keras_winit import _axes, _draws
from keras_winit.initializers import ActivationScaling, Identity, Orthogonal
from keras_winit.initializers._kernel_initializer import KernelInitializer

initializers = keras.initializers

_SCALINGS = (
    initializers.VarianceScaling,
    initializers.GlorotNormal,
    initializers.GlorotUniform,
    initializers.HeNormal,
    initializers.HeUniform,
    initializers.LecunNormal,
    initializers.LecunUniform,
)


def fill(weight, initializer, seed, *, as_keras=False):
    """Draws a weight and returns it as a NumPy array.

    What Keras can draw, and what this package can, is drawn from our own streams, equal on every
    backend. Other initializers are called, once for every separate matrix of the kernel.

    Args:
        weight: `Weight` to draw.
        initializer: Any initializer, an instance.
        seed: String, the key of this weight's own stream.
        as_keras: Whether the kernel is read as Keras reads it when it builds the layer, instead
            of by its true axes.
    """
    shape = tuple(int(size) for size in weight.variable.shape)
    dtype = keras.backend.standardize_dtype(weight.variable.dtype)
    dtype = np.float64 if dtype == "float64" else np.float32
    values = _elementwise(initializer, shape, seed)
    if values is None:
        initializer = _ours(initializer)
        structure = _structure(weight, initializer, shape, as_keras)
        if isinstance(initializer, KernelInitializer):
            values = initializer._draw(*structure, dtype, seed)
        else:
            values = _call_for_each_matrix(initializer, *structure, seed)
        values = values.reshape(shape)
    if weight.ones is not None:
        values[weight.ones] = 1.0
    return values


def _structure(weight, initializer, shape, as_keras):
    """Returns the shape to draw, and what each of its axes does."""
    if getattr(initializer, "input_axes", None) is not None:
        axes = _axes.kernel_axes(shape, initializer.input_axes, initializer.output_axes)
        return shape, axes
    if weight.kernel is not None and (weight.kernel.keras_knows or not as_keras):
        if weight.role == "embedding" and isinstance(initializer, Identity):
            raise ValueError("an embedding has no identity: each of its rows is a vector")
        return weight.kernel.structure(shape)
    if len(shape) < 2:  # Keras takes the size of a vector for both of its fans
        return shape, _axes.KernelAxes(tuple(range(len(shape))), (), (), ())
    return shape, _axes.kernel_axes(shape)


def _elementwise(initializer, shape, seed):
    """Returns the draw of one of Keras's initializers that look at no axes, else `None`."""
    kind = type(initializer)
    arguments = {"seed": seed, "purpose": kind.__name__}
    if kind is initializers.Zeros:
        return np.zeros(shape, np.float32)
    if kind is initializers.Ones:
        return np.ones(shape, np.float32)
    if kind is initializers.Constant:
        return np.broadcast_to(np.float32(initializer.value), shape).copy()
    if kind is initializers.RandomNormal:
        values = _draws.normal(shape, stddev=initializer.stddev, **arguments)
        return values + np.float32(initializer.mean)
    if kind is initializers.TruncatedNormal:
        # Keras's stddev is that before the truncation.
        stddev = initializer.stddev * _draws.TRUNCATED_STDDEV
        values = _draws.truncated_normal(shape, stddev=stddev, **arguments)
        return values + np.float32(initializer.mean)
    if kind is initializers.RandomUniform:
        low, high = initializer.minval, initializer.maxval
        values = _draws.uniform(shape, limit=(high - low) / 2, **arguments)
        return values + np.float32((low + high) / 2)
    return None


def _ours(initializer):
    """Returns our initializer of the same distribution, for the true axes, where there is one."""
    kind = type(initializer)
    if kind in _SCALINGS:
        return ActivationScaling(
            "linear",
            initializer.scale,
            initializer.mode,
            initializer.distribution,
            seed=0,
            input_axes=getattr(initializer, "input_axes", None),
            output_axes=getattr(initializer, "output_axes", None),
        )
    if kind is initializers.Orthogonal:
        return Orthogonal(initializer.gain, seed=0)
    if kind is initializers.Identity:
        return Identity(getattr(initializer, "gain", 1.0))
    if getattr(initializer, "groups", 1) > 1:  # the structure of the kernel knows its groups
        return type(initializer).from_config({**initializer.get_config(), "groups": 1})
    return initializer


def _call_for_each_matrix(initializer, shape, axes, seed):
    """Draws with an initializer we know nothing of, as if each matrix were a layer's kernel."""
    taps, inputs, outputs, batch = axes.sizes(shape)
    spatial = [shape[axis] for axis in axes.spatial]
    one = (*spatial, inputs, outputs) if axes.input or axes.output else tuple(spatial)
    matrices = []
    for number in range(batch):
        drawn = _with_seed(initializer, f"{seed}/{number}")(one, dtype="float32")
        drawn = keras.ops.convert_to_numpy(drawn)
        if drawn.shape != one:
            raise ValueError(
                f"the initializer {initializer!r} should return an array of shape {one}. "
                f"Received: an array of shape {drawn.shape}."
            )
        matrices.append(drawn)
    return axes.kernel(np.stack(matrices).reshape(batch, taps * inputs, outputs), shape)


def _with_seed(initializer, seed):
    """Returns a copy of an initializer with its own seed, itself if it takes none."""
    if not isinstance(initializer, keras.Initializer):
        return initializer
    config = initializer.get_config()
    if "seed" not in config:
        return initializer
    return type(initializer).from_config({**config, "seed": _draws.integer_seed(seed)})
