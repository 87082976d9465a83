"""What Keras layers are: their weights, the axes of each kernel, the activation inside.

The one module that knows Keras layer classes.
"""

import dataclasses
import functools
import inspect
import itertools
import math
import re
from dataclasses import dataclass

import keras
import numpy as np

from keras_winit import _axes
from keras_winit._formulas import FORMULAS, NOT_ELEMENTWISE

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
    """

    argument: str | None
    weight: str = "kernel"
    role: str = "kernel"
    activated: bool = True
    input_axes: list | None = None
    output_axes: list | None = None
    blocks: int = 1
    stride: int = 1
    transposed: bool = False
    keras_knows: bool = False

    def structure(self, shape):
        """Returns the shape with the blocks as an axis of their own, and its `KernelAxes`."""
        shape = tuple(int(size) for size in shape)
        axes = _axes.kernel_axes(shape, self.input_axes, self.output_axes)
        if self.blocks > 1:
            (last,) = axes.output
            shape = (*shape[:-1], self.blocks, shape[-1] // self.blocks)
            axes = dataclasses.replace(axes, batch=(*axes.batch, last), output=(last + 1,))
        strides = {"input_stride" if self.transposed else "output_stride": self.stride}
        return shape, dataclasses.replace(axes, **strides)


def _product(strides, rank):
    return strides**rank if isinstance(strides, int) else math.prod(strides)


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
    stride = _product(layer.strides, layer.rank)
    return (Kernel("kernel_initializer", blocks=layer.groups, stride=stride),)


def _depthwise_kernel(layer, weight, activated):
    taps = list(range(layer.rank))
    return Kernel(
        "depthwise_initializer",
        weight,
        activated=activated,
        input_axes=taps,
        output_axes=[*taps, layer.rank + 1],
        stride=_product(layer.strides, layer.rank),
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
            stride=_product(layer.strides, layer.rank),
            transposed=True,
        ),
    )


def _cell(gates):
    def kernels(layer):
        return (
            Kernel("kernel_initializer", blocks=gates),
            Kernel("recurrent_initializer", "recurrent_kernel", "recurrent", blocks=gates),
        )

    return kernels


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
    ((layers.SimpleRNNCell,), _cell(1)),
    ((layers.GRUCell,), _cell(3)),
    ((layers.LSTMCell,), _cell(4)),
    ((layers.Embedding,), _embedding),
)

# Classes of Keras that are not public, by name.
_NAMED_KERNELS = {"ConvLSTMCell": _cell(4)}

# Layers around weights of which Keras knows nothing.
_FOREIGN = (layers.FlaxLayer, layers.JaxLayer, layers.TFSMLayer, layers.TorchModuleWrapper)

_KERAS_CLASSES = {each for each in vars(layers).values() if isinstance(each, type)} - {layers.Layer}

# What users have told of their own classes: class -> function of a layer to its kernels.
_described = {}


def describe_layer(cls, kernels):
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
    _described[cls] = kernels if callable(kernels) else lambda layer: tuple(kernels)


def kernels(layer):
    """Returns the layer's own kernels; `None` if its class is not known and may have some."""
    for cls in type(layer).__mro__:
        if cls in _described:
            return tuple(_described[cls](layer))
    for classes, known in _KERNELS:
        if isinstance(layer, classes):
            return known(layer)
    if type(layer).__name__ in _NAMED_KERNELS and is_known_class(type(layer)):
        return _NAMED_KERNELS[type(layer).__name__](layer)
    return () if is_known_class(type(layer)) else None


def is_known_class(cls):
    """Whether a layer class is one of Keras's, or derived from one, or has been described."""
    return (
        issubclass(cls, keras.Model)
        or _is_of_keras(cls)
        or any(parent in _described for parent in cls.__mro__)
    )


def _is_of_keras(cls):
    """Whether a class is one of Keras's layers, or derived from one."""
    is_own = cls.__module__.split(".")[0] == "keras"
    return is_own or not _KERAS_CLASSES.isdisjoint(cls.__mro__)


def walk(layer):
    """Yields a layer and every layer inside of it, each once, outer before inner."""
    waiting, seen = [layer], set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, keras.Layer):
            yield value
            waiting.extend(reversed(list(vars(value).values())))
        elif isinstance(value, dict):
            waiting.extend(reversed(list(value.values())))
        elif isinstance(value, (list, tuple)):
            waiting.extend(reversed(value))


