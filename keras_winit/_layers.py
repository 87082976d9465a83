"""What Keras layers are: their kernels, the axes of each, and the activation that follows.

The one module that knows Keras layer classes.
"""

import inspect
import math
from dataclasses import dataclass

import keras
import numpy as np

layers = keras.layers

# Since 3.15 EinsumDense, and with it attention, tells its initializer the kernel's axes.
KERAS_TAKES_AXES = "input_axes" in inspect.signature(keras.initializers.VarianceScaling).parameters


@dataclass(frozen=True)
class Kernel:
    """One kernel of a layer: who draws it, and what Keras's own fans get wrong of it.

    Attributes:
        argument: Name of the initializer argument, and of the layer's attribute.
        activated: Whether the layer's activation is applied right after this kernel.
        input_axes: List of ints where the shape alone tells the fans wrong, else `None`.
        output_axes: The same for the outputs.
        transposed_stride: For a transposed convolution the product of its strides: one output
            sums that many times fewer products than the size of the kernel says. Else `None`.
    """

    argument: str
    activated: bool = True
    input_axes: list | None = None
    output_axes: list | None = None
    transposed_stride: int | None = None


_DENSE = Kernel("kernel_initializer")


def _dense(layer):
    return (_DENSE,)


def _einsum_dense(layer):
    if KERAS_TAKES_AXES:
        return (_DENSE,)
    operands, output = layer.equation.replace(" ", "").split("->")
    inputs, kernel = operands.split(",")
    summed = [axis for axis, name in enumerate(kernel) if name not in output]
    produced = [axis for axis, name in enumerate(kernel) if name in output and name not in inputs]
    return (Kernel("kernel_initializer", input_axes=summed, output_axes=produced),)


def _depthwise(layer, activated=True):
    taps = list(range(layer.rank))
    return (
        Kernel(
            "depthwise_initializer",
            activated=activated,
            input_axes=taps,
            output_axes=[*taps, layer.rank + 1],
        ),
    )


def _separable(layer):
    return (*_depthwise(layer, activated=False), Kernel("pointwise_initializer"))


def _transposed(layer):
    taps = list(range(layer.rank))
    strides = layer.strides
    stride = strides**layer.rank if isinstance(strides, int) else math.prod(strides)
    return (
        Kernel(
            "kernel_initializer",
            input_axes=[*taps, layer.rank + 1],
            output_axes=[*taps, layer.rank],
            transposed_stride=stride,
        ),
    )


# The first entry that fits decides: transposed convolutions before convolutions.
_KERNELS = (
    ((layers.Dense,), _dense),
    ((layers.EinsumDense,), _einsum_dense),
    ((layers.DepthwiseConv1D, layers.DepthwiseConv2D), _depthwise),
    ((layers.SeparableConv1D, layers.SeparableConv2D), _separable),
    ((layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose), _transposed),
    ((layers.Conv1D, layers.Conv2D, layers.Conv3D), _dense),
    ((layers.SimpleRNNCell, layers.GRUCell, layers.LSTMCell), _dense),
)

_KERAS_CLASSES = {each for each in vars(layers).values() if isinstance(each, type)} - {layers.Layer}

# Keras copies the one initializer of an attention layer to query, key and value, seed included.
_SHARES_ITS_SEED = (layers.MultiHeadAttention, layers.GroupQueryAttention)


def owners(layer):
    """Yields every (layer, kernels) that `layer` holds, looking into wrappers and cells.

    `kernels` is a tuple of `Kernel`, empty for a Keras layer whose kernels no activation
    follows, and `None` for a layer class this module does not know.
    """
    if isinstance(layer, (layers.ConvLSTM1D, layers.ConvLSTM2D, layers.ConvLSTM3D)):
        yield layer.cell, (_DENSE,)  # the class of the cell is not public
    elif isinstance(layer, layers.Bidirectional):
        yield from owners(layer.forward_layer)
        yield from owners(layer.backward_layer)
    elif isinstance(layer, layers.RNN):
        yield from owners(layer.cell)
    elif isinstance(layer, layers.StackedRNNCells):
        for cell in layer.cells:
            yield from owners(cell)
    elif isinstance(layer, layers.Wrapper):
        yield from owners(layer.layer)
    elif isinstance(layer, keras.Sequential):
        for each in layer.layers:
            yield from owners(each)
    else:
        yield layer, _kernels(layer)


def _kernels(layer):
    for classes, kernels in _KERNELS:
        if isinstance(layer, classes):
            return kernels(layer)
    return () if is_known_class(type(layer)) else None


def is_known_class(cls):
    """Whether a layer class is one of `keras.layers`, or a container, or derived from one."""
    return issubclass(cls, keras.Sequential) or not _KERAS_CLASSES.isdisjoint(cls.__mro__)


def seedable_arguments(layer):
    """Returns the names of the layer's initializers that may each be given a seed."""
    if isinstance(layer, _SHARES_ITS_SEED):
        return []
    return [
        name
        for name, value in vars(layer).items()
        if name.endswith("_initializer") and not name.startswith("_") and "seed" in _config(value)
    ]


def _config(initializer):
    return initializer.get_config() if isinstance(initializer, keras.Initializer) else {}


def applied_activation(function):
    """Returns the function inside an `Activation` layer, and anything else as it is."""
    while isinstance(function, layers.Activation):
        function = function.activation
    return function


def activation_formula(layer):
    """Returns (name, arguments) of the activation function that a Keras layer is.

    `None` where the layer is none of Keras's activation layers.
    """
    if isinstance(layer, layers.ReLU):
        names = ("negative_slope", "max_value", "threshold")
        return "relu", {name: getattr(layer, name) for name in names}
    if isinstance(layer, layers.LeakyReLU):
        return "leaky_relu", {"negative_slope": layer.negative_slope}
    if isinstance(layer, layers.ELU):
        return "elu", {"alpha": layer.alpha}
    if isinstance(layer, layers.PReLU):
        slope = layer.alpha if layer.built else layer.alpha_initializer((1,), dtype="float32")
        return "relu", {"negative_slope": float(np.mean(keras.ops.convert_to_numpy(slope)))}
    if isinstance(layer, layers.Softmax):
        return "softmax", {}
    if isinstance(layer, layers.Identity):
        return "linear", {}
    return None
