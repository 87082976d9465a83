"""The kernels of a layer: the axes of each, and who draws it."""

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import keras

from keras_winit import _axes, _keras_private
from keras_winit._network.wrapped_class import is_wrapped, wrapped_by

layers = keras.layers
initializers = keras.initializers

# Since 3.15 EinsumDense, and with it attention, tells its initializer the kernel's axes.
KERAS_TAKES_AXES = "input_axes" in inspect.signature(initializers.VarianceScaling).parameters


@dataclass(frozen=True)
class Kernel:
    """One kernel of a layer: who draws it, and how it maps inputs to outputs.

    Attributes:
        argument: Name of the initializer argument, and of the layer's attribute; `None` if
            there is none.
        weight: Name of the variable.
        role: `"kernel"`, `"recurrent"` (from a state to the next) or `"embedding"`.
        activated: Whether the layer's activation is applied right after this kernel.
        input_axes: List of ints, the axes that are summed over, taps included. `None` where
            the kernel is `(*spatial, input, output)`, as most are.
        output_axes: List of ints, the axes of the outputs, taps included, or `None`.
        blocks: Number of separate kernels side by side on the last axis: gates or groups.
        stride: Product of the strides of a convolution. An input reaches that many times fewer
            outputs than the size of the kernel says; in a transposed convolution, an output
            sums that many times fewer inputs.
        transposed: Whether the convolution is transposed.
        keras_knows: Whether Keras tells the input axes to the initializers that ask for them.
            All others are outputs to it.

    Example:

    >>> kernel = keras_winit.Kernel("kernel_initializer", input_axes=[0, 2], output_axes=[1])
    >>> kernel.structure((5, 4, 3))[1].fans((5, 4, 3))
    (15.0, 4.0)
    """

    argument: str | None
    weight: str = "kernel"
    role: str = "kernel"
    activated: bool = True
    input_axes: list[int] | None = None
    output_axes: list[int] | None = None
    blocks: int = 1
    stride: int = 1
    transposed: bool = False
    keras_knows: bool = False

    def structure(self, shape: Iterable[int]) -> tuple[tuple[int, ...], _axes.KernelAxes]:
        """Returns the shape with the blocks as an axis of their own, and its `KernelAxes`."""
        shape = tuple(int(size) for size in shape)
        axes = _axes.kernel_axes(shape, self.input_axes, self.output_axes)
        if self.blocks > 1:
            (last,) = axes.output
            shape = (*shape[:-1], self.blocks, shape[-1] // self.blocks)
            axes = dataclasses.replace(axes, batch=(*axes.batch, last), output=(last + 1,))
        strides = {"input_stride" if self.transposed else "output_stride": self.stride}
        return shape, dataclasses.replace(axes, **strides)


def _dense(layer):
    return (Kernel("kernel_initializer"),)


def _einsum_dense(layer):
    operands, output = layer.equation.replace(" ", "").split("->")
    inputs, kernel = operands.split(",")
    summed = [axis for axis, name in enumerate(kernel) if name not in output]
    produced = [axis for axis, name in enumerate(kernel) if name in output and name not in inputs]
    return (
        Kernel(
            "kernel_initializer",
            input_axes=summed,
            output_axes=produced,
            keras_knows=KERAS_TAKES_AXES,
        ),
    )


def _convolution(layer):
    stride = math.prod(layer.strides)
    return (Kernel("kernel_initializer", blocks=layer.groups, stride=stride),)


def _depthwise_kernel(layer, weight, activated):
    taps = list(range(layer.rank))
    return Kernel(
        "depthwise_initializer",
        weight,
        activated=activated,
        input_axes=taps,
        output_axes=[*taps, layer.rank + 1],
        stride=math.prod(layer.strides),
    )


def _depthwise(layer):
    return (_depthwise_kernel(layer, "kernel", True),)


def _separable(layer):
    return (
        _depthwise_kernel(layer, "depthwise_kernel", False),
        Kernel("pointwise_initializer", "pointwise_kernel"),
    )


def _transposed(layer):
    taps = list(range(layer.rank))
    return (
        Kernel(
            "kernel_initializer",
            input_axes=[*taps, layer.rank + 1],
            output_axes=[*taps, layer.rank],
            stride=math.prod(layer.strides),
            transposed=True,
        ),
    )


def _cell(gates, layer):
    return (
        Kernel("kernel_initializer", blocks=gates),
        Kernel("recurrent_initializer", "recurrent_kernel", "recurrent", blocks=gates),
    )


def _embedding(layer):
    row = Kernel("embeddings_initializer", "embeddings", "embedding", False, [], [1])
    if isinstance(layer, layers.ReversibleEmbedding) and not layer.tie_weights:
        return row, Kernel("embeddings_initializer", "reverse_embeddings", activated=False)
    return (row,)


# The first entry that fits decides: transposed convolutions before convolutions.
_KERNELS = (
    ((layers.Dense,), _dense),
    ((layers.EinsumDense,), _einsum_dense),
    ((layers.DepthwiseConv1D, layers.DepthwiseConv2D), _depthwise),
    ((layers.SeparableConv1D, layers.SeparableConv2D), _separable),
    ((layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose), _transposed),
    ((layers.Conv1D, layers.Conv2D, layers.Conv3D), _convolution),
    ((layers.SimpleRNNCell,), functools.partial(_cell, 1)),
    ((layers.GRUCell,), functools.partial(_cell, 3)),
    ((layers.LSTMCell,), functools.partial(_cell, 4)),
    ((layers.Embedding,), _embedding),
)

# Layers around weights of which Keras knows nothing.
FOREIGN = (layers.FlaxLayer, layers.JaxLayer, layers.TFSMLayer, layers.TorchModuleWrapper)

_KERAS_CLASSES = {each for each in vars(layers).values() if isinstance(each, type)} - {layers.Layer}

# What users have told of their own classes: class -> function of a layer to its kernels.
_described = {}


def describe_layer(
    cls: type[keras.Layer],
    kernels: Iterable[Kernel] | Callable[[Any], Iterable[Kernel]],
) -> None:
    """Tells keras_winit the kernels of a layer class of your own.

    A class that derives from one of Keras's is known already, and so is one that only contains
    other layers. Weights that are not listed keep the initializer named after them
    (`gamma_initializer` for `gamma`), where the layer has one.

    Args:
        cls: A subclass of `keras.Layer`.
        kernels: A sequence of `Kernel`, or a function of a built layer that returns one.

    Raises:
        TypeError: If `cls` is no layer class.

    Example:

    >>> class Mixer(keras.Layer):
    ...     def build(self, shape):
    ...         self.mix = self.add_weight(shape=(shape[1], 8), name="mix")
    ...     def call(self, x):
    ...         return keras.ops.einsum("btc,ts->bsc", x, self.mix)
    >>> keras_winit.describe_layer(Mixer, [keras_winit.Kernel(None, "mix")])
    """
    if not (isinstance(cls, type) and issubclass(cls, keras.Layer)):
        raise TypeError(f"`cls` should be a layer class. Received: cls={cls!r}.")
    if is_wrapped(cls):
        cls = wrapped_by(cls)
    _described[cls] = kernels if callable(kernels) else lambda layer: tuple(kernels)


def kernels_of(layer):
    """Returns the layer's own kernels; `None` if its class is not known and may have some."""
    for cls in type(layer).__mro__:
        if cls in _described:
            return tuple(_described[cls](layer))
    for classes, known in _KERNELS:
        if isinstance(layer, classes):
            return known(layer)
    if not is_known_class(type(layer)):
        return None
    return _cell(4, layer) if type(layer).__name__ == _keras_private.CONV_LSTM_CELL else ()


def is_known_class(cls):
    """Whether a layer class is one of Keras's, or derived from one, or has been described."""
    return issubclass(cls, keras.Model) or is_of_keras(cls) or is_described(cls)


def is_described(cls):
    """Whether the kernels of a layer class have been told by `describe_layer`."""
    return any(parent in _described for parent in cls.__mro__)


def draws_kernels(cls):
    """Whether the layers of a known class have kernels themselves, and not only those in them.

    A recurrent layer has those of its cell, by the arguments that Keras gives to both.
    """
    arguments = {"kernel_initializer", "depthwise_initializer", "embeddings_initializer"}
    return any(
        parent in _described
        or not arguments.isdisjoint(inspect.signature(parent.__init__).parameters)
        for parent in cls.__mro__
    )


def is_of_keras(cls):
    """Whether a class is one of Keras's layers, or derived from one."""
    return package(cls) == "keras" or not _KERAS_CLASSES.isdisjoint(cls.__mro__)


@functools.cache
def package(cls):
    """Returns the name of the package that a class comes from."""
    return cls.__module__.partition(".")[0]


def walk(layer):
    """Yields a layer and every layer inside of it, each once, outer before inner."""
    waiting, seen = [layer], set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        kind = _kind(type(value))
        if kind == "layer":
            yield value
            value = vars(value)
        values = value if kind == "list" else value.values()
        for each in reversed(values):
            kind = _kind(type(each))
            if kind == "layer" or (kind and each):
                waiting.append(each)


def network_inside(model, layers):
    """Returns words for what runs most of these layers of a model, `None` where nothing does."""
    found = [
        (sum(each in layers for each in inside), layer)
        for layer in walk(model)
        if layer is not model and len(inside := list(walk(layer))) > 1
    ]
    most, layer = max(found, key=lambda each: each[0], default=(0, None))
    return f"the network inside of it, {type(layer).__name__} {layer.name!r}" if most else None


@functools.cache
def _kind(cls):
    """Returns what a value of a class may hold layers as, or `None`."""
    kinds = {"layer": keras.Layer, "dict": dict, "list": (list, tuple)}
    return next((kind for kind, classes in kinds.items() if issubclass(cls, classes)), None)


# Keras copies the one initializer of an attention layer to query, key and value, seed included.
ATTENTION = (layers.MultiHeadAttention, layers.GroupQueryAttention)


def seedable_arguments(layer):
    """Returns the names of the layer's initializers that may each be given a seed."""
    if isinstance(layer, ATTENTION):
        return []
    return [
        name
        for name, value in vars(layer).items()
        if name.endswith("_initializer") and not name.startswith("_") and "seed" in config_of(value)
    ]


def config_of(initializer):
    return initializer.get_config() if isinstance(initializer, keras.Initializer) else {}