@dataclass(frozen=True)
class Weight:
    """One variable of a layer.

    Attributes:
        variable: The `keras.Variable`.
        path: Its path, with a number where layers of the same name share it.
        layer: The layer that owns it.
        kernel: Its `Kernel`, or `None` for a bias, a scale and the like.
        argument: Name of the layer's attribute that holds its initializer, or `None`.
        initial: What Keras draws it with where no attribute says.
        in_attention: Whether its layer is a map of an attention layer.
        ones: Slice of it that Keras sets to one afterwards (the forget gate), or `None`.
        skip: Why it should be left alone, or `None`.
        within: Names of the layers that hold it, its own and those around that.
    """

    variable: keras.Variable
    path: str
    layer: keras.Layer
    kernel: Kernel | None = None
    argument: str | None = None
    initial: keras.Initializer | None = None
    in_attention: bool = False
    ones: slice | None = None
    skip: str | None = None
    within: tuple = ()

    @property
    def name(self):
        return self.variable.name

    @property
    def role(self):
        """The role of its kernel, else "bias" or "other"."""
        if self.kernel is not None:
            return self.kernel.role
        return "bias" if self.name == "bias" else "other"

    @property
    def is_in_cell(self):
        return hasattr(self.layer, "recurrent_kernel")

    @property
    def ends_layer(self):
        """Whether the kernel gives the output of its layer, of an attention layer as a whole."""
        if self.in_attention:
            return self.layer.name == "attention_output"
        return self.is_in_cell or self.kernel == kernels(self.layer)[-1]

    @property
    def is_frozen(self):
        return not self.layer.trainable or (self.kernel is not None and not self.variable.trainable)

    def own_initializer(self):
        """Returns the initializer that its layer has for it."""
        own = getattr(self.layer, self.argument) if self.argument else None
        return initializers.get(own) if own is not None else self.default_initializer()

    def default_initializer(self):
        """Returns the initializer that Keras gives it when nothing is said."""
        for cls in type(self.layer).__mro__:
            parameter = inspect.signature(cls.__init__).parameters.get(str(self.argument))
            if parameter is not None and isinstance(parameter.default, str):
                return initializers.get(parameter.default)
        return self.initial or initializers.GlorotUniform()


def weights(model):
    """Returns a `Weight` for every variable of a model, each once, in the order of the model."""
    owners, within, attention = {}, {}, set()
    for layer in walk(model):
        if isinstance(layer, _ATTENTION):
            attention.update(id(inner) for inner in walk(layer))
        # The innermost layer that holds a variable owns it.
        held = layer.weights
        size = len(held), sum(1 for _ in walk(layer))
        for variable in held:
            within.setdefault(id(variable), []).append(layer.name)
            if id(variable) not in owners or size < owners[id(variable)][1]:
                owners[id(variable)] = (layer, size)
    weights = []
    for variable, path in zip(model.weights, _numbered(v.path for v in model.weights), strict=True):
        owner, _ = owners[id(variable)]
        weight = _weight(owner, variable, path, id(owner) in attention)
        weights.append(dataclasses.replace(weight, within=tuple(within[id(variable)])))
    return weights


def _numbered(paths):
    """Returns the paths, each with a number if it is not the first of its kind."""
    counts, numbered = {}, []
    for path in paths:
        counts[path] = counts.get(path, 0) + 1
        numbered.append(path if counts[path] == 1 else f"{path}#{counts[path]}")
    return numbered


def _weight(layer, variable, path, in_attention):
    name = variable.name
    known = kernels(layer)
    kernel = next((kernel for kernel in known or () if kernel.weight == name), None)
    argument = kernel.argument if kernel else f"{name}_initializer"
    argument = argument if argument and hasattr(layer, argument) else None
    initial = _initial(layer, name)
    return Weight(
        variable,
        path,
        layer,
        kernel or _lora_kernel(layer, name),
        argument,
        initial,
        in_attention,
        _forget_gate(layer, name),
        _reason_to_skip(layer, variable, known, kernel or argument or initial),
    )


