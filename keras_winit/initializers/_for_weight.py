"""One initializer on one weight: any initializer, with the axes the weight really has."""

import math

import keras
import numpy as np

from keras_winit import _axes, _network
from keras_winit.initializers import ActivationScaling, ChronoBias, Identity, PerGate
from keras_winit.initializers._drawing import draw, elementwise
from keras_winit.initializers._equivalents import (
    SCALINGS,
    changed,
    config_of,
    loadable,
    of_one_block,
    ours,
    replacement,
    resolve,
)
from keras_winit.initializers._names import brief
from keras_winit.initializers._own_initializer import parameters

initializers = keras.initializers

_IDENTITIES = (initializers.Identity, Identity)


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
    shape = weight.shape
    dtype = keras.backend.standardize_dtype(weight.variable.dtype)
    dtype = np.float64 if dtype == "float64" else np.float32
    # Gates of sizes of their own are drawn as one kernel, in which each is known by its place.
    as_keras = as_keras or (isinstance(initializer, PerGate) and initializer.gains is not None)
    values = elementwise(initializer, shape, seed)
    if isinstance(initializer, ChronoBias):
        values = initializer.biases(shape, _network.gates_of(weight.layer), dtype, seed)
    elif values is None:
        structure = _structure(weight, initializer, shape, as_keras)
        if weight.kernel is not None and not as_keras and not _has_axes(initializer):
            initializer = of_one_block(initializer)
        values = draw(initializer, *structure, dtype, seed).reshape(shape)
    if weight.ones is not None and not _network.sets_forget_gate(initializer):
        values[weight.ones] = 1.0
    return values


def _structure(weight, initializer, shape, as_keras):
    """Returns the shape to draw, and what each of its axes does."""
    if _has_axes(initializer):
        axes = _axes.kernel_axes(shape, initializer.input_axes, initializer.output_axes)
        return shape, axes
    if weight.kernel is not None and not as_keras:
        if weight.role == "embedding" and isinstance(initializer, _IDENTITIES):
            raise ValueError("an embedding has no identity: each of its rows is a vector.")
        return weight.structure
    if isinstance(initializer, Identity) and initializer.groups == 1 and weight.kernel is not None:
        if weight.role != "embedding":  # it learns its axes from the layer
            return weight.structure
    return shape, _axes_for_keras(weight.kernel, initializer, shape)


def _axes_for_keras(kernel, initializer, shape):
    """Returns the axes by which Keras has an initializer draw a weight."""
    if kernel is not None and kernel.keras_knows and _takes_axes(initializer):
        others = [axis for axis in range(len(shape)) if axis not in kernel.input_axes]
        return _axes.kernel_axes(shape, kernel.input_axes, others)
    if len(shape) < 2:  # Keras takes the size of a vector for both of its fans
        return _axes.KernelAxes(tuple(range(len(shape))), (), (), ())
    return _axes.kernel_axes(shape)


