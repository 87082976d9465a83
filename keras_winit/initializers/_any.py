"""Any initializer, drawn by the axes of a kernel and from streams of our own."""

import keras
import numpy as np

from keras_winit import _draws
from keras_winit.initializers._activation_scaling import ActivationScaling
from keras_winit.initializers._identity import Identity
from keras_winit.initializers._kernel_initializer import KernelInitializer
from keras_winit.initializers._orthogonal import Orthogonal

initializers = keras.initializers

SCALINGS = (
    initializers.VarianceScaling,
    initializers.GlorotNormal,
    initializers.GlorotUniform,
    initializers.HeNormal,
    initializers.HeUniform,
    initializers.LecunNormal,
    initializers.LecunUniform,
)


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


def resolve(initializer):
    """Returns the initializer that is meant by an instance, a class, a name or a config."""
    try:
        resolved = keras.initializers.get(initializer)
    except (ValueError, TypeError) as error:
        raise ValueError(
            "`initializer` should be an initializer or the name of one. "
            f"Received: initializer={initializer!r}."
        ) from error
    if not isinstance(resolved, keras.Initializer):
        raise TypeError(
            "`initializer` should be an initializer or the name of one. "
            f"Received: initializer={initializer!r}."
        )
    return resolved


def config_of(initializer):
    """Returns what a JSON config can hold of an initializer given in any form."""
    if isinstance(initializer, (str, dict)):
        return initializer
    return keras.initializers.serialize(resolve(initializer))


def changed(initializer, **arguments):
    """Returns the initializer with other arguments."""
    return type(initializer).from_config({**initializer.get_config(), **arguments})


def elementwise(initializer, shape, seed):
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
        values += np.float32(initializer.mean)
        return values
    if kind is initializers.TruncatedNormal:
        # Keras's stddev is that before the truncation.
        stddev = initializer.stddev * _draws.TRUNCATED_STDDEV
        values = _draws.truncated_normal(shape, stddev=stddev, **arguments)
        values += np.float32(initializer.mean)
        return values
    if kind is initializers.RandomUniform:
        low, high = initializer.minval, initializer.maxval
        values = _draws.uniform(shape, limit=(high - low) / 2, **arguments)
        values += np.float32((low + high) / 2)
        return values
    return None


def ours(initializer):
    """Returns our initializer of the same distribution, for the true axes, where there is one."""
    kind = type(initializer)
    if kind in SCALINGS:
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
    for name in ("groups", "gates"):  # which the structure of the kernel knows
        if getattr(initializer, name, 1) > 1:
            return changed(initializer, **{name: 1})
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