def _reason_to_skip(layer, variable, known, source):
    if layer.quantization_mode is not None:
        return f"quantized to {layer.quantization_mode}"
    if "float" not in keras.backend.standardize_dtype(variable.dtype):
        return "not a float"
    if isinstance(layer, layers.Normalization):
        return "learned from data by `adapt`"
    if isinstance(layer, layers.STFTSpectrogram):
        return "fixed by the layer"
    if known is None:
        return f"{type(layer).__name__} is not known; use `describe_layer`"
    if isinstance(layer, _FOREIGN):
        return "belongs to another library"
    if source is None:
        return f"{type(layer).__name__} has no `{variable.name}_initializer`"
    return None


def _initial(layer, name):
    """Returns what Keras draws a weight with that has no initializer argument."""
    if not _is_of_keras(type(layer)):
        return None
    if type(layer).__name__ == "LayerScale":  # of ConvNeXt, not public
        return initializers.Constant(layer.init_values)
    if name == "scale":
        is_score = isinstance(layer, layers.AdditiveAttention)
        return initializers.GlorotUniform() if is_score else initializers.Ones()
    if name == "vector_u":
        return initializers.TruncatedNormal(stddev=0.02)
    if name.startswith("lora_"):
        return initializers.HeUniform() if name.endswith("_a") else initializers.Zeros()
    if name in ("moving_stddev", "renorm_stddev"):
        return initializers.Ones()
    if name in ("bias", "beta", "rnn_state", "renorm_mean"):
        return initializers.Zeros()
    return None


def _lora_kernel(layer, name):
    """Returns the first LoRA kernel's axes: those of the kernel, with the rank as last axis."""
    if name not in ("lora_kernel_a", "lora_embeddings_a"):
        return None
    (kernel,) = kernels(layer)
    if kernel.input_axes is None:
        return Kernel(None, name, "lora", False)
    last = layer.lora_kernel_a.ndim - 1 if name == "lora_kernel_a" else 1
    inputs = [axis for axis in kernel.input_axes if axis != last]
    outputs = [axis for axis in range(last + 1) if axis not in inputs]
    return Kernel(None, name, "lora", False, inputs, outputs)


def _forget_gate(layer, name):
    if name == "bias" and getattr(layer, "unit_forget_bias", False):
        units = layer.bias.shape[0] // 4
        return slice(units, 2 * units)
    return None


def tell_initializer(weight, initializer):
    """Sets a layer's attribute to what its weight was drawn with, so that its config is true."""
    if weight.argument is not None:
        setattr(weight.layer, weight.argument, initializer)


def tell_attention(model):
    """Does the same for attention layers, where their four kernels, or biases, were drawn alike.

    The config of `MultiHeadAttention` is made of attributes that have no public names.
    """
    for layer in walk(model):
        if not isinstance(layer, _ATTENTION):
            continue
        prefix = "_" if isinstance(layer, layers.MultiHeadAttention) else ""
        for name in ("kernel_initializer", "bias_initializer"):
            inner = [getattr(each, name, None) for each in walk(layer) if each is not layer]
            inner = [each for each in inner if each is not None]
            if all((type(e), _config(e)) == (type(inner[0]), _config(inner[0])) for e in inner):
                setattr(layer, prefix + name, inner[0])


# Keras copies the one initializer of an attention layer to query, key and value, seed included.
_ATTENTION = (layers.MultiHeadAttention, layers.GroupQueryAttention)


def seedable_arguments(layer):
    """Returns the names of the layer's initializers that may each be given a seed."""
    if isinstance(layer, _ATTENTION):
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


def fused_activation(layer):
    """Returns the activation that a layer with a kernel applies itself, `None` if linear."""
    activation = applied_activation(getattr(layer, "activation", None))
    return None if _is_linear(activation) else activation


def activation_of(operation):
    """Returns the activation that a call of a layer or operation is, `None` if it is none."""
    if isinstance(operation, layers.Activation):
        activation = applied_activation(operation)
        return None if _is_linear(activation) else activation
    if isinstance(operation, keras.Layer):
        formula = activation_formula(operation)
        return None if formula is None or formula[0] == "linear" else operation
    name = _snake_case(type(operation).__name__)
    name = {"re_lu": "relu", "exp": "exponential"}.get(name, name)
    if name not in (*FORMULAS, *NOT_ELEMENTWISE):
        return None
    function = getattr(keras.activations, name)
    arguments = inspect.signature(function).parameters.keys() & vars(operation).keys()
    return functools.partial(function, **{each: getattr(operation, each) for each in arguments})