def in_config(weight, initializer, *, as_keras=False):
    """Returns the initializer with which the layer itself would draw what `fill` draws.

    The layer gives it a shape alone. So it gets the axes and groups of the kernel, and the scale
    that makes up for the fans that Keras then counts wrong. What it cannot be told is that each
    group or gate is orthogonal by itself. An initializer that does not come back from a file, or
    cannot draw the type of the weight, is replaced by ours.
    """
    kernel = weight.kernel
    shape = weight.shape
    told = loadable(initializer, weight.variable.dtype)
    is_changed = as_keras and told is not initializer and kernel is not None
    if is_changed and (kernel.keras_knows or (kernel.blocks > 1 and isinstance(told, Identity))):
        # Ours gets axes or gates from the layer, where Keras's own are drawn without them.
        *spatial, inputs, outputs = range(len(shape))
        return changed(told, input_axes=[*spatial, inputs], output_axes=[*spatial, outputs])
    if isinstance(initializer, ChronoBias) and not as_keras:
        return changed(initializer, gates=_network.gates_of(weight.layer))
    if as_keras or kernel is None or kernel.argument is None or _has_axes(initializer):
        return told
    is_matrix = kernel.input_axes is None and kernel.blocks == 1 and len(shape) == 2
    kind = type(initializer)
    if (kind is initializers.Orthogonal and kernel.input_axes is not None) or (
        kind is initializers.Identity and not is_matrix
    ):
        told = replacement(initializer)
    initializer = told
    if kernel.blocks > 1 and hasattr(initializer, "groups"):
        initializer = changed(initializer, groups=kernel.blocks)
    counted = _axes_for_keras(kernel, initializer, shape)
    if kernel.input_axes is not None and _takes_axes(initializer):
        axes = _axes.kernel_axes(shape, kernel.input_axes, kernel.output_axes)
        if axes != counted:
            axes_told = {"input_axes": kernel.input_axes, "output_axes": kernel.output_axes}
            initializer, counted = changed(initializer, **axes_told), axes
    if kind in SCALINGS or isinstance(initializer, ActivationScaling):
        true_shape, axes = kernel.structure(shape)
        needed = ours(initializer)._needed
        factor = needed(*counted.fans(shape)) / needed(*axes.fans(true_shape))
        if not math.isclose(factor, 1):
            initializer = with_variance(initializer, factor)
    return initializer


def variances(weight, initializer):
    """Returns the variance that an initializer asks of a kernel's values.

    By the kernel's true fans, and by those that Keras counts; `None` for an initializer that
    asks for none by fans.
    """
    if type(initializer) not in SCALINGS and not isinstance(initializer, ActivationScaling):
        return None, None
    shape = weight.shape
    known = ours(initializer)
    true_shape, axes = _structure(weight, initializer, shape, False)
    counted_shape, counted = _structure(weight, initializer, shape, True)
    return (
        known.scale / known._needed(*axes.fans(true_shape)),
        known.scale / known._needed(*counted.fans(counted_shape)),
    )


def standard_deviation(weight, initializer):
    """Returns that of a table's values by an initializer as Keras draws it; `None` if not known."""
    if isinstance(initializer, initializers.RandomUniform):
        return (initializer.maxval - initializer.minval) / math.sqrt(12)
    if isinstance(initializer, (initializers.RandomNormal, initializers.TruncatedNormal)):
        return initializer.stddev
    _, variance = variances(weight, initializer)
    return None if variance is None else math.sqrt(variance)


def with_variance(initializer, factor):
    """Returns an initializer of the same law, of `factor` times the variance."""
    scale = initializer.scale * factor
    if type(initializer) not in SCALINGS:
        return changed(initializer, scale=scale)
    # Of those of Keras, only one has a scale to set.
    law = {"scale": scale, "mode": initializer.mode, "distribution": initializer.distribution}
    return initializers.VarianceScaling.from_config({**initializer.get_config(), **law})


def times(initializer, factor):
    """Returns an initializer of the same law, of `factor` times the values."""
    if isinstance(initializer, initializers.Zeros):
        return initializer
    if type(initializer) in SCALINGS or isinstance(initializer, ActivationScaling):
        return with_variance(initializer, factor**2)
    if isinstance(initializer, keras.Initializer):
        known = parameters(type(initializer))
        if "initializer" in known and "gain" not in known:
            inner = times(resolve(initializer.initializer), factor)
            return changed(initializer, initializer=config_of(inner))
        names = next((each for each in _SIZES if known.keys() >= set(each)), ())
        if names:
            return changed(initializer, **{n: factor * getattr(initializer, n) for n in names})
    raise ValueError(f"{brief(initializer)} has no argument that sets its size")


# Arguments that the values are in proportion to.
_SIZES = (("gain",), ("mean", "stddev"), ("stddev",), ("minval", "maxval"), ("value",))


def _has_axes(initializer):
    return getattr(initializer, "input_axes", None) is not None


def _takes_axes(initializer):
    """Whether it is an initializer to which Keras tells the axes, where it tells any."""
    is_scaling = isinstance(initializer, initializers.VarianceScaling)
    return is_scaling and "input_axes" in parameters(type(initializer))