def _is_linear(activation):
    return (
        activation is None
        or activation is keras.activations.linear
        or isinstance(activation, layers.Identity)
    )


def _snake_case(name):
    """Returns a class name as Keras makes layer names of it."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def stable_paths(model, weights):
    """Returns a path for each weight, the same whenever the same code builds the same model.

    Keras numbers unnamed layers through the whole process: `dense_7` in the second model is
    `dense` in a fresh one. Here the numbers start anew in each model.
    """
    automatic, first = {}, {}
    for layer in walk(model):
        base = _snake_case(type(layer).__name__)
        match = re.fullmatch(rf"((?:forward_|backward_)?{re.escape(base)})(?:_(\d+))?", layer.name)
        if match:
            base, number = match[1], int(match[2] or 0)
            automatic[layer.name] = base, number
            first[base] = min(number, first.get(base, number))
    names = {name: f"{base}_{number - first[base]}" for name, (base, number) in automatic.items()}
    paths = []
    for weight in weights:
        parts = weight.variable.path.split("/")
        paths.append("/".join(names.get(part, part) for part in parts))
    return _numbered(paths)


_NORMALIZATIONS = (
    layers.BatchNormalization,
    layers.LayerNormalization,
    layers.GroupNormalization,
    layers.RMSNormalization,
    layers.UnitNormalization,
)

# What an activation may be looked for behind: it leaves the layer's output as it is, part by
# part, or brings it to unit size.
_TRANSPARENT = (
    *_NORMALIZATIONS,
    *(layers.Activation, layers.Identity, layers.Masking, layers.ActivityRegularization),
    *(layers.Dropout, layers.AlphaDropout, layers.GaussianDropout, layers.GaussianNoise),
    *(layers.Reshape, layers.Flatten, layers.Permute, layers.RepeatVector),
    *(layers.Concatenate, layers.Add, layers.Average, layers.Maximum),
    *(
        cls
        for name, cls in vars(layers).items()
        if name.startswith(("Cropping", "ZeroPadding", "UpSampling")) or "Pool" in name
    ),
)
_TRANSPARENT_NAMES = {
    *("Reshape", "Transpose", "Squeeze", "ExpandDims", "GetItem", "Cast", "Concatenate", "Stack"),
    *("Pad", "Add", "Mean", "Max", "MaxPool", "AveragePool", "AdaptiveAveragePool"),
    *("LayerScale", "StochasticDepth", "CustomScaleLayer"),  # of keras.applications
}


def is_normalization(operation):
    """Whether a layer brings its input to unit size."""
    return isinstance(operation, _NORMALIZATIONS)


def is_transparent(operation):
    """Whether the activation of a layer may come behind this layer or operation."""
    return isinstance(operation, _TRANSPARENT) or type(operation).__name__ in _TRANSPARENT_NAMES


def is_addition(operation):
    """Whether a layer or operation adds two tensors."""
    return isinstance(operation, layers.Add) or type(operation).__name__ in (
        "Add",
        "CustomScaleLayer",  # of InceptionResNetV2
    )


def distributed(operation):
    """Returns the layer that a `TimeDistributed` applies, and anything else as it is."""
    while isinstance(operation, layers.TimeDistributed):
        operation = operation.layer
    return operation


def is_zero(operation, variables):
    """Whether a call multiplies by a weight that starts at zero: a gamma, or one of the user's."""
    for layer in walk(operation) if isinstance(operation, keras.Layer) else ():
        if isinstance(getattr(layer, "gamma_initializer", None), initializers.Zeros):
            return True
        if kernels(layer) is None:
            variables = [*variables, *layer.weights]
    return any(
        variable.name not in ("bias", "beta") and not keras.ops.convert_to_numpy(variable).any()
        for variable in variables
    )


def is_composite(operation):
    """Whether it is a layer of the user's that calls other layers and has no kernel itself."""
    return (
        isinstance(operation, keras.Layer)
        and type(operation).__module__.split(".")[0] != "keras"
        and len(list(itertools.islice(walk(operation), 2))) == 2
        and not kernels(operation)
    )


def is_last_kernel(operation, layer):
    """Whether the output of `layer` is that of the call of `operation` that contains it."""
    if isinstance(operation, _ATTENTION):  # attention
        return layer.name == "attention_output"
    return type(operation).__module__.split(".")[0] == "keras" or operation is layer
